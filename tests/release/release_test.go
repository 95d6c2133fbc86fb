package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// linked is what the linker says of a program with two modules in it, of those that
// Gatehouse has.
func linked(t *testing.T) *debug.BuildInfo {
	t.Helper()
	info := &debug.BuildInfo{GoVersion: "go1.26.8", Settings: []debug.BuildSetting{{Key: "GOOS", Value: "linux"}, {Key: "GOARCH", Value: "arm64"}, {Key: "CGO_ENABLED", Value: "0"}}}
	for _, path := range []string{"github.com/jackc/pgx/v5", "github.com/goccy/go-yaml"} {
		out, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}", path).Output()
		if err != nil {
			t.Fatal(err)
		}
		info.Deps = append(info.Deps, &debug.Module{Path: path, Version: strings.TrimSpace(string(out)), Sum: "h1:" + strings.Repeat("A", 43) + "="})
	}
	return info
}

// TestBill: what is in the program is in the list once, each with version, sum and
// the name that scanners know it by; the same program has the same list.
func TestBill(t *testing.T) {
	info := linked(t)
	text, err := billOf(info, "1.2.3", noon, sha256.Sum256([]byte("program")))
	if err != nil {
		t.Fatal(err)
	}
	var b bill
	if err := json.Unmarshal(text, &b); err != nil {
		t.Fatal(err)
	}
	if b.Format != "CycloneDX" || b.Spec != "1.5" || b.Version != 1 || b.Metadata.Timestamp != "2026-11-25T12:00:00Z" {
		t.Errorf("it is %+v", b)
	}
	if !regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(b.Serial) {
		t.Errorf("the serial number is %s", b.Serial)
	}
	if got := b.Metadata.Component; got.URL != "pkg:golang/gatehouse@1.2.3?goarch=arm64&goos=linux" || len(got.Hashes) != 1 {
		t.Errorf("the program is %+v", got)
	}
	refs := map[string]bool{b.Metadata.Component.Ref: true}
	for _, c := range b.Components {
		if refs[c.Ref] || !strings.HasPrefix(c.URL, "pkg:golang/"+c.Name+"@") || c.Version == "" {
			t.Errorf("a component is %+v", c)
		}
		if c.Name != "std" && (len(c.Hashes) != 1 || len(c.Hashes[0].Content) != 64) {
			t.Errorf("the sum of %s is %v", c.Name, c.Hashes)
		}
		refs[c.Ref] = true
	}
	if len(b.Components) != len(info.Deps)+1 || len(b.Dependencies) != len(b.Components)+1 || len(b.Dependencies[0].On) != len(b.Components) {
		t.Errorf("%d modules make %d components and %d dependencies", len(info.Deps), len(b.Components), len(b.Dependencies))
	}
	for _, d := range b.Dependencies {
		for _, ref := range append(d.On, d.Ref) {
			if !refs[ref] {
				t.Errorf("%s is depended on, and is not there", ref)
			}
		}
	}
	same, err := billOf(linked(t), "1.2.3", noon, sha256.Sum256([]byte("program")))
	if err != nil || !bytes.Equal(text, same) {
		t.Errorf("the same program has another list: %v", err)
	}
	other, err := billOf(info, "1.2.3", noon, sha256.Sum256([]byte("another")))
	if err != nil || bytes.Equal(text, other) {
		t.Errorf("another program has the same list: %v", err)
	}
}

// TestLicences: each module's terms are there, and one without any stops it.
func TestLicences(t *testing.T) {
	info := linked(t)
	text, err := licencesOf(t.Context(), "../..", info)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"The Go standard library: LICENSE", "github.com/jackc/pgx/v5 v5.", "github.com/goccy/go-yaml v1.", "Jack Christensen", "WITHOUT WARRANTY"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%q is not there", want)
		}
	}
	if err := addTexts(&bytes.Buffer{}, "nobody's", t.TempDir()); err == nil {
		t.Error("something without a licence is handed out")
	}
	info.Deps[0].Version = "v5.0.0-none"
	if _, err := licencesOf(t.Context(), "../..", info); err == nil {
		t.Error("a module that is not there has a licence")
	}
}

// TestArchive: it holds what was put in, and nothing of the hour or of who made it.
func TestArchive(t *testing.T) {
	entries := []entry{{"gatehouse", 0o755, []byte("program")}, {"LICENSE", 0o644, []byte("MIT")}}
	one, err := archive(noon, "gatehouse_1", entries)
	if err != nil {
		t.Fatal(err)
	}
	two, err := archive(noon, "gatehouse_1", entries)
	if err != nil || !bytes.Equal(one, two) {
		t.Errorf("packed twice it has other bytes: %v", err)
	}
	zip, err := gzip.NewReader(bytes.NewReader(one))
	if err != nil {
		t.Fatal(err)
	}
	pack := tar.NewReader(zip)
	for _, want := range entries {
		h, err := pack.Next()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(pack)
		if err != nil || h.Name != "gatehouse_1/"+want.name || h.Mode != want.mode || !h.ModTime.Equal(noon) || h.Uid != 0 || h.Uname != "" || !bytes.Equal(content, want.content) {
			t.Errorf("%+v holds %q, %v", h, content, err)
		}
	}
	if _, err := pack.Next(); err != io.EOF {
		t.Errorf("there is more: %v", err)
	}
}

// TestSums: sha256sum can check what was made.
func TestSums(t *testing.T) {
	got := string(sumsOf(map[string][]byte{"b": nil, "a": []byte("a")}))
	const want = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb  a\n" +
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  b\n"
	if got != want {
		t.Errorf("the sums are\n%s", got)
	}
}

// TestSourcesAreCopied: what is compared is made of everything that the first was
// made of.
func TestSourcesAreCopied(t *testing.T) {
	to := t.TempDir()
	if err := copySources(t.Context(), "../..", to); err != nil {
		t.Skipf("this is no work tree of git: %v", err)
	}
	list := exec.Command("go", "list", "./...")
	list.Dir = to
	there, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	list = exec.Command("go", "list", "./...")
	list.Dir = filepath.Join("..", "..")
	if want, err := list.Output(); err != nil || !bytes.Equal(there, want) {
		t.Errorf("the copy has the packages\n%s, %v", there, err)
	}
}
