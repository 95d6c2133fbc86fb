package user

import (
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"gatehouse/domain/fault"
)

// MaxEmailLength is the greatest length of an address in octets (RFC 5321
// section 4.5.3.1.3, less the angle brackets).
const MaxEmailLength = 254

// Email is an address in two forms: as its owner wrote it, where mail goes, and
// a canonical one, by which accounts are told apart.
//
// Two addresses with one canonical form are one account. The local part is
// ASCII, since look-alikes (U+212A for K, ſ for s, full width, zero width) have
// been used to have another account's reset mail sent (the GitHub incident of
// 2019); the domain is compared in its IDNA A-label form (RFC 5891), so that
// the Unicode and the xn-- spelling of one domain are the same.
type Email struct{ address, canonical string }

// NewEmail trims and checks an address. The pointer of a fault is "".
func NewEmail(s string) (Email, error) {
	s = strings.TrimSpace(s)
	if len(s) > MaxEmailLength {
		return Email{}, emailFault("too_long", "An e-mail address has at most 254 characters.")
	}
	at := strings.LastIndexByte(s, '@')
	if at < 1 || !validLocal(s[:at]) {
		return Email{}, emailFault("invalid_email", "This is no e-mail address of the form name@example.com, with an ASCII name.")
	}
	domain, ok := asciiDomain(s[at+1:])
	canonical := strings.ToLower(s[:at]) + "@" + domain
	if !ok || len(canonical) > MaxEmailLength {
		return Email{}, emailFault("invalid_email", "The part after the @ is no domain name.")
	}
	return Email{address: s, canonical: canonical}, nil
}

// RestoreEmail makes an address out of what a store kept. For adapters alone.
func RestoreEmail(address, canonical string) Email {
	return Email{address: address, canonical: canonical}
}

// String is the address as its owner wrote it, where mail goes.
func (e Email) String() string { return e.address }

// Canonical is the form by which accounts are told apart.
func (e Email) Canonical() string { return e.canonical }

// Local is the part before the @, in lower case.
func (e Email) Local() string {
	at := strings.LastIndexByte(e.canonical, '@')
	return e.canonical[:max(at, 0)]
}

// validLocal accepts a dot-atom (RFC 5322 section 3.2.3) of at most 64 octets
// (RFC 5321 section 4.5.3.1.1). Quoted local parts are refused: nobody has one
// and parsers disagree about them.
func validLocal(s string) bool {
	if len(s) == 0 || len(s) > 64 || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return false
	}
	for i := range len(s) {
		c := s[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alnum && !strings.ContainsRune(".!#$%&'*+-/=?^_`{|}~", rune(c)) {
			return false
		}
	}
	return true
}

// asciiDomain gives the A-label form of a host name with at least two labels.
func asciiDomain(s string) (string, bool) {
	// UTS 46 drops invisible characters instead of refusing them; an address
	// that shows one name and holds another is never wanted.
	if strings.ContainsFunc(s, func(r rune) bool { return unicode.In(r, unicode.Cf, unicode.Cc) }) {
		return "", false
	}
	a, err := idna.Lookup.ToASCII(s)
	if err != nil || !utf8.ValidString(s) || len(a) > 253 || !strings.Contains(a, ".") {
		return "", false
	}
	for label := range strings.SplitSeq(a, ".") {
		if len(label) == 0 || len(label) > 63 {
			return "", false
		}
	}
	if _, err := netip.ParseAddr(a); err == nil {
		return "", false
	}
	return a, true
}

func emailFault(code, detail string) error {
	var v fault.Validation
	v.Add("", code, detail)
	return v.Err()
}
