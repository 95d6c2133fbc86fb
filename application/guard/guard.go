// Package guard says how often something may be tried, and keeps count through
// ports.Limiter: signing in, codes, confirmations, registrations, mails asked
// for, searches.
//
// A try is counted before it is made; [Attempt] takes it back, or forgets the
// failures before it, once it is known how it came out. The count is shared by
// all nodes. A store that cannot count neither opens nor locks the door: the
// node's own count holds meanwhile.
package guard

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"time"

	"gatehouse/domain/fault"
	"gatehouse/domain/throttle"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// ErrTooMany answers a try that is one too many, with when the next may be made.
var ErrTooMany = fault.New(fault.TooMany, "too_many_attempts", "There were too many attempts. Wait before you try again.")

// Rules are the bounds, each of which may be off.
type Rules struct {
	SignIn   throttle.Rule // failures in a row for one account from one network, or on one known device
	Account  throttle.Rule // failures in a row for one account from anywhere (NIST SP 800-63B-4 section 3.2.2)
	Network  throttle.Rule // failures from one network, for whatever accounts
	Code     throttle.Rule // wrong codes of a second factor in a row, for one account
	Confirm  throttle.Rule // wrong present passwords in a row, by one account
	Register throttle.Rule // registrations from one network
	Forgot   throttle.Rule // mails to one address that somebody asks for or brings about; three times as many for one network or account
	Search   throttle.Rule // searches and totals from one network
}

// DefaultRules are what holds where nothing is configured. That of a network is
// a rate: behind one address a whole office signs in, of which somebody always
// mistypes, so that failures in a row would never be forgotten there.
func DefaultRules() Rules {
	row := func(limit int, first time.Duration) throttle.Rule {
		return throttle.Rule{Limit: limit, Window: 15 * time.Minute, Pause: first, MaxPause: 15 * time.Minute}
	}
	rate := func(limit int, window time.Duration) throttle.Rule {
		return throttle.Rule{Limit: limit, Window: window, PerWindow: true}
	}
	return Rules{
		SignIn: row(10, 30*time.Second), Account: row(100, time.Minute), Network: rate(300, 15*time.Minute),
		Code: row(10, 30*time.Second), Confirm: row(10, 30*time.Second),
		Register: rate(60, time.Hour), Forgot: rate(20, time.Hour), Search: rate(600, time.Minute),
	}
}

// Config is what a [Guard] is made of; every field is needed.
type Config struct {
	Shared ports.Limiter // counts for all nodes
	Own    ports.Limiter // counts for this one, where Shared cannot
	Rules  Rules
	Now    ports.Clock
}

// Guard bounds tries.
type Guard struct{ Config }

// New returns a guard over the ports.
func New(c Config) *Guard { return &Guard{c} }

// bound is one count that a try goes into.
type bound struct {
	key  string
	rule throttle.Rule
	lift bool // success forgets the failures before it; else it takes back its own try alone
}

// Attempt is a try that has been granted and counted.
type Attempt struct {
	guard *Guard
	taken []counted
	last  bool
}

// counted is a bound and who counted in it. What is taken back is taken back
// there: a store that has come to itself knows nothing of tries that it missed.
type counted struct {
	bound
	by ports.Limiter
}

// SignIn asks for a try to sign in to the account from an address. device is
// one on which the account has signed in before, or "": it has a count of its
// own, so that strangers who lock the account do not lock out its owner (OWASP,
// device cookies). account is any text that names it, whether it exists or not.
func (g *Guard) SignIn(ctx context.Context, account string, from netip.Addr, device string) (*Attempt, error) {
	if device != "" {
		return g.attempt(ctx, bound{key("device", account, device), g.Rules.SignIn, true})
	}
	net := network(from)
	bounds := []bound{
		{key("sign-in", account, net), g.Rules.SignIn, true},
		{key("account", account), g.Rules.Account, true},
	}
	if away(from) {
		bounds = append(bounds, bound{key("network", net), g.Rules.Network, false})
	}
	return g.attempt(ctx, bounds...)
}

// Unlock forgets the failures to sign in to the account, after its owner has
// shown by other means who they are. Wrong codes of a second factor are not
// forgotten: who reads somebody's mail would guess on for ever.
func (g *Guard) Unlock(ctx context.Context, account string) {
	g.forget(ctx, key("account", account), key("sign-in", account, network(ports.OriginOf(ctx).IP)))
}

// Code asks for a try at the second factor of the user.
func (g *Guard) Code(ctx context.Context, id user.ID) (*Attempt, error) {
	return g.attempt(ctx, bound{key("code", id.String()), g.Rules.Code, true})
}

// Confirm asks for a try at the present password of the user, who is signed in.
func (g *Guard) Confirm(ctx context.Context, id user.ID) (*Attempt, error) {
	return g.attempt(ctx, bound{key("confirm", id.String()), g.Rules.Confirm, true})
}

// Register asks whether somebody may register.
func (g *Guard) Register(ctx context.Context) error {
	return g.rate(ctx, "register", g.Rules.Register)
}

// Search asks whether somebody may search, or have a list counted.
func (g *Guard) Search(ctx context.Context) error { return g.rate(ctx, "search", g.Rules.Search) }

// Mail asks whether a mail may be asked for to the address.
func (g *Guard) Mail(ctx context.Context, to user.Email) error { return g.mail(ctx, to) }

// MailFor asks whether the user may have a mail sent to the address, which need
// not be theirs: an account is no means to write to everybody.
func (g *Guard) MailFor(ctx context.Context, by user.ID, to user.Email) error {
	return g.mail(ctx, to, key("mail-account", by.String()))
}

