package promstats_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"gatehouse/adapters/memory"
	"gatehouse/adapters/promstats"
	"gatehouse/domain/access"
	"gatehouse/domain/audit"
	"gatehouse/domain/fault"
	"gatehouse/domain/mail"
	"gatehouse/domain/product"
	"gatehouse/domain/session"
	"gatehouse/domain/throttle"
	"gatehouse/domain/user"
	"gatehouse/ports"
	"gatehouse/ports/portstest"
)

// What stands around a port is what it stands around: it passes the same suite.

func TestSessions(t *testing.T) {
	portstest.Sessions(t, sessionStores)
	portstest.SessionDirectory(t, sessionStores)
}

func sessionStores(*testing.T) portstest.SessionStores {
	db, s := memory.New(), promstats.New("")
	return portstest.SessionStores{Users: db.Users(), Sessions: s.Sessions(db.Sessions()), Directory: s.Directory(db.Sessions()), Policies: db.Policies()}
}

func TestRecords(t *testing.T) {
	open := func(*testing.T) portstest.RecordStores {
		db, s := memory.New(), promstats.New("")
		return portstest.RecordStores{
			Users: db.Users(), Factors: db.Factors(), Products: db.Products(), Ledger: s.Ledger(db.Ledger()), Log: db.Ledger(),
			Tickets: db.Tickets(), Answers: db.Answers(), Outbox: db.Outbox(), Events: s.Events(db.Events()),
		}
	}
	portstest.Ledger(t, open)
	portstest.Events(t, open)
}

func TestLimiter(t *testing.T) {
	portstest.Limiter(t, func(*testing.T) ports.Limiter { return promstats.New("").Limiter(memory.New().Limiter(), true) })
}

func TestAuthorizer(t *testing.T) {
	portstest.Authorizer(t, func(_ *testing.T, p ports.PolicyRepository, v access.Vocabulary) ports.Authorizer {
		return promstats.New("").Authorizer(memory.NewAuthorizer(p, v))
	})
}

func TestPasswordHasher(t *testing.T) {
	portstest.PasswordHasher(t, func(*testing.T) ports.PasswordHasher { return promstats.New("").Hasher(memory.Hasher{}) })
}

// TestNobodyCounts: a nil *Stats stands around nothing, and costs nothing.
func TestNobodyCounts(t *testing.T) {
	var s *promstats.Stats
	db := memory.New()
	sessions, ledger, limiter := db.Sessions(), db.Ledger(), db.Limiter()
	if s.Sessions(sessions) != ports.SessionRepository(sessions) || s.Ledger(ledger) != ports.Ledger(ledger) ||
		s.Limiter(limiter, true) != ports.Limiter(limiter) || s.Hasher(memory.Hasher{}) != ports.PasswordHasher(memory.Hasher{}) {
		t.Error("something stands around a port that nobody looks at")
	}
}

// answers are ports that answer what they are told to.
type answers struct {
	ports.SessionRepository
	ports.SessionDirectory
	ports.Authorizer
	ports.PasswordHasher
	access.Rights
	err     error
	ended   []session.Session
	verdict throttle.Verdict
	allowed bool
}

func (a answers) Add(context.Context, session.Session) error { return a.err }

func (a answers) End(context.Context, session.Key, session.Ending) (session.Session, error) {
	return session.Session{}, a.err
}

func (a answers) EndOne(context.Context, user.ID, session.ID, session.Ending) (session.Session, error) {
	return session.Session{}, a.err
}

func (a answers) EndOthers(context.Context, user.ID, session.Key, session.Ending) ([]session.Session, error) {
	return a.ended, a.err
}

func (a answers) Trim(context.Context, user.ID, int, session.Ending) ([]session.Session, error) {
	return a.ended, a.err
}

func (a answers) Prune(context.Context, time.Time, int) (int, error) { return 5, a.err }

func (a answers) Record(context.Context, ports.Along) error { return a.err }

