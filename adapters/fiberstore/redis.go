package fiberstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	storage "github.com/gofiber/storage/redis/v3"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"gatehouse/domain/fault"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

var (
	_ ports.SessionRepository = (*RedisSessions)(nil)
	_ ports.SessionDirectory  = (*RedisSessions)(nil)
	_ ports.Health            = (*RedisSessions)(nil)
)

// Owners finds who owns a session where users are kept, which is not where
// sessions are.
type Owners interface {
	// Owner returns the user and the version of the policy, as of one moment, or
	// fault.NotFound. It is the one statement that resuming a session costs.
	Owner(ctx context.Context, id user.ID) (user.User, int64, error)
}

// RedisOptions say which Redis (or Valkey) keeps the sessions.
type RedisOptions struct {
	Addrs    []string // host:port; of a cluster as many as are known
	Cluster  bool     // speak to a cluster, also where one address is known
	Database int      // by number; a cluster has 0 alone
	Username string   // "" for the default user
	Password string
	TLS      *tls.Config   // nil for none
	Conns    int           // connections to each server at the most; 0 for ten per core
	Timeout  time.Duration // for one answer, and for one connection; 0 for 2 s
	Log      *slog.Logger  // nil for nowhere

	Dial func(ctx context.Context, network, addr string) (net.Conn, error) // nil for what the client does
}

// RedisSessions keeps the sessions in Redis, through
// github.com/gofiber/storage/redis and its Conn. Open it with [OpenRedis]; what
// is kept how stands in redissessions.go.
type RedisSessions struct {
	storage *storage.Storage
	owners  Owners
	timeout time.Duration
	log     *slog.Logger
}

