package user_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"gatehouse/domain/user"
)

func TestPredictablePasswords(t *testing.T) {
	email, err := user.NewEmail("haneul.kim@lampshop.example")
	if err != nil {
		t.Fatal(err)
	}
	rules := user.PasswordRules{Words: []string{"Gatehouse", "shop.example.com"}}
	for _, c := range []struct {
		in   string
		want string
	}{
		// Walks over the keyboard, in either state of the keyboard.
		{"qwer1234", "password_common"}, {"qwertyuiop", "password_common"}, {"qazwsxedc", "password_common"}, {"1q2w3e4r5t", "password_common"},
		{"aaaaaaaa", "password_common"}, {"aaaabbbb", "password_common"}, {"98765432", "password_common"}, {"zxcvasdf", "password_common"},
		{"ㅂㅈㄷㄱ쇼ㅕㅑㅐㅔ", "password_common"}, {"ㅁㄴㅇㄹㅁㄴㅇㄹ", "password_common"},
		// Korean words, as such and in Latin keys.
		{"qlalfqjsgh", "password_common"}, {"Qlalfqjsgh1!", "password_common"}, {"tkfkdgody", "password_common"}, {"dkssudgktpdy", "password_common"},
		{"사랑합니다사랑합니다", "password_common"}, {"대한민국대한민국1", "password_common"}, {"eogksalsrnr", "password_common"},
		// The words of the installation and of the person.
		{"gatehouse", "password_common"}, {"Gatehouse-2026!", "password_common"}, {"GATEHOUSEgatehouse", "password_common"},
		{"haneul.kim@lampshop.example", "password_common"}, {"haneul.kim", "password_common"}, {"Haneul1999", "password_common"}, {"Kim.haneul!", "password_common"},
		{"김하늘김하늘12", "password_common"}, {"rlagksmf1!", "password_common"},
		// Up to a length at which repetition is no composition rule.
		{strings.Repeat("x", 31), "password_common"}, {strings.Repeat("x", 32), ""}, {strings.Repeat("a", 64), ""}, {strings.Repeat("x", 128), ""},
		{strings.Repeat("1234567890", 12), ""}, {strings.Repeat("비밀번호", 32), ""},
		// What only looks a little like these.
		{"correct horse battery staple", ""}, {"gatehouse keepers sleep late", ""}, {"a quiet lighthouse", ""}, {"desktop grass window", ""},
		{"haneul likes tall trees", ""}, {"사랑은 눈처럼 내린다", ""}, {"gatehouse-83920174652", ""}, {"x7Kp-w2Lm-q9Zt", ""}, {"qwaspolkmj", ""}, {"무지개 끝의 도서관", ""},
	} {
		if _, err := rules.New(c.in, email, "김하늘"); code(err) != c.want {
			t.Errorf("New(%q) fails with %q, want %q", c.in, code(err), c.want)
		}
	}
}

func TestMinimumLength(t *testing.T) {
	for _, c := range []struct {
		minimum int
		in      string
		want    string
	}{
		{0, "x7Kpw2L", "password_too_short"}, {0, "x7Kpw2Lm", ""}, {3, "x7Kpw2L", "password_too_short"},
		{12, "x7Kpw2Lmq9Z", "password_too_short"}, {12, "x7Kpw2Lmq9Zt", ""},
	} {
		if _, err := (user.PasswordRules{Minimum: c.minimum}).New(c.in, user.Email{}, ""); code(err) != c.want {
			t.Errorf("minimum %d: New(%q) fails with %q, want %q", c.minimum, c.in, code(err), c.want)
		}
	}
}

// A rule that refuses what nobody would guess drives people to write passwords
// down: of random ones none is called predictable.
func TestRandomPasswordsPass(t *testing.T) {
	email, err := user.NewEmail("ann@example.com")
	if err != nil {
		t.Fatal(err)
	}
	letters := rapid.StringOfN(rapid.RuneFrom([]rune("abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789")), 16, 40, -1)
	rapid.Check(t, func(t *rapid.T) {
		p := letters.Draw(t, "password")
		distinct := map[rune]bool{}
		for _, r := range p {
			distinct[r] = true
		}
		if len(distinct) < 9 { // rapid likes to draw "aaaa…", which is refused with reason
			t.Skip("not random")
		}
		if _, err := (user.PasswordRules{Words: []string{"gatehouse"}}).New(p, email, "Ann"); err != nil {
			t.Fatalf("New(%q) = %v", p, err)
		}
	})
}
