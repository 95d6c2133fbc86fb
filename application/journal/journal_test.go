package journal_test

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gatehouse/adapters/system"
	"gatehouse/application/accounts"
	"gatehouse/application/guard"
	"gatehouse/application/journal"
	"gatehouse/application/sessions"
	"gatehouse/domain/access"
	"gatehouse/domain/audit"
	"gatehouse/domain/mail"
	"gatehouse/domain/product"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/ports"
	"gatehouse/tests/house"
)

func newBook() journal.Book {
	return journal.Book{Random: system.NewRandom(), Now: func() time.Time { return house.Noon }}
}

func TestEntriesSayWhereTheyCameFrom(t *testing.T) {
	b, id := newBook(), user.ID{UUID: system.NewRandom().ID(house.Noon)}
	from := audit.Origin{IP: netip.MustParseAddr("192.0.2.1"), UserAgent: "curl/8", RequestID: "r-1"}
	ctx := ports.WithOrigin(t.Context(), ports.Origin{Origin: from, Language: mail.Korean})
	e := b.Own(ctx, audit.Exported, audit.Success, id, "a", "1", "b", "2")
	if e.Origin != from || e.At != house.Noon || e.Actor != id || e.Subject != audit.Of(id) || e.ID.IsZero() || e.DetailText() != `{"a":"1","b":"2"}` {
		t.Errorf("the entry is %+v", e)
	}
	if e := b.Own(t.Context(), audit.Exported, audit.Success, id); e.Origin != (audit.Origin{}) || e.Detail != nil {
		t.Errorf("an entry of nowhere is %+v", e)
	}
	email, _ := user.NewEmail("ann@example.com")
	u := user.New(id, email, user.Name{}, user.PasswordHash{}, house.Noon)
	if l := b.Letter(ctx, mail.PasswordChanged, u, "at", "x"); l.Language != mail.Korean || l.To != email || l.UserID != id || l.CreatedAt != house.Noon || len(l.Detail) != 1 {
		t.Errorf("the letter is %+v", l)
	}
	if l := b.Letter(t.Context(), mail.PasswordChanged, u); l.Language != mail.English {
		t.Errorf("a letter of nowhere is in %q", l.Language)
	}
}

// A link that was asked for is not sent when the sessions of then were ended.
func TestStillMeant(t *testing.T) {
	b := newBook()
	email, _ := user.NewEmail("ann@example.com")
	u := user.New(user.ID{}, email, user.Name{}, user.PasswordHash{}, house.Noon)
	l := b.Letter(t.Context(), mail.ResetPassword, u, "at", "x")
	if !journal.StillMeant(l, u) || l.Detail["at"] != "x" {
		t.Error("a letter is not meant when it is written")
	}
	u.VerifyEmail(house.Noon)
	if !journal.StillMeant(l, u) {
		t.Error("a letter is not meant after what ends no session")
	}
	u.ChangePassword(user.PasswordHash{}, house.Noon)
	if journal.StillMeant(l, u) || journal.StillMeant(mail.Letter{}, u) {
		t.Error("a letter is meant after the password was changed, or says nothing of when")
	}
}

// walker does what people, attackers and operators do, and remembers every
// secret and every address that it meets.
type walker struct {
	*house.House
	t         *rapid.T
	secrets   map[string]string // and what it is
	addresses []string
	passwords map[string]string // by address
	totp      map[string]string // secret by address
	recovery  map[string][]string
	sessions  []session.Token
	links     []string
}

