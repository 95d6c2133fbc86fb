package argon2id

import "testing"

// FuzzParse is inside the package since what it reads is nobody else's.
func FuzzParse(f *testing.F) {
	f.Add("$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$mhcqFQ6eYWUYiEJuGQzYFPlNXrRzMYZoGMWnFO6qXx0")
	f.Add("$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, s string) {
		e, err := parse(s)
		if err != nil {
			return
		}
		if e.String() != s {
			t.Errorf("parse(%q) writes as %q: one hash has two spellings", s, e)
		}
		if e.memory > maxMemory || e.passes > maxPasses || e.lanes > maxLanes || len(e.salt) > maxBytes || len(e.key) > maxBytes {
			t.Errorf("parse(%q) asks for more than the caps", s)
		}
	})
}