func (a answers) Verify(context.Context, user.Password, user.PasswordHash) (bool, error) {
	return false, a.err
}

func (a answers) Take(context.Context, string, throttle.Rule, time.Time) (throttle.Verdict, error) {
	return a.verdict, a.err
}
func (answers) Return(context.Context, string, throttle.Rule) error { return nil }
func (answers) Forget(context.Context, ...string) error             { return nil }

func (a answers) Send(context.Context, mail.Message) error { return a.err }

func (a answers) Decide(access.Action, access.Resource) (access.Decision, error) {
	return access.Decision{Allowed: a.allowed}, a.err
}

func (a answers) Filter(access.Action, access.Kind) (access.Filter, error) { return nil, a.err }

// rightsOf gives everybody the same rights.
type rightsOf struct{ rights access.Rights }

func (r rightsOf) Rights(context.Context, access.Actor) (access.Rights, error) { return r.rights, nil }

var (
	errFailing = errors.New("no")
	away       = fault.Outage(errFailing)
)

func TestWhatHappensIsCounted(t *testing.T) {
	ctx, s := t.Context(), promstats.New("")
	was := answers{ended: make([]session.Session, 3)}
	sessions, broken := s.Sessions(was), s.Sessions(answers{err: errFailing})
	full := session.Begin(session.Start{Methods: session.ByPassword}, session.DefaultLifetime, time.Now())
	pending := session.Begin(session.Start{}, session.DefaultLifetime, time.Now())
	_, _, _ = sessions.Add(ctx, full), sessions.Add(ctx, pending), broken.Add(ctx, full)
	because := func(why session.Reason) session.Ending { return session.Ending{Why: why} }
	_, _ = sessions.End(ctx, session.Key{}, because(session.SignedOut))
	_, _ = broken.End(ctx, session.Key{}, because(session.SignedOut))
	directory := s.Directory(was)
	_, _ = directory.EndOne(ctx, user.ID{}, session.ID{}, because(session.EndedByOwner))
	_, _ = directory.EndOthers(ctx, user.ID{}, session.Key{}, because(session.PasswordChanged))
	_, _ = directory.Trim(ctx, user.ID{}, 1, because(session.LimitReached))
	_, _ = directory.Prune(ctx, time.Now(), 10)

	for _, book := range []ports.Ledger{s.Ledger(was), s.Ledger(answers{err: errFailing})} {
		_ = book.Record(ctx, ports.Along{Audit: []audit.Entry{
			{Event: audit.SignedIn}, {Event: audit.SignInAwaits}, {Event: audit.FactorFailed}, {Event: audit.SignInThrottled},
			{Event: audit.SignInFailed, Detail: map[string]string{"reason": "password"}},
			{Event: audit.SignInFailed, Detail: map[string]string{"reason": "ann@example.com"}}, {Event: audit.Exported},
		}})
	}

	for _, err := range []error{nil, errFailing, away, away} {
		_, _ = s.Hasher(answers{err: err}).Verify(ctx, user.Password{}, user.PasswordHash{})
	}

	for _, a := range []answers{{allowed: true}, {}, {}, {err: errFailing}} {
		rights, err := s.Authorizer(rightsOf{a}).Rights(ctx, access.Anonymous())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = rights.Decide(access.Update, access.Any(access.KindProduct))
		_, _ = rights.Filter(access.Read, access.KindUser)
		_, _ = rights.Decide(access.Action{}, access.Resource{})
	}

	for _, a := range []answers{{verdict: throttle.Verdict{Granted: true}}, {}, {err: away}} {
		_, _ = s.Limiter(a, true).Take(ctx, "sign-in:0123456789abcdef", throttle.Rule{}, time.Now())
		_, _ = s.Limiter(a, false).Take(ctx, "code:0123456789abcdef", throttle.Rule{}, time.Now())
	}

	for _, err := range []error{nil, nil, away, fault.New(fault.Invalid, "x", "x")} {
		_ = s.Mailer(answers{err: err}).Send(ctx, mail.Message{})
	}

	queue, d := s.Events(memory.New().Events()), product.Delivery{Subscriber: "stock"}
	_, _, _ = queue.Done(ctx, d), queue.Postpone(ctx, d, time.Now(), ""), queue.Bury(ctx, d, time.Now(), "")

	want(t, shown(t, s),
		`gatehouse_sessions_begun_total{kind="full"} 1`, `gatehouse_sessions_begun_total{kind="pending"} 1`,
		`gatehouse_sessions_ended_total{reason="signed_out"} 1`, `gatehouse_sessions_ended_total{reason="ended_by_owner"} 1`,
		`gatehouse_sessions_ended_total{reason="password_changed"} 3`, `gatehouse_sessions_ended_total{reason="session_limit"} 3`,
		`gatehouse_sessions_ended_total{reason="ran_out"} 5`, `gatehouse_sessions_ended_total{reason="ended_by_admin"} 0`,
		`gatehouse_sign_ins_total{outcome="signed_in"} 1`, `gatehouse_sign_ins_total{outcome="second_factor_awaited"} 1`,
		`gatehouse_sign_ins_total{outcome="second_factor_failed"} 1`, `gatehouse_sign_ins_total{outcome="throttled"} 1`,
		`gatehouse_sign_ins_total{outcome="password"} 1`, `gatehouse_sign_ins_total{outcome="other"} 1`, `gatehouse_sign_ins_total{outcome="disabled"} 0`,
		`gatehouse_password_hash_duration_seconds_count{work="verify"} 1`, `gatehouse_password_hashes_refused_total 2`,
		`gatehouse_decisions_total{action="update",outcome="allowed",resource="product"} 1`,
		`gatehouse_decisions_total{action="update",outcome="denied",resource="product"} 2`,
		`gatehouse_decisions_total{action="update",outcome="failed",resource="product"} 1`,
		`gatehouse_decisions_total{action="read",outcome="narrowed",resource="user"} 3`,
		`gatehouse_decisions_total{action="other",outcome="denied",resource="other"} 2`,
		`gatehouse_throttle_tries_total{counted="together",outcome="granted",throttle="sign-in"} 1`,
		`gatehouse_throttle_tries_total{counted="together",outcome="refused",throttle="sign-in"} 1`,
		`gatehouse_throttle_tries_total{counted="together",outcome="failed",throttle="sign-in"} 1`,
		`gatehouse_throttle_tries_total{counted="alone",outcome="refused",throttle="code"} 1`,
		`gatehouse_mails_total{outcome="sent"} 2`, `gatehouse_mails_total{outcome="failed"} 1`, `gatehouse_mails_total{outcome="refused"} 1`,
		`gatehouse_events_total{outcome="failed",subscriber="stock"} 1`, `gatehouse_events_total{outcome="set_aside",subscriber="stock"} 1`,
	)
}

// TestDecisionsCostOneAllocation: the rights, which know who counts.
func TestDecisionsCostOneAllocation(t *testing.T) {
	ctx, plain := t.Context(), ports.Authorizer(rightsOf{answers{allowed: true}})
	ask := func(a ports.Authorizer) float64 {
		return testing.AllocsPerRun(1000, func() {
			rights, _ := a.Rights(ctx, access.Anonymous())
			_, _ = rights.Decide(access.Read, access.Any(access.KindProduct))
		})
	}
	if without, with := ask(plain), ask(promstats.New("").Authorizer(plain)); with > without+1 {
		t.Errorf("a decision allocates %v times, and %v times when it is counted; want one more", without, with)
	}
}

func BenchmarkDecide(b *testing.B) {
	plain := ports.Authorizer(rightsOf{answers{allowed: true}})
	for name, a := range map[string]ports.Authorizer{"plain": plain, "counted": promstats.New("").Authorizer(plain)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				rights, _ := a.Rights(context.Background(), access.Anonymous())
				_, _ = rights.Decide(access.Read, access.Any(access.KindProduct))
			}
		})
	}
}
