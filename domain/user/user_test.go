package user_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gatehouse/domain/fault"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 123456789, time.FixedZone("KST", 9*3600))

func code(err error) string {
	e, ok := errors.AsType[*fault.Error](err)
	switch {
	case err == nil:
		return ""
	case !ok || len(e.Fields) != 1 || e.Fields[0].Pointer != "":
		return "not one fault of the value itself: " + err.Error()
	}
	return e.Fields[0].Code
}

func TestEmail(t *testing.T) {
	long := strings.Repeat("a", 64) + "@" + strings.Repeat("d.", 93) + "com" // 65 + 189 = 254
	for _, c := range []struct{ in, canonical, code string }{
		{"ann@example.com", "ann@example.com", ""},
		{"  Ann.B+tag@Example.COM\t", "ann.b+tag@example.com", ""},
		{long, strings.ToLower(long), ""},
		{"x" + long, "", "too_long"},
		{"ann@한국.com", "ann@xn--3e0b707e.com", ""},
		{"ann@XN--3E0B707E.com", "ann@xn--3e0b707e.com", ""},
		{"ann@ｅｘａｍｐｌｅ．com", "ann@example.com", ""},  // full width
		{"ann@\u212Aiosk.com", "ann@kiosk.com", ""}, // KELVIN SIGN
		{"ann@exam\u200Bple.com", "", "invalid_email"},
		{"a\u212Ann@example.com", "", "invalid_email"},
		{"ſam@example.com", "", "invalid_email"},
		{"ａnn@example.com", "", "invalid_email"},
		{"한글@example.com", "", "invalid_email"},
		{"", "", "invalid_email"},
		{"ann", "", "invalid_email"},
		{"@example.com", "", "invalid_email"},
		{"ann@", "", "invalid_email"},
		{"ann@localhost", "", "invalid_email"},
		{"ann@example..com", "", "invalid_email"},
		{"ann@example.com.", "", "invalid_email"},
		{".ann@example.com", "", "invalid_email"},
		{"an..n@example.com", "", "invalid_email"},
		{"ann@[127.0.0.1]", "", "invalid_email"},
		{"ann@127.0.0.1", "", "invalid_email"},
		{"an n@example.com", "", "invalid_email"},
		{"ann@exa mple.com", "", "invalid_email"},
		{`"ann"@example.com`, "", "invalid_email"},
		{"ann@example.com\r\nBcc: all@example.com", "", "invalid_email"},
		{"ann\x00@example.com", "", "invalid_email"},
		{strings.Repeat("a", 65) + "@example.com", "", "invalid_email"},
		{"eve@ann@example.com", "", "invalid_email"},
	} {
		e, err := user.NewEmail(c.in)
		if got := code(err); got != c.code {
			t.Errorf("NewEmail(%q) fails with %q, want %q", c.in, got, c.code)
		} else if e.Canonical() != c.canonical {
			t.Errorf("NewEmail(%q).Canonical() = %q, want %q", c.in, e.Canonical(), c.canonical)
		}
		if err == nil && e.String() != strings.TrimSpace(c.in) {
			t.Errorf("NewEmail(%q).String() = %q: mail goes to the address as it was written", c.in, e)
		}
	}
}

func FuzzEmail(f *testing.F) {
	for _, s := range []string{"ann@example.com", "ann@한국.com", "a@b@c.d", "ann@xn--3e0b707e.com", "\u212A@x.y", "00@0\x80.0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := user.NewEmail(s)
		if err != nil {
			return
		}
		if strings.ContainsFunc(e.Canonical(), func(r rune) bool { return r <= ' ' || r > '~' }) {
			t.Errorf("NewEmail(%q).Canonical() = %q, want printable ASCII", s, e.Canonical())
		}
		again, err := user.NewEmail(e.Canonical())
		if err != nil || again.Canonical() != e.Canonical() {
			t.Errorf("the canonical form %q of %q has the canonical form %q, %v", e.Canonical(), s, again.Canonical(), err)
		}
	})
}

