package user

import (
	"strings"

	"golang.org/x/text/unicode/norm"
)

// The keys of the Korean standard keyboard (two-set, KS X 5002) for the
// conjoining jamo of Unicode, in their order: initial consonants from U+1100,
// vowels from U+1161, final consonants from U+11A8. A double consonant is its
// key with shift; shift is not told apart here.
var (
	initialKeys = strings.Fields("r r s e e f a q q t t d w w c z x v g")
	vowelKeys   = strings.Fields("k o i o j p u p h hk ho hl y n nj np nl b m ml l")
	finalKeys   = strings.Fields("r r rt s sw sg e f fr fa fq ft fx fv fg a q qt t t d w c z x v g")
)

// pressedKeys gives the Latin letters on the keys that are pressed for a text,
// whichever way the keyboard was switched. What is no Hangul stays as it is.
func pressedKeys(s string) string {
	var keys strings.Builder
	for _, r := range norm.NFKD.String(s) {
		switch {
		case r >= 0x1100 && r < 0x1100+rune(len(initialKeys)):
			keys.WriteString(initialKeys[r-0x1100])
		case r >= 0x1161 && r < 0x1161+rune(len(vowelKeys)):
			keys.WriteString(vowelKeys[r-0x1161])
		case r >= 0x11A8 && r < 0x11A8+rune(len(finalKeys)):
			keys.WriteString(finalKeys[r-0x11A8])
		default:
			keys.WriteRune(r)
		}
	}
	return keys.String()
}