// OpenRedis connects to Redis. It fails with fault.Unavailable if that does not
// answer, and warns of settings under which it would lose sessions.
//
// The client is made here and not by the storage's New, which panics where
// Redis is down, knows no deadlines, and sends again what it has no answer to.
func OpenRedis(ctx context.Context, o RedisOptions, owners Owners) (*RedisSessions, error) {
	if o.Timeout == 0 {
		o.Timeout = 2 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	hush()
	s := &RedisSessions{storage.NewFromConnection(client(o)), owners, o.Timeout, o.Log}
	if err := s.Check(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := s.warn(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// hush is done once: the client reads its logger, a global, without a lock, and
// those that another client leaves behind still do.
var hush = sync.OnceFunc(func() { redis.SetLogger(quiet{}) })

// quiet drops what the client would print on standard error: whatever it is, a
// command has failed too and says so.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

func client(o RedisOptions) redis.UniversalClient {
	options := &redis.UniversalOptions{
		Addrs: o.Addrs, IsClusterMode: o.Cluster || len(o.Addrs) > 1, DB: o.Database, Username: o.Username, Password: o.Password, TLSConfig: o.TLS, Dialer: o.Dial,
		PoolSize: o.Conns, MaxRetries: -1,
		DialTimeout: o.Timeout, ReadTimeout: o.Timeout, WriteTimeout: o.Timeout, PoolTimeout: o.Timeout,
		ContextTimeoutEnabled:    true,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if !options.IsClusterMode {
		return redis.NewClient(failFast(options.Simple()))
	}
	cluster := options.Cluster()
	cluster.NewClient = func(o *redis.Options) *redis.Client {
		c := redis.NewClient(failFast(o))
		c.AddHook(once{})
		return c
	}
	return redis.NewClusterClient(cluster)
}

// failFast has a connection tried once and not five times: whoever waits for an
// answer may ask again.
func failFast(o *redis.Options) *redis.Options {
	o.DialerRetries = 1
	return o
}

// once keeps the client of a cluster from sending a command again that may have
// been carried out, because the connection broke or the time was up before the
// answer: a session that the first attempt has ended would be told as missing
// by the second one. What was redirected, or never sent, is sent again.
type once struct{}

func (once) DialHook(next redis.DialHook) redis.DialHook { return next }

func (once) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { return settled(next(ctx, cmd)) }
}

func (once) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// settled hides from errors.Is and errors.As what a broken connection is, by
// which the client of a cluster knows what to try again.
func settled(err error) error {
	if err == nil || answered(err) || errors.Is(err, redis.ErrClosed) {
		return err
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return err
	}
	return unsure{err}
}

// answered reports whether an error is what Redis said.
func answered(err error) bool {
	_, said := errors.AsType[redis.Error](err)
	return said
}

// unsure is an error after which nobody knows whether a command was carried
// out. It does not unwrap.
type unsure struct{ cause error }

func (u unsure) Error() string { return u.cause.Error() }

// Check asks Redis to write: a replica, one whose memory is full and one whose
// disk takes no more would all still read. Of a cluster it asks one server,
// since one that lacks a part of the keys refuses all by default
// (cluster-require-full-coverage).
func (s *RedisSessions) Check(ctx context.Context) error {
	return s.failed("check", s.storage.SetWithContext(ctx, checkKey, []byte("1"), time.Minute))
}

const checkKey = prefix + "check"

// Close closes the connections. It may be called twice.
func (s *RedisSessions) Close() error {
	if err := s.storage.Close(); !errors.Is(err, redis.ErrClosed) {
		return err
	}
	return nil
}

// failed turns what Redis reports into a fault. There is nothing that it may say
// and that is no outage: what is missing is told by values, and what it refuses
// it may grant later (LOADING, READONLY, OOM, MISCONF, CLUSTERDOWN, NOAUTH …).
func (s *RedisSessions) failed(op string, err error) error {
	if err == nil {
		return nil
	}
	return fault.Outage(fmt.Errorf("fiberstore: redis: %s: %w", op, err))
}

// warn logs under what settings sessions would be lost.
func (s *RedisSessions) warn(ctx context.Context) error {
	asked := map[string]bool{}
	err := s.eachMaster(ctx, func(ctx context.Context, c *redis.Client) error {
		info, err := c.Info(ctx, "memory", "persistence").Result()
		if err != nil && answered(err) { // a service that keeps it to itself, or an ACL
			s.log.DebugContext(ctx, "Redis does not tell how it is set up", "error", err)
			return nil
		}
		if err != nil {
			return err
		}
		for _, doubt := range doubts(info) {
			if !asked[doubt] {
				s.log.WarnContext(ctx, doubt, "redis", c.Options().Addr)
			}
			asked[doubt] = true
		}
		return nil
	})
	return s.failed("ask for its settings", err)
}

// eachMaster calls f with each server that keeps keys, one at a time.
func (s *RedisSessions) eachMaster(ctx context.Context, f func(context.Context, *redis.Client) error) error {
	switch c := s.storage.Conn().(type) {
	case *redis.Client:
		return f(ctx, c)
	case *redis.ClusterClient:
		turn := make(chan struct{}, 1)
		return c.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error {
			turn <- struct{}{}
			defer func() { <-turn }()
			return f(ctx, c)
		})
	}
	return errors.New("a client of an unknown kind")
}

// doubts are what is told about the answer to INFO memory persistence.
func doubts(info string) []string {
	fields := map[string]string{}
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		fields[name] = value
	}
	var told []string
	if policy := fields["maxmemory_policy"]; fields["maxmemory"] != "0" && !slices.Contains([]string{"noeviction", ""}, policy) {
		told = append(told, "Redis throws sessions away when its memory is full, and people are signed out (maxmemory-policy "+policy+"): set maxmemory-policy noeviction")
	}
	if fields["aof_enabled"] == "0" {
		told = append(told, "Redis keeps no log of writes, and sessions begun or ended since its last snapshot are lost or good again after a crash: set appendonly yes")
	}
	return told
}

// reply is what a command of ours answered. A value that is not there is no
// error but false.
func reply[T any](v T, err error) (T, bool, error) {
	if errors.Is(err, redis.Nil) {
		return v, false, nil
	}
	return v, err == nil, err
}