func TestPassword(t *testing.T) {
	ann, err := user.NewEmail("Annabelle@example.com")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ in, code string }{
		{"correct horse battery staple", ""},
		{"비밀번호는여덟자", ""},
		{"🔑🔑🔑🔑🔑🔑🔑🔑", ""},
		{"   한 칸씩 띄어 쓴   ", ""}, // any characters
		{strings.Repeat("é", 128), ""},
		{strings.Repeat("e\u0301", 128), ""}, // one code point each once composed
		{strings.Repeat("é", 129), "password_too_long"},
		{"1234567", "password_too_short"},
		{"", "password_too_short"},
		{"e\u0301e\u0301e\u0301e\u0301", "password_too_short"}, // eight code points as typed, four composed
		{"password", "password_common"},
		{"PassWord", "password_common"},
		{"ｐａｓｓｗｏｒｄ", "password_common"},
		{"iloveyou", "password_common"},
		{"annabelle@EXAMPLE.com", "password_common"},
		{"annabelle", "password_common"},
		{"correct\x00horse", "invalid_characters"},
	} {
		if _, err := (user.PasswordRules{}).New(c.in, ann, ""); code(err) != c.code {
			t.Errorf("New(%q) fails with %q, want %q", c.in, code(err), c.code)
		}
	}
	composed, decomposed := user.PasswordAttempt("caf\u00e9 at noon"), user.PasswordAttempt("cafe\u0301 at noon")
	if composed != decomposed {
		t.Error("one password typed on two keyboards is two passwords")
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	whole := newUser(t)
	whole.Rehash(user.NewPasswordHash("$argon2id$hunter2"))
	for _, secret := range []any{user.PasswordAttempt("hunter2hunter2"), user.NewPasswordHash("$argon2id$hunter2"), whole, &whole} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			holder := struct{ Secret any }{secret}
			if got := fmt.Sprintf(verb+verb, secret, holder); strings.Contains(got, "hunter2") || strings.Contains(got, "68756e74657232") {
				t.Errorf("Sprintf(%q, %T) = %s", verb, secret, got)
			}
		}
	}
}

func newUser(t testing.TB) user.User {
	t.Helper()
	e, err := user.NewEmail("ann@example.com")
	if err != nil {
		t.Fatal(err)
	}
	return user.New(user.ID{UUID: uuid.UUID{1}}, e, user.Name{}, user.NewPasswordHash("h"), noon)
}

func TestNewUser(t *testing.T) {
	u := newUser(t)
	if !u.HasRole(user.RoleUser) || len(u.Roles()) != 1 || u.Status() != user.Active || u.EmailVerified() || u.SessionEpoch() != 0 {
		t.Errorf("New = %+v, want an active, unverified user with the role user", u.State())
	}
	want := time.Date(2026, 11, 24, 3, 0, 0, 123456000, time.UTC)
	if u.CreatedAt() != want || u.UpdatedAt() != want {
		t.Errorf("created %v, updated %v, want %v", u.CreatedAt(), u.UpdatedAt(), want)
	}
	if user.Restore(u.State()).State().Email != u.Email() {
		t.Error("Restore(State) is another user")
	}
}

// Who knew the old password may hold a session; who was disabled certainly does.
func TestWhatEndsAllSessions(t *testing.T) {
	later := noon.Add(time.Hour)
	for name, c := range map[string]struct {
		change func(*user.User)
		ends   int64
	}{
		"change of password": {func(u *user.User) { u.ChangePassword(user.NewPasswordHash("i"), later) }, 1},
		"disabling":          {func(u *user.User) { u.Disable(later) }, 1},
		"disabling twice":    {func(u *user.User) { u.Disable(later); u.Disable(later) }, 1},
		"disable, enable":    {func(u *user.User) { u.Disable(later); u.Enable(later) }, 1},
		"rehashing":          {func(u *user.User) { u.Rehash(user.NewPasswordHash("i")) }, 0},
		"renaming":           {func(u *user.User) { u.Rename(user.Name{}, later) }, 0},
		"enabling":           {func(u *user.User) { u.Enable(later) }, 0},
	} {
		u := newUser(t)
		c.change(&u)
		if u.SessionEpoch() != c.ends {
			t.Errorf("%s: epoch = %d, want %d", name, u.SessionEpoch(), c.ends)
		}
	}
}

