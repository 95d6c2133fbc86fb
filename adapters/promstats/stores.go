package promstats

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/domain/access"
	"gatehouse/domain/audit"
	"gatehouse/domain/fault"
	"gatehouse/domain/mail"
	"gatehouse/domain/product"
	"gatehouse/domain/session"
	"gatehouse/domain/throttle"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// What stands around the ports. Each passes on what it is asked and what is
// answered, as they are, and counts what came of it.

// counted are the metrics of what happens at the ports.
type counted struct {
	begun, ended, signIns    *prometheus.CounterVec
	decisions                *prometheus.CounterVec
	hashed                   *prometheus.HistogramVec
	hashesRefused            prometheus.Counter
	tries                    *prometheus.CounterVec
	mails, events            *prometheus.CounterVec
	unknown                  *prometheus.CounterVec
	counters                 decisionCounters
	hash, verify             prometheus.Observer
	begunFull, begunAwaiting prometheus.Counter
}

func newCounted(r prometheus.Registerer) counted {
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		r.MustRegister(v)
		return v
	}
	c := counted{
		begun:     vec("gatehouse_sessions_begun_total", "Sessions that were begun; of kind pending are those that await a second factor.", "kind"),
		ended:     vec("gatehouse_sessions_ended_total", "Sessions that were ended, by the reason.", "reason"),
		signIns:   vec("gatehouse_sign_ins_total", "Sign-ins by how they came out, as the audit log has it.", "outcome"),
		decisions: vec("gatehouse_decisions_total", "Authorization decisions; narrowed is a list that was narrowed to what may be seen.", "resource", "action", "outcome"),
		tries:     vec("gatehouse_throttle_tries_total", "Tries that were asked for, by the throttle and by who counted: all nodes together, or this one alone.", "throttle", "counted", "outcome"),
		mails:     vec("gatehouse_mails_total", "Mails that were handed over, failed for now, or were refused for good.", "outcome"),
		events:    vec("gatehouse_events_total", "Events that a subscriber was told of, that failed for now, or that were set aside.", "subscriber", "outcome"),
		unknown:   vec("gatehouse_scrape_failures_total", "How often a store could not say in time what waits in it.", "of"),
	}
	c.hashed = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "gatehouse_password_hash_duration_seconds", Help: "Time of hashing or verifying a password, waiting for a slot included.",
		Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2, 5},
	}, []string{"work"})
	c.hashesRefused = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "gatehouse_password_hashes_refused_total", Help: "Passwords that were not hashed: the queue was full, or time ran out in it.",
	})
	r.MustRegister(c.hashed, c.hashesRefused)
	c.hash, c.verify = c.hashed.WithLabelValues("hash"), c.hashed.WithLabelValues("verify")
	c.begunFull, c.begunAwaiting = c.begun.WithLabelValues("full"), c.begun.WithLabelValues("pending")
	// What may happen is there from the beginning, at zero: a rate that begins with
	// the first of them would miss it.
	for _, why := range reasons {
		c.ended.WithLabelValues(why)
	}
	for _, outcome := range signInOutcomes {
		c.signIns.WithLabelValues(outcome)
	}
	for _, outcome := range []string{sent, failed, refused} {
		c.mails.WithLabelValues(outcome)
	}
	for _, of := range []string{"outbox", "events"} {
		c.unknown.WithLabelValues(of)
	}
	c.counters = newDecisionCounters(c.decisions)
	return c
}

// The outcomes.
const (
	sent, failed, refused = "sent", "failed", "refused"
	told, setAside        = "told", "set_aside"
	granted               = "granted"
	allowed, denied       = "allowed", "denied"
	narrowed, unanswered  = "narrowed", "failed"
	ranOut                = "ran_out"
)

// reasons are why sessions end. A clock ends them when they are pruned; which
// clock it was, the store does not tell.
var reasons = []string{
	session.SignedOut.String(), session.EndedByOwner.String(), session.EndedByAdmin.String(), session.PasswordChanged.String(),
	session.AccountDisabled.String(), session.LimitReached.String(), ranOut,
}

// signInOutcomes are those of sign-ins; the failed ones are called by the reason
// that the audit log has for them.
var signInOutcomes = []string{"signed_in", "second_factor_awaited", "second_factor_failed", "throttled", "unknown", "password", "disabled", "unverified", other}

// Sessions counts the sessions that are begun and ended.
func (s *Stats) Sessions(store ports.SessionRepository) ports.SessionRepository {
	if s == nil {
		return store
	}
	return countedSessions{store, s}
}

type countedSessions struct {
	ports.SessionRepository
	stats *Stats
}

func (c countedSessions) Add(ctx context.Context, one session.Session) error {
	err := c.SessionRepository.Add(ctx, one)
	switch {
	case err != nil:
	case one.Pending():
		c.stats.begunAwaiting.Inc()
	default:
		c.stats.begunFull.Inc()
	}
	return err
}

