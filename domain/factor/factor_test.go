package factor_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gatehouse/domain/factor"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
)

var (
	noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	ann  = user.ID{UUID: uuid.UUID{1}}
)

// code is the n-th recovery code.
func code(n byte) factor.RecoveryCode { return factor.NewRecoveryCode([32]byte{n, 0xff, 14: n}) }

// confirmed is a factor in force, with three codes, whose newest step is 100.
func confirmed(t *testing.T) factor.Factor {
	t.Helper()
	f := factor.Start(ann, []byte("sealed"), noon)
	if err := f.Confirm(100, []factor.CodeHash{code(1).Hash(), code(2).Hash(), code(3).Hash()}, noon.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestSettingUp(t *testing.T) {
	var none factor.Factor
	if !none.IsZero() || none.On() || none.Left() != 0 {
		t.Errorf("the zero factor is one: %+v", none.State())
	}
	if err := none.Confirm(1, nil, noon); !errors.Is(err, factor.ErrNotStarted) || !none.IsZero() {
		t.Errorf("Confirm of none = %v, want ErrNotStarted", err)
	}
	f := factor.Start(ann, []byte("sealed"), noon.Add(789).In(time.FixedZone("Seoul", 9*60*60)))
	if f.IsZero() || f.On() || f.UserID() != ann || string(f.Secret()) != "sealed" || f.State().StartedAt != noon {
		t.Errorf("Start = %+v, want a factor that is not in force yet", f.State())
	}
	if err := f.UseStep(5); !errors.Is(err, factor.ErrInvalidCode) {
		t.Errorf("UseStep before Confirm = %v, want ErrInvalidCode", err)
	}
	f = confirmed(t)
	if !f.On() || f.Left() != 3 || f.State().ConfirmedAt != noon.Add(time.Minute) {
		t.Errorf("Confirm = %+v, want it in force with 3 codes", f.State())
	}
	before := f.State()
	if err := f.Confirm(200, nil, noon); !errors.Is(err, factor.ErrAlreadyOn) || f.Left() != 3 || f.State().LastStep != before.LastStep {
		t.Errorf("Confirm again = %v, want ErrAlreadyOn and nothing changed", err)
	}
}

// The code that confirmed is used, and no code is good twice, nor one that came
// before it (RFC 6238 section 5.2).
func TestStepsGoUp(t *testing.T) {
	f := confirmed(t)
	for _, c := range []struct {
		step int64
		good bool
	}{{100, false}, {99, false}, {101, true}, {101, false}, {100, false}, {105, true}, {104, false}, {106, true}} {
		err := f.UseStep(c.step)
		if (err == nil) != c.good || err != nil && !errors.Is(err, factor.ErrInvalidCode) {
			t.Errorf("UseStep(%d) = %v, want it good: %v", c.step, err, c.good)
		}
	}
	if got := f.State().LastStep; got != 106 {
		t.Errorf("the newest step = %d, want 106", got)
	}
}

func TestRecoveryCodesAreGoodOnce(t *testing.T) {
	f := confirmed(t)
	before := f
	for _, c := range []struct {
		code byte
		good bool
		left int
	}{{2, true, 2}, {2, false, 2}, {9, false, 2}, {1, true, 1}, {3, true, 0}, {3, false, 0}} {
		err := f.UseRecovery(code(c.code).Hash())
		if (err == nil) != c.good || err != nil && !errors.Is(err, factor.ErrInvalidCode) || f.Left() != c.left {
			t.Errorf("UseRecovery(%d) = %v with %d left, want it good: %v with %d left", c.code, err, f.Left(), c.good, c.left)
		}
	}
	if before.Left() != 3 || before.State().Recovery[1] != code(2).Hash() {
		t.Error("UseRecovery changed a copy of the factor: a change that fails would leave the code used")
	}
	started := factor.Restore(factor.State{UserID: ann, Recovery: []factor.CodeHash{code(1).Hash()}})
	if err := started.UseRecovery(code(1).Hash()); !errors.Is(err, factor.ErrInvalidCode) {
		t.Errorf("UseRecovery before Confirm = %v, want ErrInvalidCode", err)
	}
	var none factor.Factor
	if err := none.UseRecovery(factor.CodeHash{}); !errors.Is(err, factor.ErrInvalidCode) {
		t.Errorf("UseRecovery(the zero hash) of none = %v, want ErrInvalidCode", err)
	}
}

func TestNothingIsShared(t *testing.T) {
	secret, codes := []byte("sealed"), []factor.CodeHash{code(1).Hash()}
	f := factor.Start(ann, secret, noon)
	if err := f.Confirm(1, codes, noon); err != nil {
		t.Fatal(err)
	}
	state := f.State()
	again := factor.Restore(state)
	for _, b := range [][]byte{secret, f.Secret(), state.Secret} {
		b[0] = 'X'
	}
	codes[0], state.Recovery[0] = factor.CodeHash{}, factor.CodeHash{}
	for _, f := range []factor.Factor{f, again} {
		if got := f.State(); !bytes.Equal(got.Secret, []byte("sealed")) || got.Recovery[0] != code(1).Hash() {
			t.Errorf("the factor changed with what was handed in or out: %s", got.Secret)
		}
	}
}

func TestRestoreGivesBackTheState(t *testing.T) {
	for _, f := range []factor.Factor{{}, factor.Start(ann, nil, noon), confirmed(t)} {
		if got, want := fmt.Sprintf("%+v", factor.Restore(f.State()).State()), fmt.Sprintf("%+v", f.State()); got != want {
			t.Errorf("Restore(State) = %s, want %s", got, want)
		}
	}
	// A store that has no time for "not confirmed" must not put it in force.
	if factor.Restore(factor.State{UserID: ann, ConfirmedAt: time.Time{}.In(time.Local)}).On() {
		t.Error("a factor without a time of confirmation is in force")
	}
}

func TestRecoveryCodeShape(t *testing.T) {
	shape := regexp.MustCompile(`^([A-Z2-7]{4}-){5}[A-Z2-7]{4}$`)
	seen := map[string]bool{}
	for n := range byte(100) {
		text := code(n).Reveal()
		if !shape.MatchString(text) {
			t.Errorf("a recovery code reads %q, want six groups of four", text)
		}
		seen[text] = true
	}
	if len(seen) != 100 {
		t.Errorf("100 codes are %d different ones", len(seen))
	}
	// 120 bits of what is random count, and each of them.
	rapid.Check(t, func(t *rapid.T) {
		random := [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "random"))
		other, bit := random, rapid.IntRange(0, 119).Draw(t, "bit")
		other[bit/8] ^= 1 << (bit % 8)
		if factor.NewRecoveryCode(random) == factor.NewRecoveryCode(other) {
			t.Fatalf("bit %d makes no difference", bit)
		}
	})
}

func TestHashCode(t *testing.T) {
	text := code(7).Reveal()
	bare := strings.ReplaceAll(text, "-", "")
	for _, typed := range []string{
		text, bare, strings.ToLower(text), "  " + text + " ", strings.ReplaceAll(text, "-", " "), "-" + strings.ToLower(bare) + "-", strings.Join(strings.Split(bare, ""), " "),
	} {
		if h, ok := factor.HashCode(typed); !ok || h != code(7).Hash() {
			t.Errorf("HashCode(%q) is another code, or none", typed)
		}
	}
	for _, typed := range []string{
		"", "123456", bare[:23], bare + "A", text + "=", bare[:23] + "=", bare[:23] + "1", bare[:23] + "0", bare[:23] + "\n", bare + "\n", "\r\n" + bare,
		strings.Replace(bare, bare[:1], "ſ", 1), bare[:23] + "Ａ", strings.Repeat(bare, 2), strings.Repeat("-", 24), strings.Repeat("A", 1<<16), bare[:22] + "\xff\xfe",
	} {
		if _, ok := factor.HashCode(typed); ok {
			t.Errorf("HashCode(%.40q) took it", typed)
		}
	}
}

func FuzzHashCode(f *testing.F) {
	f.Add(code(1).Reveal())
	f.Add(strings.ToLower(code(2).Reveal()))
	f.Add("AAAA-AAAA-AAAA-AAAA-AAAA-AAA\n")
	plain := strings.NewReplacer("-", "", " ", "")
	f.Fuzz(func(t *testing.T, typed string) {
		h, ok := factor.HashCode(typed)
		bare := plain.Replace(typed)
		if ok != regexp.MustCompile(`\A[A-Za-z2-7]{24}\z`).MatchString(bare) {
			t.Fatalf("HashCode(%q) took it: %v", typed, ok)
		}
		if ok && h != sha256.Sum256([]byte(strings.ToUpper(bare))) {
			t.Fatalf("HashCode(%q) is not the hash of the code", typed)
		}
	})
}

func TestSecretsDoNotPrint(t *testing.T) {
	c := code(5)
	h := c.Hash()
	f := factor.Restore(factor.State{UserID: ann, Secret: []byte("sealed"), ConfirmedAt: noon, Recovery: []factor.CodeHash{h}})
	for _, one := range []any{c, &c, []factor.RecoveryCode{c}, h, []factor.CodeHash{h}, f, &f, struct{ F factor.Factor }{f}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			got := fmt.Sprintf(verb, one)
			for _, secret := range []string{c.Reveal(), fmt.Sprintf("%x", [4]byte(h[:4])), "sealed", fmt.Sprintf("%x", "sealed"), fmt.Sprint([]byte("sealed"))} {
				if strings.Contains(got, secret) {
					t.Errorf("Sprintf(%q, %T) = %s", verb, one, got)
				}
			}
		}
	}
}