// mail counts for the address, and three times as many for who asks.
func (g *Guard) mail(ctx context.Context, to user.Email, askers ...string) error {
	if from := ports.OriginOf(ctx).IP; away(from) {
		askers = append(askers, key("mail-network", network(from)))
	}
	bounds := []bound{{key: key("mail", to.Canonical()), rule: g.Rules.Forgot}}
	for _, k := range askers {
		many := g.Rules.Forgot
		many.Limit *= 3
		bounds = append(bounds, bound{key: k, rule: many})
	}
	_, err := g.attempt(ctx, bounds...)
	return err
}

// Notice reports whether the user is to be told by mail of something that was
// done in the account. An address from which nobody has answered may be that of
// a stranger, with whose name somebody registered: it is not to be flooded by
// their signing in a thousand times.
func (g *Guard) Notice(ctx context.Context, u user.User) (bool, error) {
	if u.EmailVerified() {
		return true, nil
	}
	_, err := g.attempt(ctx, bound{key: key("notice", u.Email().Canonical()), rule: g.Rules.Forgot})
	if errors.Is(err, fault.TooMany) {
		return false, nil
	}
	return err == nil, err
}

// rate asks for one by the network that the request came from.
func (g *Guard) rate(ctx context.Context, what string, r throttle.Rule) error {
	from := ports.OriginOf(ctx).IP
	if !away(from) {
		return nil
	}
	_, err := g.attempt(ctx, bound{key: key(what, network(from)), rule: r})
	return err
}

// attempt counts a try in every bound, or in none: the narrowest first, so that
// one which is refused there wears down no wider bound.
func (g *Guard) attempt(ctx context.Context, bounds ...bound) (*Attempt, error) {
	a := &Attempt{guard: g}
	for _, b := range bounds {
		if b.rule.Off() {
			continue
		}
		v, by, err := g.take(ctx, b)
		if err != nil {
			a.Void(ctx)
			return nil, err
		}
		if !v.Granted {
			a.Void(ctx)
			return nil, ErrTooMany.Again(v.Wait)
		}
		a.taken = append(a.taken, counted{b, by})
		a.last = a.last || v.Wait > 0
	}
	return a, nil
}

func (g *Guard) take(ctx context.Context, b bound) (v throttle.Verdict, by ports.Limiter, err error) {
	now := g.Now()
	v, err = g.Shared.Take(ctx, b.key, b.rule, now)
	if !errors.Is(err, fault.Unavailable) {
		return v, g.Shared, err
	}
	v, err = g.Own.Take(ctx, b.key, b.rule, now)
	return v, g.Own, err
}

// Last reports whether the try is the last before a pause, should it fail.
func (a *Attempt) Last() bool { return a.last }

// Passed forgets the failures before a try that was right. Of the bound that
// counts for whatever accounts it takes back this try alone: who owns one
// account must not guess at others for ever.
//
// Passed and Void report no failure: it leaves a count too high, which the next
// success or an hour mends, and what was decided stands.
func (a *Attempt) Passed(ctx context.Context) {
	ctx, cancel := settling(ctx)
	defer cancel()
	var lifted []string
	for _, c := range a.taken {
		if c.lift {
			lifted = append(lifted, c.key)
		} else {
			_ = c.by.Return(ctx, c.key, c.rule)
		}
	}
	if len(lifted) > 0 {
		a.guard.forget(ctx, lifted...)
	}
}

// Void takes the try back: it was not made.
func (a *Attempt) Void(ctx context.Context) {
	ctx, cancel := settling(ctx)
	defer cancel()
	for _, c := range a.taken {
		_ = c.by.Return(ctx, c.key, c.rule)
	}
}

func (g *Guard) forget(ctx context.Context, keys ...string) {
	_ = g.Shared.Forget(ctx, keys...)
	_ = g.Own.Forget(ctx, keys...)
}

// settleTime is what a request whose time is over may take to put counts right.
const settleTime = 250 * time.Millisecond

// settling gives a context in which counts can be put right: a try that was not
// made, because its request waited too long for its turn, is not to count.
func settling(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx.Err() == nil {
		return ctx, func() {}
	}
	return context.WithTimeout(context.WithoutCancel(ctx), settleTime)
}

// prune bounds of one statement and how long a count is kept at the least after
// it last changed; no rule looks back further.
const (
	pruneBatch = 1000
	kept       = 25 * time.Hour
)

// Prune deletes counts that mean nothing any more, and returns how many.
func (g *Guard) Prune(ctx context.Context) (int, error) {
	for total := 0; ; {
		n, err := g.Shared.Prune(ctx, g.Now().Add(-kept), pruneBatch)
		total += n
		if err != nil || n < pruneBatch {
			return total, err
		}
	}
}

// key names a count. What it is made of may be personal and is hashed: the
// counts outlive the requests.
func key(what string, parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return what + ":" + hex.EncodeToString(sum[:16])
}

// network is whom an address belongs to: an IPv4 address, or the /64 that one
// subscriber has of IPv6 (RFC 6177).
func network(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		p, _ := a.Prefix(64) // in range
		return p.String()
	}
	return a.String()
}

// away reports whether an address says something about who is there. Loopback
// does not: it is this machine, or a proxy on it that is not named in the
// configuration, behind which everybody is.
func away(a netip.Addr) bool { return a.IsValid() && !a.Unmap().IsLoopback() }