func newWalker(t *testing.T, rt *rapid.T) *walker {
	w := &walker{
		House: house.New(t, house.Options{Verified: rapid.Bool().Draw(rt, "verified"), Rules: house.NoRules(), Max: 3}), t: rt,
		secrets: map[string]string{}, passwords: map[string]string{}, totp: map[string]string{}, recovery: map[string][]string{},
		addresses: []string{"Ann@Example.com", "bob@example.com", "carol@example.com", "nobody@example.com"},
	}
	for _, address := range w.addresses[:2] {
		in := w.SignIn(w.Add(address))
		w.signedIn(in, nil)
		w.passwords[address] = w.keep("password", house.Password)
		if address == "bob@example.com" {
			w.armed(address, w.Resume(in.Token))
		}
	}
	if rapid.Bool().Draw(rt, "bounded") {
		w.Guard.Rules = guard.DefaultRules()
	}
	return w
}

// armed has somebody set up a second factor, as well as they can.
func (w *walker) armed(address string, r session.Resumed) {
	e, err := w.Accounts.StartTOTP(w.T.Context(), r)
	if err != nil {
		return
	}
	w.keep("otpauth", e.URI)
	code := w.Code(w.keep("secret", e.Secret), rapid.SampledFrom([]int{0, 0, 0, 2}).Draw(w.t, "steps"))
	codes, err := w.Accounts.ConfirmTOTP(w.T.Context(), r, w.keep("code", code))
	if err != nil {
		return
	}
	w.totp[address], w.recovery[address] = e.Secret, nil
	for _, c := range codes {
		w.recovery[address] = append(w.recovery[address], w.keep("recovery code", c.Reveal()))
	}
}

func (w *walker) keep(what, secret string) string {
	if len(secret) > 5 {
		w.secrets[secret] = what
	}
	return secret
}

func (w *walker) address() string { return rapid.SampledFrom(w.addresses).Draw(w.t, "address") }

func (w *walker) fresh(what string) string {
	return w.keep("password", fmt.Sprintf("%s lighthouse %d", what, len(w.secrets)))
}

// password is what somebody types for one: theirs, another's, or wrong.
func (w *walker) password(address string) string {
	if p, ok := w.passwords[address]; ok && rapid.IntRange(0, 3).Draw(w.t, "mistyped") > 0 {
		return p
	}
	return w.fresh("a wrong")
}

func (w *walker) held() (session.Resumed, bool) {
	if len(w.sessions) == 0 {
		return session.Resumed{}, false
	}
	r, err := w.Sessions.Resume(w.T.Context(), rapid.SampledFrom(w.sessions).Draw(w.t, "session"))
	return r, err == nil
}

func (w *walker) signedIn(in sessions.SignedIn, err error) {
	if err == nil {
		w.keep("session token", in.Token.Reveal())
		w.keep("session key", in.Session.Key().Hex())
		w.keep("device", in.Device)
		w.sessions = append(w.sessions, in.Token)
	}
}

