package totp_test

import (
	"encoding/base32"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse/adapters/totp"
	"gatehouse/ports"
	"gatehouse/ports/portstest"
)

func TestContract(t *testing.T) {
	portstest.OneTimePasswords(t, func(*testing.T) ports.OneTimePasswords { return totp.New("Gatehouse") })
}

// The test vectors of RFC 6238 appendix B for SHA-1, of whose eight digits the
// last six are the code.
func TestVectors(t *testing.T) {
	secret := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString([]byte("12345678901234567890"))
	for _, v := range []struct {
		at   int64
		step int64
		code string
	}{
		{59, 0x1, "287082"},
		{1111111109, 0x23523EC, "081804"},
		{1111111111, 0x23523ED, "050471"},
		{1234567890, 0x273EF07, "005924"},
		{2000000000, 0x3F940AA, "279037"},
		{20000000000, 0x27BC86AA, "353130"},
	} {
		if step, ok := totp.New("Gatehouse").Match(secret, v.code, time.Unix(v.at, 0)); !ok || step != v.step {
			t.Errorf("Match(%s) at %d = %d, %v, want step %d", v.code, v.at, step, ok, v.step)
		}
	}
}

// The form that authenticator apps read:
// https://github.com/google/google-authenticator/wiki/Key-Uri-Format
func TestURI(t *testing.T) {
	secret, uri := totp.New("Gate House").Secret([32]byte{1, 2, 3}, "ann+x@example.com")
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	if u.Scheme != "otpauth" || u.Host != "totp" || u.Path != "/Gate House:ann+x@example.com" {
		t.Errorf("the URI %s does not name issuer and account", uri)
	}
	for name, want := range map[string]string{"secret": secret, "issuer": "Gate House", "algorithm": "SHA1", "digits": "6", "period": "30"} {
		if got := u.Query().Get(name); got != want {
			t.Errorf("%s = %q in %s, want %q", name, got, uri, want)
		}
	}
	// Apps that do not read + as a space show the issuer with a + in it.
	if want := "issuer=Gate%20House"; !strings.Contains(uri, want) {
		t.Errorf("the URI is %s, want %s in it", uri, want)
	}
}

// Of two steps with one code the present one counts: with the later the code
// would be used up for a time that has not come, with the earlier it could be
// used twice.
func TestTheStepOfNowComesFirst(t *testing.T) {
	const secret, step, code = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", 910737, "911617" // of this step and the next
	for _, at := range []int64{step, step + 1} {
		if got, ok := totp.New("Gatehouse").Match(secret, code, time.Unix(at*30, 0)); !ok || got != at {
			t.Errorf("Match in step %d = %d, %v, want that step", at, got, ok)
		}
	}
}

func FuzzMatch(f *testing.F) {
	c := totp.New("Gatehouse")
	f.Add("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "287 082", int64(59))
	f.Add("", "000000", int64(-1))
	f.Fuzz(func(t *testing.T, secret, code string, at int64) {
		step, ok := c.Match(secret, code, time.Unix(at, 0))
		if d := step - at/30; ok && (d < -1 || d > 1) {
			t.Errorf("Match(%q) at %d = step %d", code, at, step)
		}
	})
}