func TestSetRoles(t *testing.T) {
	u := newUser(t)
	given := []user.Role{user.RoleModerator, user.RoleAdmin, user.RoleModerator}
	if err := u.SetRoles(given, noon); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(u.Roles()); got != "[admin moderator]" {
		t.Errorf("Roles() = %s, want [admin moderator]", got)
	}
	given[0] = user.RoleUser
	u.Roles()[0] = user.RoleUser
	if got := fmt.Sprint(u.Roles()); got != "[admin moderator]" {
		t.Errorf("Roles() = %s after the caller changed its own slices", got)
	}
	for _, bad := range [][]user.Role{nil, {user.RoleAnonymous}} {
		if err := u.SetRoles(bad, noon); !errors.Is(err, fault.Invalid) {
			t.Errorf("SetRoles(%v) = %v, want Invalid", bad, err)
		}
	}
	if got := fmt.Sprint(u.Roles()); got != "[admin moderator]" {
		t.Errorf("Roles() = %s after refused changes", got)
	}
}

func TestActsAsAdmin(t *testing.T) {
	near, _ := user.ParseRole("administrator")
	for _, c := range []struct {
		roles    []user.Role
		disabled bool
		want     bool
	}{
		{[]user.Role{user.RoleUser, user.RoleAdmin}, false, true},
		{[]user.Role{user.RoleAdmin}, true, false},
		{[]user.Role{user.RoleModerator, near}, false, false},
	} {
		u := newUser(t)
		if err := u.SetRoles(c.roles, noon); err != nil {
			t.Fatal(err)
		}
		if c.disabled {
			u.Disable(noon)
		}
		if got := u.ActsAsAdmin(); got != c.want {
			t.Errorf("ActsAsAdmin(%v, disabled %v) = %v, want %v", c.roles, c.disabled, got, c.want)
		}
	}
}

func TestParseRole(t *testing.T) {
	for s, want := range map[string]bool{
		"user": true, "a": true, "shop-owner_2": true, "a" + strings.Repeat("b", 31): true,
		"": false, "User": false, "2nd": false, "-a": false, "a b": false, "관리자": false, "a" + strings.Repeat("b", 32): false, "a\x00": false,
	} {
		if _, ok := user.ParseRole(s); ok != want {
			t.Errorf("ParseRole(%q) = %v, want %v", s, ok, want)
		}
	}
}

func TestName(t *testing.T) {
	for in, want := range map[string]string{
		"": "", " 김 하늘 ": "", strings.Repeat("가", 100): "",
		strings.Repeat("가", 101): "too_long", "a\x00b": "invalid_characters", "a\nb": "invalid_characters", "a\u0085b": "invalid_characters",
	} {
		if _, err := user.NewName(in); code(err) != want {
			t.Errorf("NewName(%q) fails with %q, want %q", in, code(err), want)
		}
	}
}

func TestParseStatus(t *testing.T) {
	for _, s := range []user.Status{user.Active, user.Disabled} {
		if got, ok := user.ParseStatus(s.String()); !ok || got != s {
			t.Errorf("ParseStatus(%q) = %v, %v", s, got, ok)
		}
	}
	if _, ok := user.ParseStatus("Active"); ok {
		t.Error("ParseStatus takes names in another case")
	}
}

// Any name that is accepted is kept as it is, but for the blanks around it.
func TestNameIsKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "name")
		n, err := user.NewName(s)
		if err != nil {
			return
		}
		u := newUser(&testing.T{})
		u.Rename(n, noon)
		if u.Name() != strings.TrimSpace(s) {
			t.Fatalf("Name() = %q, want %q", u.Name(), strings.TrimSpace(s))
		}
	})
}