// walks are the acts, each of which may fail.
func (w *walker) walks() map[string]func() {
	ctx := house.From(w.T.Context(), "192.0.2.1")
	as := func(act func(r session.Resumed, address string)) func() {
		return func() {
			if r, ok := w.held(); ok {
				act(r, r.User.Email().String())
			}
		}
	}
	link := func() string {
		if len(w.links) == 0 {
			return w.keep("token", w.Random.Token().Reveal())
		}
		return rapid.SampledFrom(w.links).Draw(w.t, "link")
	}
	return map[string]func(){
		"register": func() {
			address, p := w.address(), w.fresh("a quiet")
			if _, err := w.Accounts.Register(ctx, accounts.Registration{Email: address, Password: p, Name: "Somebody"}); err == nil {
				w.passwords[address] = p
			}
		},
		"sign in": func() {
			address := w.address()
			c := sessions.Credentials{Email: address, Password: w.password(address)}
			var over *session.Resumed
			if r, ok := w.held(); ok && rapid.Bool().Draw(w.t, "over") {
				over = &r
			}
			in, err := w.Sessions.SignIn(ctx, c, house.Device("192.0.2.1"), over)
			w.signedIn(in, err)
			if err != nil || !in.Session.Pending() {
				return
			}
			r, err := w.Sessions.ResumePending(ctx, in.Token)
			if err != nil {
				return
			}
			w.Move(time.Minute)
			code := sessions.Code{TOTP: w.keep("code", w.Code(w.totp[address], rapid.IntRange(-2, 2).Draw(w.t, "steps")))}
			if codes := w.recovery[address]; len(codes) > 0 && rapid.Bool().Draw(w.t, "recovery") {
				code = sessions.Code{Recovery: rapid.SampledFrom(codes).Draw(w.t, "code")}
			}
			w.signedIn(w.Sessions.SecondStep(ctx, r, code))
		},
		"forgot": func() { _ = w.Accounts.RequestReset(ctx, w.address()) },
		"reset": func() {
			p, tok := w.fresh("a new"), link()
			if w.Accounts.ResetPassword(ctx, accounts.Reset{Token: tok, New: p}) == nil {
				for address := range w.passwords { // whose it was is seen by trying
					w.passwords[address] = p
				}
			}
		},
		"verify":         func() { _ = w.Accounts.VerifyEmail(ctx, link()) },
		"ask for a link": as(func(r session.Resumed, _ string) { _ = w.Accounts.RequestVerification(ctx, r) }),
		"want an address": as(func(r session.Resumed, address string) {
			next := fmt.Sprintf("Moved%d@Example.com", len(w.addresses))
			if rapid.Bool().Draw(w.t, "taken") {
				next = w.address()
			}
			if w.Accounts.RequestEmailChange(ctx, r, accounts.EmailChange{Email: next, Current: w.password(address)}) == nil {
				w.addresses, w.passwords[next] = append(w.addresses, next), w.passwords[address]
			}
		}),
		"change the password": as(func(r session.Resumed, address string) {
			p := w.fresh("another")
			in, err := w.Accounts.ChangePassword(ctx, r, accounts.PasswordChange{Current: w.password(address), New: p})
			if w.signedIn(in, err); err == nil {
				w.passwords[address] = p
			}
		}),
		"reauthenticate": as(func(r session.Resumed, address string) {
			w.signedIn(w.Sessions.Reauthenticate(ctx, r, w.password(address)))
		}),
		"rename": as(func(r session.Resumed, _ string) {
			name := "Somebody Else"
			_, _ = w.Accounts.ChangeProfile(ctx, r, accounts.Profile{Name: &name})
		}),
		"set up a factor":   as(func(r session.Resumed, address string) { w.armed(address, r) }),
		"remove the factor": as(func(r session.Resumed, address string) { _ = w.Accounts.RemoveTOTP(ctx, r, w.password(address)) }),
		"sign out": func() {
			if len(w.sessions) > 0 {
				_ = w.Sessions.SignOut(ctx, rapid.SampledFrom(w.sessions).Draw(w.t, "session"))
			}
		},
		"end one":        as(func(r session.Resumed, _ string) { _ = w.Sessions.End(ctx, r, r.Session.ID()) }),
		"end the others": as(func(r session.Resumed, _ string) { _ = w.Sessions.EndOthers(ctx, r) }),
		"export":         as(func(r session.Resumed, _ string) { _, _ = w.Accounts.Export(ctx, r) }),
		"leave":          as(func(r session.Resumed, address string) { _ = w.Accounts.Leave(ctx, r, w.password(address)) }),
		"do what may not": as(func(r session.Resumed, _ string) {
			nobody := access.SignedIn(user.Restore(user.State{ID: r.User.ID()}), 1)
			_, _ = w.Products.Create(ctx, nobody, product.Draft{Name: "Lamp", Currency: "KRW"}, nil)
		}),
		"operate": func() {
			status := rapid.SampledFrom([]user.Status{user.Active, user.Active, user.Disabled}).Draw(w.t, "status")
			_, _ = w.Operator.SetStatus(ctx, w.address(), status)
			_, _ = w.Operator.SetRoles(ctx, w.address(), []user.Role{user.RoleModerator})
			p := w.fresh("an operated")
			_, _ = w.Operator.CreateUser(ctx, accounts.Registration{Email: fmt.Sprintf("made%d@example.com", len(w.secrets)), Password: p}, nil)
		},
		"deliver": func() {
			w.look() // at what waits, before it goes
			for _, m := range w.Deliver() {
				if tok := house.TokenIn(m); tok != "" {
					w.links = append(w.links, w.keep("link", tok))
				}
			}
		},
		"pass the time": func() {
			w.Move(rapid.SampledFrom([]time.Duration{time.Second, time.Minute, time.Hour, 25 * time.Hour}).Draw(w.t, "time"))
			_, _ = w.Sessions.Prune(ctx)
		},
	}
}

