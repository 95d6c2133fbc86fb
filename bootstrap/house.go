package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"gatehouse/adapters/aead"
	"gatehouse/adapters/argon2id"
	"gatehouse/adapters/casbinauthz"
	"gatehouse/adapters/memory"
	"gatehouse/adapters/ottercache"
	"gatehouse/adapters/system"
	"gatehouse/adapters/totp"
	"gatehouse/adapters/useragent"
	"gatehouse/application/accounts"
	"gatehouse/application/administration"
	"gatehouse/application/events"
	"gatehouse/application/gate"
	"gatehouse/application/guard"
	"gatehouse/application/products"
	"gatehouse/application/sessions"
	"gatehouse/configs"
	"gatehouse/domain/access"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
	"gatehouse/ports"
)

// house is the application over its stores: everything but a transport.
type house struct {
	database   *database
	stores     stores
	cache      *ottercache.Cache // of sessions; nil where none is configured
	random     ports.Random
	sealer     ports.Sealer
	devices    ports.Devices
	authorizer *casbinauthz.Authorizer
	hasher     *argon2id.Hasher
	vocabulary access.Vocabulary
	guard      *guard.Guard
	gate       *gate.Gate
	accounts   *accounts.Service
	sessions   *sessions.Service
	products   *products.Service
	explainer  *administration.Explainer
	previewer  *administration.Previewer
	events     *events.Service
	operator   *administration.Operator
	policies   *administration.PolicyEditor

	administration *administration.Service
	policyDesk     *administration.Policies
}

// schema says what is to be done about migrations.
type schema int

const (
	bringUp schema = iota // apply what is missing, unless that is switched off
	require               // refuse a database that is not up to date
)

// openHouse opens the database, brings it up to date and builds the services.
func openHouse(ctx context.Context, p Program, s schema) (*house, error) {
	d, err := openDatabase(ctx, p)
	if err != nil {
		return nil, err
	}
	h, err := build(ctx, p, d, s)
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	return h, nil
}

func build(ctx context.Context, p Program, d *database, s schema) (*house, error) {
	if err := d.prepare(ctx, p, s); err != nil {
		return nil, err
	}
	kept, err := d.stores(ctx, p)
	if err != nil {
		return nil, err
	}
	cache, kept, err := cacheSessions(p, d, kept)
	if err != nil {
		return nil, err
	}
	random := system.NewRandom()
	if err := seed(ctx, p, kept.policies, random); err != nil {
		return nil, err
	}
	vocabulary, err := access.NewVocabulary(p.Extensions.Conditions...)
	if err != nil {
		return nil, fmt.Errorf("bootstrap/extensions.go: %w", err)
	}
	if err := p.Extensions.Subscribers.Check(); err != nil {
		return nil, fmt.Errorf("bootstrap/extensions.go: %w", err)
	}
	authorizer, err := casbinauthz.New(kept.policies, kept.policies, vocabulary, configs.Model(), p.Log)
	if err != nil {
		return nil, err
	}
	sealer, err := newSealer(ctx, p, kept.keys, random)
	if err != nil {
		return nil, err
	}
	h := &house{
		database: d, stores: kept.counted(p.stats), cache: cache, random: random, sealer: sealer, authorizer: authorizer, vocabulary: vocabulary,
		hasher: argon2id.New(argon2id.Config{Slots: p.Config.HashSlots}),
	}
	h.serve(p, p.tracer.Hasher(p.stats.Hasher(h.hasher)))
	return h, nil
}