func (c countedSessions) End(ctx context.Context, k session.Key, e session.Ending) (session.Session, error) {
	one, err := c.SessionRepository.End(ctx, k, e)
	if err == nil {
		c.stats.endedBy(e, 1)
	}
	return one, err
}

func (s *Stats) endedBy(e session.Ending, n int) {
	if n > 0 {
		s.ended.WithLabelValues(e.Why.String()).Add(float64(n))
	}
}

// Directory counts the sessions that are ended.
func (s *Stats) Directory(store ports.SessionDirectory) ports.SessionDirectory {
	if s == nil {
		return store
	}
	return countedDirectory{store, s}
}

type countedDirectory struct {
	ports.SessionDirectory
	stats *Stats
}

func (c countedDirectory) EndOne(ctx context.Context, id user.ID, one session.ID, e session.Ending) (session.Session, error) {
	ended, err := c.SessionDirectory.EndOne(ctx, id, one, e)
	if err == nil {
		c.stats.endedBy(e, 1)
	}
	return ended, err
}

func (c countedDirectory) EndOthers(ctx context.Context, id user.ID, keep session.Key, e session.Ending) ([]session.Session, error) {
	ended, err := c.SessionDirectory.EndOthers(ctx, id, keep, e)
	c.stats.endedBy(e, len(ended))
	return ended, err
}

func (c countedDirectory) Trim(ctx context.Context, id user.ID, keep int, e session.Ending) ([]session.Session, error) {
	ended, err := c.SessionDirectory.Trim(ctx, id, keep, e)
	c.stats.endedBy(e, len(ended))
	return ended, err
}

func (c countedDirectory) Prune(ctx context.Context, now time.Time, limit int) (int, error) {
	n, err := c.SessionDirectory.Prune(ctx, now, limit)
	c.stats.ended.WithLabelValues(ranOut).Add(float64(n))
	return n, err
}

// Ledger counts sign-ins by what is written down of them.
func (s *Stats) Ledger(book ports.Ledger) ports.Ledger {
	if s == nil {
		return book
	}
	return countedLedger{book, s}
}

type countedLedger struct {
	ports.Ledger
	stats *Stats
}

func (c countedLedger) Record(ctx context.Context, a ports.Along) error {
	err := c.Ledger.Record(ctx, a)
	if err == nil {
		for _, e := range a.Audit {
			if outcome, signIn := signInOutcome(e); signIn {
				c.stats.signIns.WithLabelValues(outcome).Inc()
			}
		}
	}
	return err
}

func signInOutcome(e audit.Entry) (outcome string, signIn bool) {
	switch e.Event {
	case audit.SignedIn:
		return "signed_in", true
	case audit.SignInAwaits:
		return "second_factor_awaited", true
	case audit.FactorFailed:
		return "second_factor_failed", true
	case audit.SignInThrottled:
		return "throttled", true
	case audit.SignInFailed:
		if why := e.Detail["reason"]; slices.Contains(signInOutcomes, why) {
			return why, true
		}
		return other, true
	}
	return "", false
}

// Hasher counts hashes and how long they take.
func (s *Stats) Hasher(h ports.PasswordHasher) ports.PasswordHasher {
	if s == nil {
		return h
	}
	return countedHasher{h, s}
}

type countedHasher struct {
	ports.PasswordHasher
	stats *Stats
}

func (c countedHasher) Hash(ctx context.Context, p user.Password) (user.PasswordHash, error) {
	began := time.Now()
	h, err := c.PasswordHasher.Hash(ctx, p)
	c.stats.hashedIn(c.stats.hash, time.Since(began), err)
	return h, err
}

func (c countedHasher) Verify(ctx context.Context, p user.Password, h user.PasswordHash) (bool, error) {
	began := time.Now()
	right, err := c.PasswordHasher.Verify(ctx, p, h)
	c.stats.hashedIn(c.stats.verify, time.Since(began), err)
	return right, err
}

func (s *Stats) hashedIn(o prometheus.Observer, took time.Duration, err error) {
	switch {
	case err == nil:
		o.Observe(took.Seconds())
	case errors.Is(err, fault.Unavailable):
		s.hashesRefused.Inc()
	}
}

// Authorizer counts decisions. It costs a small allocation each time that
// somebody's rights are asked for.
func (s *Stats) Authorizer(a ports.Authorizer) ports.Authorizer {
	if s == nil {
		return a
	}
	return countedAuthorizer{a, s}
}

type countedAuthorizer struct {
	ports.Authorizer
	stats *Stats
}

func (c countedAuthorizer) Rights(ctx context.Context, a access.Actor) (access.Rights, error) {
	rights, err := c.Authorizer.Rights(ctx, a)
	if err != nil {
		return nil, err
	}
	return &countedRights{rights, &c.stats.counters}, nil
}