// look holds the log and the outbox to what may stand in them.
func (w *walker) look() {
	users, err := w.DB.Users().List(w.T.Context(), user.ID{}, 100)
	if err != nil {
		w.t.Fatal(err)
	}
	var written, waiting []string
	for _, r := range w.Rows() {
		written = append(written, strings.Join([]string{string(r.Event), r.Subject.Type, r.Subject.ID, r.Origin.UserAgent, r.Origin.RequestID, r.DetailText()}, " "))
	}
	for _, u := range users {
		w.keep("hash of a password", u.PasswordHash().Reveal())
		w.addresses = append(w.addresses, u.Email().String())
		for _, l := range w.Letters(u) {
			waiting = append(waiting, fmt.Sprint(l.Kind, l.To, l.Language, l.Detail))
		}
	}
	slices.Sort(w.addresses)
	w.addresses = slices.Compact(w.addresses)
	for _, text := range slices.Concat(written, waiting) {
		for secret, what := range w.secrets {
			if strings.Contains(text, secret) {
				w.t.Fatalf("a %s stands in %q", what, text)
			}
		}
	}
	for _, text := range written {
		for _, address := range w.addresses {
			if strings.Contains(strings.ToLower(text), strings.ToLower(address)) {
				w.t.Fatalf("an address stands in the log: %q", text)
			}
		}
	}
	if rows, err := w.Operator.VerifyAudit(w.T.Context()); err != nil || rows != len(written) {
		w.t.Fatalf("VerifyAudit = %d of %d, %v", rows, len(written), err)
	}
}

// TestNoSecretIsWrittenDown: whatever is done, no row of the log and no letter
// that waits holds a password, a token, a code, a secret or a hash of one, and no
// row an e-mail address; and the chain of the log holds.
func TestNoSecretIsWrittenDown(t *testing.T) {
	seen := map[audit.Event]bool{}
	kinds := map[string]bool{}
	rapid.Check(t, func(rt *rapid.T) {
		w := newWalker(t, rt)
		walks := w.walks()
		names := slices.Sorted(maps.Keys(walks))
		for range rapid.IntRange(30, 150).Draw(rt, "acts") {
			walks[rapid.SampledFrom(names).Draw(rt, "act")]()
		}
		w.look()
		for _, r := range w.Rows() {
			seen[r.Event] = true
		}
		for _, m := range w.Mailbox.Messages() {
			kinds[m.Subject] = true
		}
	})
	// A walk that gets nowhere proves nothing.
	for _, e := range []audit.Event{
		audit.Registered, audit.SignedIn, audit.SignInFailed, audit.SignInAwaits, audit.SessionEnded, audit.Reauthenticated, audit.ReauthFailed,
		audit.PasswordChanged, audit.PasswordRefused, audit.ResetRequested, audit.PasswordReset, audit.EmailVerified, audit.EmailChangeAsked,
		audit.FactorStarted, audit.FactorConfirmed, audit.Left, audit.Exported, audit.Denied, audit.UserCreated, audit.RolesChanged, audit.StatusChanged,
	} {
		if !seen[e] {
			t.Errorf("no walk came to %s", e)
		}
	}
	if len(kinds) < 5 {
		t.Errorf("%d kinds of mails were sent: %v", len(kinds), kinds)
	}
}
