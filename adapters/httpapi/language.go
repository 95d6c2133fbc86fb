package httpapi

import (
	"bytes"

	"golang.org/x/text/language"

	"gatehouse/domain/mail"
)

// The languages that mail is written in, the first for who asks for none of
// them, in the order of the tags.
var (
	mailLanguages = []mail.Language{mail.English, mail.Korean}
	matcher       = language.NewMatcher([]language.Tag{language.English, language.Korean})
)

// maxLanguages is the longest Accept-Language that is looked at, in bytes: a
// browser sends some tens, and matching takes a time that grows with it.
const maxLanguages = 512

// readLanguage is the language of mail that an Accept-Language header (RFC 9110
// section 12.5.4, in as many lines as it came) asks for.
func readLanguage(lines [][]byte) mail.Language {
	header := bytes.Join(lines, []byte(","))
	if len(header) > maxLanguages {
		return mailLanguages[0]
	}
	_, at := language.MatchStrings(matcher, string(header))
	return mailLanguages[at]
}
