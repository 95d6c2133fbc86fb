// Package configs says how Gatehouse can be configured: what settings there
// are, where they come from, and what is accepted.
//
// Read [Config] first, which is what the program gets, then [Settings], the
// table that everything else is made of: the names in the YAML file, in the
// environment and on the command line, the defaults, the help. [Load] puts the
// layers upon each other,
//
//	defaults < YAML file < environment < flags
//
// and tells all that is wrong in one answer, each fault with where it stands.
//
// Beside it the package carries what is configured by a file of its own: the
// Casbin model, the default policy ([DefaultPolicy]) and the commented example
// of a configuration file ([Example]).
package configs

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"log/slog"

	"gatehouse/domain/session"
)

// Config is everything that can be configured, checked.
type Config struct {
	Listen          string   // host:port to serve on
	PublicURL       *url.URL // where people reach the service; nil follows from Listen, see [Config.Public]
	MetricsListen   string   // host:port of the private listener; "" for none
	Database        Database // where everything is kept
	Migrate         bool     // bring the schema up to date at start
	Session         session.Lifetime
	SessionMax      int // sessions of one user; 0 means no bound
	SessionCache    SessionCache
	SessionStore    SessionStore  // where sessions are kept, if not with everything else
	Reauth          time.Duration // how long showing who one is counts
	Verified        bool          // only who has answered a mail signs in
	Throttle        Throttles
	Mail            Mail
	Secrets         Secrets        // what cookies and the database are sealed with, the newest first; none: a key in the database
	PasswordMinimum int            // characters of a password that people choose
	HashSlots       int            // passwords hashed at one time
	TrustedProxies  []netip.Prefix // whose X-Forwarded-For counts
	TrustedOrigins  []string       // other sites whose pages may change things
	BodyLimit       int            // bytes of a request body
	RequestTimeout  time.Duration  // for everything that a request does
	DrainDelay      time.Duration  // between readiness off and the listener closed
	LogLevel        slog.Level
	LogFormat       LogFormat
}

// LogFormat is how log lines are written.
type LogFormat string

// The formats. FormatAuto is text on a terminal and else JSON.
const (
	FormatAuto LogFormat = "auto"
	FormatText LogFormat = "text"
	FormatJSON LogFormat = "json"
)

// Kind is what keeps the data.
type Kind string

// The kinds of database.
const (
	Postgres Kind = "postgres"
	SQLite   Kind = "sqlite"
	Memory   Kind = "memory"
)

// Database says where everything is kept.
type Database struct {
	Kind           Kind
	URL            string // of PostgreSQL; may hold a password
	Path           string // of the SQLite file
	MaxConnections int    // of PostgreSQL
}

// SessionCache says whether a node keeps what it has read of sessions for a moment.
type SessionCache struct {
	Bound  time.Duration // what was read is used for less; 0 is off
	Listen string        // URL of PostgreSQL to listen on; "" means that of [Database]. May hold a password
}

// String leaves out the password.
func (c SessionCache) String() string {
	if c.Bound == 0 {
		return off
	}
	if c.Listen == "" {
		return c.Bound.String()
	}
	return c.Bound.String() + ", listening on " + maskURL(c.Listen)
}

// LogValue is [SessionCache.String]: the URL may hold a password.
func (c SessionCache) LogValue() slog.Value { return slog.StringValue(c.String()) }

// GoString is [SessionCache.String].
func (c SessionCache) GoString() string { return c.String() }

// SessionStore is the Redis that keeps the sessions; none, where there are no
// addresses: the database keeps them.
type SessionStore struct {
	Addrs          []string // host:port
	Cluster        bool
	TLS            bool
	Username       string
	Password       string // never printed
	Database       int    // by number
	MaxConnections int    // to each of its servers
}

// String names the store without its password.
func (s SessionStore) String() string {
	if len(s.Addrs) == 0 {
		return InDatabase
	}
	u := url.URL{Scheme: "redis", Host: strings.Join(s.Addrs, ",")}
	if s.TLS {
		u.Scheme = "rediss"
	}
	if s.Password != "" {
		u.User = url.UserPassword(s.Username, masked)
	} else if s.Username != "" {
		u.User = url.User(s.Username)
	}
	if s.Database != 0 {
		u.Path = "/" + strconv.Itoa(s.Database)
	}
	if s.Cluster && len(s.Addrs) == 1 {
		u.RawQuery = clusterQuery
	}
	return strings.ReplaceAll(u.String(), url.QueryEscape(masked), masked)
}

// LogValue is [SessionStore.String].
func (s SessionStore) LogValue() slog.Value { return slog.StringValue(s.String()) }

// GoString is [SessionStore.String].
func (s SessionStore) GoString() string { return s.String() }

// InDatabase is what session.store is where sessions are kept with everything
// else.
const InDatabase = "database"

// Secrets prints as how many there are.
type Secrets []string

func (s Secrets) String() string       { return strings.TrimSuffix(strings.Repeat(masked+",", len(s)), ",") }
func (s Secrets) GoString() string     { return s.String() }
func (s Secrets) LogValue() slog.Value { return slog.StringValue(s.String()) }

// String names the database without its password.
func (d Database) String() string {
	switch d.Kind {
	case Postgres:
		return maskURL(d.URL)
	case SQLite:
		return "sqlite:" + d.Path
	}
	return string(d.Kind) + ":"
}

// LogValue is [Database.String]: the URL may hold a password.
func (d Database) LogValue() slog.Value { return slog.StringValue(d.String()) }

// GoString is [Database.String].
func (d Database) GoString() string { return d.String() }

// Public is where people reach the service: what is configured, or localhost
// with the port that is listened on.
func (c Config) Public(listening net.Addr) *url.URL {
	if c.PublicURL != nil {
		u := *c.PublicURL
		return &u
	}
	_, port, err := net.SplitHostPort(listening.String())
	if err != nil {
		port = ""
	}
	return localURL(port)
}

// expected is what [Config.Public] will be once the service listens.
func (c Config) expected() *url.URL {
	if c.PublicURL != nil {
		return c.PublicURL
	}
	_, port, _ := net.SplitHostPort(c.Listen)
	return localURL(port)
}

// localURL is what the public URL is where none is configured.
func localURL(port string) *url.URL {
	if port == "" || port == "80" {
		return &url.URL{Scheme: "http", Host: "localhost"}
	}
	return &url.URL{Scheme: "http", Host: "localhost:" + port}
}

// IsLoopback reports whether a host name or address means this machine alone.
func IsLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && a.Unmap().IsLoopback()
}
