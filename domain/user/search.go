package user

import (
	"strings"
	"unicode/utf8"

	"gatehouse/domain/text"
)

// SearchText is what a search for users looks at: the address as its owner wrote
// it, its canonical form and the name, folded (text.Fold), each on a line of its
// own. Stores keep it beside the user.
func (u User) SearchText() string {
	lines := []string{text.Fold(u.email.address), u.email.canonical, text.Fold(u.name)}
	if lines[0] == lines[1] {
		lines = lines[1:]
	}
	return strings.Join(lines, "\n")
}

// Sought gives what to look for in the [User.SearchText] of users for a text that
// somebody typed: it is found where it stands in an address or a name,
// literally and without regard to case. It is false for what stands in none: no
// text, or control characters, which would reach over the lines.
func Sought(typed string) (string, bool) {
	if !utf8.ValidString(typed) || strings.ContainsFunc(typed, isControl) {
		return "", false
	}
	return text.Fold(typed), true
}
