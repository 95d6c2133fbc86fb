package gomail_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/adapters/gomail"
	"gatehouse/domain/fault"
	"gatehouse/domain/mail"
	"gatehouse/domain/uuid"
	"gatehouse/ports/portstest"
)

const from = "Gatehouse <no-reply@shop.example.com>"

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func letter(n byte) mail.Message {
	return mail.Message{
		ID: uuid.New(noon, [8]byte{n}), To: "ann@example.com", Subject: "Hello", At: noon,
		Text: "Follow this link:\n\nhttps://shop.example.com/password/reset#token=abc=-_\n", HTML: "<p>Follow it</p>\n",
	}
}

func folder(t *testing.T, path string) *gomail.Folder {
	t.Helper()
	f, err := gomail.NewFolder(path, from)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func files(t *testing.T, path string) []string {
	t.Helper()
	entries, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func read(t *testing.T, raw []byte) mail.Message {
	t.Helper()
	m, err := portstest.ReadMail(raw)
	if err != nil {
		t.Fatalf("%v in\n%s", err, raw)
	}
	return m
}

func TestFolder(t *testing.T) {
	portstest.Mailer(t, func(t *testing.T) portstest.Mailbox {
		path := filepath.Join(t.TempDir(), "mail")
		return portstest.Mailbox{Mailer: folder(t, path), Received: func() []mail.Message {
			var all []mail.Message
			for _, name := range files(t, path) {
				raw, err := os.ReadFile(filepath.Join(path, name))
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, read(t, raw))
			}
			return all
		}}
	})
}

// Links in mails open accounts: no other user of the machine reads them.
func TestOnlyTheOwnerReads(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "mail")
	if err := folder(t, path).Send(t.Context(), letter(1)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{path: 0o700, filepath.Join(path, letter(1).ID.String()+".eml"): 0o600} {
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has the mode %v, %v, want %v", name, info.Mode().Perm(), err, want)
		}
	}
}

// A letter that is sent again replaces its file, and nothing is left beside.
func TestOneFilePerLetter(t *testing.T) {
	path := t.TempDir()
	f := folder(t, path)
	again := letter(1)
	again.Text = "Another\n"
	for _, m := range []mail.Message{letter(2), letter(1), again} {
		if err := f.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{letter(1).ID.String() + ".eml", letter(2).ID.String() + ".eml"} // in the order of the letters
	if got := files(t, path); !slices.Equal(got, want) {
		t.Errorf("there are %q, want %q", got, want)
	}
	raw, err := os.ReadFile(filepath.Join(path, want[0]))
	if err != nil || !strings.Contains(string(raw), "Another") {
		t.Errorf("the file of a letter sent again is %s, %v", raw, err)
	}
}

func TestTheFileCanBeRead(t *testing.T) {
	path := t.TempDir()
	m := letter(1)
	m.Subject = "새 링크"
	if err := folder(t, path).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(path, m.ID.String()+".eml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\r\nhttps://shop.example.com/password/reset#token=abc=-_\r\n", "From: \"Gatehouse\" <no-reply@shop.example.com>\r\n", "To: <ann@example.com>\r\n",
		"Message-ID: <" + m.ID.String() + "@shop.example.com>\r\n", "Date: Tue, 24 Nov 2026 12:00:00 +0000\r\n",
		"Auto-Submitted: auto-generated\r\n", "X-Auto-Response-Suppress: All\r\n",
	} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("no %q in\n%s", want, raw)
		}
	}
	if strings.Contains(string(raw), "go-mail") {
		t.Errorf("the mail says what it was made with:\n%s", raw)
	}
}

// Somebody empties the folder by deleting it. A file in its place is an outage:
// the letter waits until that is mended.
func TestAFolderThatIsGone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mail")
	f := folder(t, path)
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if err := f.Send(t.Context(), letter(1)); err != nil || len(files(t, path)) != 1 {
		t.Errorf("Send into a folder that is gone = %v, want it made again", err)
	}
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wantKind(t, f.Send(t.Context(), letter(1)), fault.Unavailable, "Send into a file")
	if _, err := gomail.NewFolder(path, from); err == nil {
		t.Error("NewFolder takes a file")
	}
}

// FuzzMail: whatever is in a mail, its head has the fields that it is to have
// and no others, its lines end as they should, and it can be read.
func FuzzMail(f *testing.F) {
	path := f.TempDir()
	folder, err := gomail.NewFolder(path, from)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("ann@example.com", "Hello\r\nBcc: bob@example.com", "text\r\n.\r\n", "<p>")
	f.Add("ann@\u00fcber.example", strings.Repeat("\uae38", 200), strings.Repeat("x", 2000), "")
	f.Fuzz(func(t *testing.T, to, subject, text, html string) {
		m := letter(1)
		m.To, m.Subject, m.Text, m.HTML = to, subject, text, html
		if folder.Send(t.Context(), m) != nil {
			return
		}
		name := filepath.Join(path, m.ID.String()+".eml")
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, raw); got.ID != m.ID || !got.At.Equal(m.At) {
			t.Errorf("a mail became another: %+v", got)
		}
		head, _, _ := strings.Cut(string(raw), "\r\n\r\n")
		for line := range strings.SplitSeq(head, "\r\n") {
			field, _, _ := strings.Cut(line, ":")
			if !strings.HasPrefix(line, " ") && !slices.Contains([]string{
				"From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Auto-Submitted", "X-Auto-Response-Suppress", "Content-Type", "Content-Transfer-Encoding",
			}, field) {
				t.Errorf("the head has the line %q", line)
			}
		}
	})
}