// countedRights counts what is decided. What is only explained is no decision.
type countedRights struct {
	access.Rights
	counters *decisionCounters
}

func (r *countedRights) Decide(action access.Action, res access.Resource) (access.Decision, error) {
	d, err := r.Rights.Decide(action, res)
	row := r.counters.of(res.Kind(), action)
	switch {
	case err != nil:
		row.failed.Inc()
	case d.Allowed:
		row.allowed.Inc()
	default:
		row.denied.Inc()
	}
	return d, err
}

func (r *countedRights) Filter(action access.Action, k access.Kind) (access.Filter, error) {
	f, err := r.Rights.Filter(action, k)
	if row := r.counters.of(k, action); err != nil {
		row.failed.Inc()
	} else {
		row.narrowed.Inc()
	}
	return f, err
}

// decisionCounters are made once: a decision takes a microsecond, and looking
// its counter up by labels would take another.
type decisionCounters struct {
	kinds   []access.Kind
	actions []access.Action
	rows    []decisionRow // of each kind, one for each action and one for others; then those of other kinds
}

type decisionRow struct{ allowed, denied, narrowed, failed prometheus.Counter }

func newDecisionCounters(v *prometheus.CounterVec) decisionCounters {
	d := decisionCounters{kinds: access.Kinds(), actions: access.Actions()}
	for i := range len(d.kinds) + 1 {
		kind := other
		if i < len(d.kinds) {
			kind = d.kinds[i].String()
		}
		for j := range len(d.actions) + 1 {
			action := other
			if j < len(d.actions) {
				action = d.actions[j].String()
			}
			d.rows = append(d.rows, decisionRow{
				v.WithLabelValues(kind, action, allowed), v.WithLabelValues(kind, action, denied),
				v.WithLabelValues(kind, action, narrowed), v.WithLabelValues(kind, action, unanswered),
			})
		}
	}
	return d
}

func (d *decisionCounters) of(k access.Kind, a access.Action) *decisionRow {
	i, j := slices.Index(d.kinds, k), slices.Index(d.actions, a)
	if i < 0 {
		i = len(d.kinds)
	}
	if j < 0 {
		j = len(d.actions)
	}
	return &d.rows[i*(len(d.actions)+1)+j]
}

// Limiter counts tries. shared says that all nodes count together there.
func (s *Stats) Limiter(l ports.Limiter, shared bool) ports.Limiter {
	if s == nil {
		return l
	}
	where := "alone"
	if shared {
		where = "together"
	}
	return countedLimiter{l, s, where}
}

type countedLimiter struct {
	ports.Limiter
	stats *Stats
	where string
}

func (c countedLimiter) Take(ctx context.Context, key string, r throttle.Rule, now time.Time) (throttle.Verdict, error) {
	v, err := c.Limiter.Take(ctx, key, r, now)
	outcome := granted
	switch {
	case err != nil:
		outcome = failed
	case !v.Granted:
		outcome = refused
	}
	what, _, _ := strings.Cut(key, ":") // the rest is a hash of who
	c.stats.tries.WithLabelValues(what, c.where, outcome).Inc()
	return v, err
}

// Mailer counts mails.
func (s *Stats) Mailer(m ports.Mailer) ports.Mailer {
	if s == nil {
		return m
	}
	return countedMailer{m, s}
}

type countedMailer struct {
	ports.Mailer
	stats *Stats
}

func (c countedMailer) Send(ctx context.Context, m mail.Message) error {
	err := c.Mailer.Send(ctx, m)
	outcome := sent
	switch {
	case errors.Is(err, fault.Invalid):
		outcome = refused
	case err != nil:
		outcome = failed
	}
	c.stats.mails.WithLabelValues(outcome).Inc()
	return err
}

// Events counts what subscribers are told.
func (s *Stats) Events(q ports.EventQueue) ports.EventQueue {
	if s == nil {
		return q
	}
	return countedEvents{q, s}
}

type countedEvents struct {
	ports.EventQueue
	stats *Stats
}

func (c countedEvents) count(d product.Delivery, outcome string, err error) error {
	if err == nil {
		c.stats.events.WithLabelValues(d.Subscriber, outcome).Inc()
	}
	return err
}

func (c countedEvents) Done(ctx context.Context, d product.Delivery, with ...*ports.Along) error {
	return c.count(d, told, c.EventQueue.Done(ctx, d, with...))
}

func (c countedEvents) Postpone(ctx context.Context, d product.Delivery, until time.Time, why string) error {
	return c.count(d, failed, c.EventQueue.Postpone(ctx, d, until, why))
}

func (c countedEvents) Bury(ctx context.Context, d product.Delivery, at time.Time, why string) error {
	return c.count(d, setAside, c.EventQueue.Bury(ctx, d, at, why))
}