// serve builds the services.
func (h *house) serve(p Program, hasher ports.PasswordHasher) {
	c, kept := p.Config, h.stores
	codes := totp.New(issuer(c))
	h.devices = useragent.New()
	h.guard = guard.New(guard.Config{Shared: kept.limiter, Own: p.stats.Limiter(memory.NewLimiter(ownCounts), false), Rules: guard.Rules(c.Throttle), Now: p.Now})
	h.sessions = sessions.New(sessions.Config{
		Users: kept.users, Sessions: kept.sessions, Directory: kept.directory, Factors: kept.factors, Ledger: kept.ledger,
		Hasher: hasher, Codes: codes, Sealer: h.sealer, Devices: h.devices, Random: h.random, Now: p.Now, Guard: h.guard,
		Lifetime: c.Session, Max: c.SessionMax, Reauth: c.Reauth, Verified: c.Verified,
	})
	h.gate = &gate.Gate{Authorizer: p.tracer.Authorizer(p.stats.Authorizer(h.authorizer)), Ledger: kept.ledger, Random: h.random, Now: p.Now}
	h.administration = administration.New(administration.Config{
		Users: kept.users, Log: kept.ledger, Sessions: h.sessions, Gate: h.gate, Random: h.random, Now: p.Now,
	})
	h.accounts = accounts.New(accounts.Config{
		Users: kept.users, Directory: kept.directory, Products: kept.products, Tickets: kept.tickets, Factors: kept.factors,
		Ledger: kept.ledger, Log: kept.ledger, Outbox: kept.outbox, Sessions: h.sessions, Guard: h.guard,
		Hasher: hasher, Codes: codes, Sealer: h.sealer, Random: h.random, Now: p.Now,
		Passwords: passwordRules(c), Verified: c.Verified, Even: evenTime,
		Watched: h.administration.Watched,
	})
	h.products = products.New(products.Config{
		Products: kept.products, Answers: kept.answers, Gate: h.gate, Guard: h.guard, Random: h.random, Now: p.Now, Rules: p.Extensions.ProductRules,
		Subscribers: p.Extensions.Subscribers,
	})
	h.events = events.New(events.Config{
		Subscribers: p.Extensions.Subscribers, Queue: kept.events, Users: kept.users, Products: kept.products, Random: h.random, Now: p.Now,
	})
	h.policies = &administration.PolicyEditor{
		Policies: kept.policies, History: kept.policies, Rehearsal: h.authorizer, Roles: kept.roles, Vocabulary: h.vocabulary,
		Random: h.random, Now: p.Now,
	}
	h.explainer = &administration.Explainer{Users: kept.users, Products: kept.products, Gate: h.gate}
	h.previewer = &administration.Previewer{Editor: h.policies, Census: kept.census, Products: kept.products, Users: kept.users, Gate: h.gate}
	h.policyDesk = &administration.Policies{Editor: h.policies, Gate: h.gate}
	h.operator = &administration.Operator{
		Users: kept.users, Log: kept.ledger, Accounts: h.accounts, Sessions: h.sessions, Random: h.random, Now: p.Now,
	}
}

// ownCounts is how many counts of tries a node keeps for itself while the
// database cannot count: some 10 MiB.
const ownCounts = 50_000

// evenTime is how long those answers take whose duration would tell whether
// there is an account: longer than the work behind them.
const evenTime = 100 * time.Millisecond

// issuer is what authenticator apps show a code to be for: the host that people
// know the service by.
func issuer(c configs.Config) string {
	if c.PublicURL == nil || configs.IsLoopback(c.PublicURL.Hostname()) {
		return "Gatehouse"
	}
	return c.PublicURL.Hostname()
}

// newSealer seals under the secrets of the configuration, or under the key that
// the nodes over the database share.
func newSealer(ctx context.Context, p Program, keys ports.KeyKeeper, random ports.Random) (*aead.Sealer, error) {
	var secrets [][]byte
	for _, s := range p.Config.Secrets {
		secrets = append(secrets, []byte(s))
	}
	// The key of the database opens what was sealed before a secret was
	// configured.
	key, err := keys.Key(ctx, random.Bytes())
	if err != nil {
		return nil, err
	}
	return aead.New(append(secrets, key[:])...)
}

// passwordRules keeps people from using the service's own names as passwords:
// Gatehouse's, and those in the host that it is reached under.
func passwordRules(c configs.Config) user.PasswordRules {
	rules := user.PasswordRules{Minimum: c.PasswordMinimum, Words: []string{"gatehouse"}}
	if c.PublicURL != nil {
		labels := strings.Split(c.PublicURL.Hostname(), ".")
		rules.Words = append(rules.Words, labels[:len(labels)-1]...)
	}
	return rules
}

// seed gives a database that never had a policy the default one.
func seed(ctx context.Context, p Program, policies ports.PolicyRepository, random ports.Random) error {
	version, err := policies.Version(ctx)
	if err != nil || version > 0 {
		return err
	}
	table, err := configs.DefaultPolicy()
	if err != nil {
		return fmt.Errorf("configs/policy.csv: %w", err)
	}
	for i := range table.Rows {
		table.Rows[i].ID = access.PolicyID{UUID: uuid.UUID(random.ID(p.Now()))}
	}
	seeded, err := policies.Seed(ctx, access.Revision{Edit: access.Edit{At: p.Now(), Note: "the default policy"}, Table: table})
	if seeded {
		p.Log.Info("the default policy was written", "rows", len(table.Rows))
	}
	return err
}

// health is what must work for the node to be of use.
func (h *house) health() map[string]ports.Health {
	all := maps.Clone(h.stores.health)
	all["policy"] = h.authorizer
	if h.cache != nil {
		all["session_cache"] = check(h.cacheHears)
	}
	if h.database.migrator != nil {
		all["migrations"] = check(h.database.upToDate)
	}
	return all
}

func (h *house) close() error { return h.database.close() }

// check is a ports.Health made of a function.
type check func(ctx context.Context) error

// Check calls the function.
func (c check) Check(ctx context.Context) error { return c(ctx) }
