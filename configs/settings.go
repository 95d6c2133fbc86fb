package configs

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatehouse/domain/throttle"
	"gatehouse/domain/user"
)

// Setting is one thing that can be configured. Its names follow from its key:
// session.idle is GATEHOUSE_SESSION_IDLE and --session-idle.
type Setting struct {
	Key     string     // in the YAML file; a dot parts a section from what is in it
	Env     []Variable // the first that is set counts
	Flag    string     // without the dashes
	Default string     // as it would be written
	Help    string     // one sentence
	Accepts string     // what may be written
	Secret  bool       // shown masked, and also read from a file named by …_FILE
	List    bool       // in YAML a list, elsewhere parted by commas

	apply func(c *Config, text string) error // its error reads on after the text: "is no duration"
	mask  func(text string) string           // of a secret: what may be seen of it, with *** for the rest
	means func(Config) string                // what "auto" came to; nil where there is no such word
}

// Variable is an environment variable that holds a setting.
type Variable struct {
	Name   string
	Prefix string // put in front of what it holds
}

// auto stands for "decide by yourself" wherever that is possible.
const auto = "auto"

// off stands for "not at all" wherever that is possible.
const off = "off"

// MaxLifetime bounds how long a session may be configured to last: browsers
// keep no cookie longer (RFC 6265bis section 5.5).
const MaxLifetime = 400 * 24 * time.Hour

// Settings are all settings, in the order of the example file.
func Settings() []Setting {
	return slices.Concat(serving(), storing(), mailing(), lasting(), guarding(), bounding(), logging())
}

func serving() []Setting {
	return []Setting{
		define(Setting{
			Key: "listen", Default: "localhost:8080", Env: []Variable{{Name: "PORT", Prefix: ":"}},
			Help:    "Address to serve on.",
			Accepts: "host:port, such as localhost:8080, or :8080 for every interface of the machine",
			apply:   func(c *Config, s string) error { return parse(&c.Listen, s, parseListen) },
		}),
		define(Setting{
			Key: "public_url", Default: auto,
			Help:    "URL under which people reach the service; it decides about cookies and HSTS.",
			Accepts: "https://host[:port]; http:// for localhost alone, since without TLS a session can be taken on the way; or auto for http://localhost with the port of listen",
			apply:   func(c *Config, s string) error { return parse(&c.PublicURL, s, parsePublicURL) },
			means:   func(c Config) string { return c.expected().String() },
		}),
		define(Setting{
			Key: "trusted_proxies", List: true,
			Help:    "Reverse proxies whose X-Forwarded-For is believed.",
			Accepts: "addresses and networks, such as 10.0.0.0/8, 192.0.2.7",
			apply:   func(c *Config, s string) error { return parse(&c.TrustedProxies, s, parseProxies) },
		}),
		define(Setting{
			Key: "trusted_origins", List: true,
			Help:    "Other origins of the same site whose pages may use the service.",
			Accepts: "origins, such as https://shop.example.com",
			apply:   func(c *Config, s string) error { return parse(&c.TrustedOrigins, s, parseOrigins) },
		}),
		define(Setting{
			Key: "metrics.listen", Default: off,
			Help:    "Address for those who run the service alone: /metrics for Prometheus, and /debug/pprof.",
			Accepts: "host:port that is not the one of listen, such as localhost:9464, or off",
			apply:   func(c *Config, s string) error { return parse(&c.MetricsListen, s, parseMetricsListen) },
		}),
	}
}

func storing() []Setting {
	return []Setting{
		define(Setting{
			Key: "database.url", Default: "sqlite:data/gatehouse.db", Secret: true, mask: maskDatabase, Env: []Variable{{Name: "DATABASE_URL"}},
			Help:    "Where everything is kept.",
			Accepts: "postgres://user:password@host:5432/name, sqlite:PATH, or memory: which keeps nothing",
			apply:   func(c *Config, s string) error { return parseDatabase(&c.Database, s) },
		}),
		define(Setting{
			Key: "database.max_connections", Default: "10",
			Help:    "Connections that this process opens to PostgreSQL at the most.",
			Accepts: "a whole number from 2 to 1000",
			apply: func(c *Config, s string) error {
				return parse(&c.Database.MaxConnections, s, wholeNumber(2, 1000))
			},
		}),
		define(Setting{
			Key: "migrate", Default: auto,
			Help:    "Whether serve brings the database's schema up to date by itself.",
			Accepts: "auto, or off for those who run \"gatehouse migrate up\" first",
			apply:   func(c *Config, s string) error { return parse(&c.Migrate, s, parseMigrate) },
		}),
		define(Setting{
			Key: "secret", Secret: true, List: true, mask: maskSecrets,
			Help:    "What device cookies and second factors are sealed with, the newest first; where there is none, a key in the database.",
			Accepts: "texts of at least 32 characters without commas; the first seals, all open",
			apply:   func(c *Config, s string) error { return parse(&c.Secrets, s, parseSecrets) },
		}),
	}
}

func mailing() []Setting {
	return []Setting{
		define(Setting{
			Key: "mail.url", Default: auto, Secret: true, mask: maskMail,
			Help:    "Where mails go.",
			Accepts: "smtp://user:password@host:587 (with STARTTLS, unless ?tls=none or opportunistic says otherwise), smtps://user:password@host:465, file:FOLDER, or auto for the folder mail beside the data",
			apply:   func(c *Config, s string) error { return parseMail(&c.Mail, s) },
			means: func(c Config) string {
				if folder := c.MailFolder(); folder != "" {
					return "file:" + folder
				}
				return "a folder that is deleted in the end"
			},
		}),
		define(Setting{
			Key: "mail.from", Default: auto,
			Help:    "Who mails come from.",
			Accepts: "an address, such as Gatehouse <no-reply@example.com>, or auto for no-reply at the host of public_url",
			apply:   func(c *Config, s string) error { return parse(&c.Mail.From, s, parseMailFrom) },
			means:   Config.MailFrom,
		}),
		define(Setting{
			Key: "mail.link", Default: auto,
			Help:    "URL in front of /password/reset and /email/verify in the links of mails: where your pages for them are.",
			Accepts: "https://host[:port][/path]; http:// for localhost alone; or auto for public_url",
			apply:   func(c *Config, s string) error { return parse(&c.Mail.Link, s, parseMailLink) },
			means:   func(c Config) string { return c.MailLink(c.expected()) },
		}),
	}
}

func lasting() []Setting {
	const accepts = "a duration from 100ms to 400d, such as 90s, 24h, 30d"
	lifetime := duration(100*time.Millisecond, MaxLifetime)
	return []Setting{
		define(Setting{
			Key: "session.store", Default: InDatabase, Secret: true, mask: maskSessionStore,
			Help: "Where sessions are kept: with everything else, or in Redis.",
			Accepts: "database, redis://user:password@host:6379/number, rediss:// with TLS; of a cluster redis://host:port,host:port,…, " +
				"or one host with ?cluster=true",
			apply: func(c *Config, s string) error { return parseSessionStore(&c.SessionStore, s) },
		}),
		define(Setting{
			Key: "session.store_connections", Default: "10",
			Help:    "Connections that this process opens to each server of session.store at the most.",
			Accepts: "a whole number from 2 to 1000",
			apply: func(c *Config, s string) error {
				return parse(&c.SessionStore.MaxConnections, s, wholeNumber(2, 1000))
			},
		}),
		define(Setting{
			Key: "session.idle", Default: "24h", Accepts: accepts,
			Help:  "A session ends after so long without use.",
			apply: func(c *Config, s string) error { return parse(&c.Session.Idle, s, lifetime) },
		}),
		define(Setting{
			Key: "session.absolute", Default: "24h", Accepts: accepts,
			Help:  "A session ends after so long however much it is used.",
			apply: func(c *Config, s string) error { return parse(&c.Session.Absolute, s, lifetime) },
		}),
		define(Setting{
			Key: "session.remembered", Default: "30d", Accepts: accepts,
			Help:  "As session.absolute, for those who asked to be remembered.",
			apply: func(c *Config, s string) error { return parse(&c.Session.Remembered, s, lifetime) },
		}),
		define(Setting{
			Key: "session.max", Default: "20", Accepts: "a whole number from 1 to 1000, or 0 for no bound",
			Help:  "Sessions that one user has at a time; a further one ends the oldest.",
			apply: func(c *Config, s string) error { return parse(&c.SessionMax, s, wholeNumber(0, 1000)) },
		}),
		define(Setting{
			Key: "session.renewal_step", Default: "5m", Accepts: "a duration from 100ms to 24h",
			Help: "The use of a session is written down at most this often.",
			apply: func(c *Config, s string) error {
				return parse(&c.Session.Step, s, duration(100*time.Millisecond, 24*time.Hour))
			},
		}),
		define(Setting{
			Key: "session.cache", Default: off,
			Help:    "What was read of a session answers some requests for less than so long; a revocation is obeyed by all nodes within it, and mostly at once. For PostgreSQL alone.",
			Accepts: "off, or a duration from 100ms to 10s, such as 1s",
			apply:   func(c *Config, s string) error { return parse(&c.SessionCache.Bound, s, parseSessionCache) },
		}),
		define(Setting{
			Key: "session.cache_listen", Default: auto, Secret: true, mask: maskListen,
			Help:    "Where the session cache hears of changes, over one connection that must not go through a pooler such as pgbouncer.",
			Accepts: "postgres://user:password@host:5432/name of the same database, or auto for database.url",
			apply:   func(c *Config, s string) error { return parse(&c.SessionCache.Listen, s, parseListenURL) },
			means:   func(c Config) string { return c.Database.String() },
		}),
	}
}

func guarding() []Setting {
	bound := func(key, limit, help string, rule func(*Throttles) *throttle.Rule, read func(string) (throttle.Rule, error)) Setting {
		return define(Setting{
			Key: "throttle." + key, Default: limit, Help: help, Accepts: acceptsThrottle,
			apply: func(c *Config, s string) error { return parse(rule(&c.Throttle), s, read) },
		})
	}
	return []Setting{
		define(Setting{
			Key: "registration", Default: "open",
			Help:    "Whether whoever registers may sign in at once, or has to answer a mail first.",
			Accepts: "open, or verified, which tells nobody who has an account",
			apply:   func(c *Config, s string) error { return parse(&c.Verified, s, parseRegistration) },
		}),
		define(Setting{
			Key: "reauth", Default: "10m",
			Help:    "How long after showing who one is sensitive acts need no password.",
			Accepts: "a duration from 1s to 24h",
			apply:   func(c *Config, s string) error { return parse(&c.Reauth, s, duration(time.Second, 24*time.Hour)) },
		}),
		bound("sign_in", "10/15m", "Failures to sign in, in a row, to one account from one network.",
			func(t *Throttles) *throttle.Rule { return &t.SignIn }, inARow(30*time.Second)),
		bound("account", "100/15m", "Failures to sign in, in a row, to one account from anywhere.",
			func(t *Throttles) *throttle.Rule { return &t.Account }, inARow(time.Minute)),
		bound("network", "300/15m", "Failures to sign in from one network to whatever accounts.",
			func(t *Throttles) *throttle.Rule { return &t.Network }, perWindow),
		bound("code", "10/15m", "Wrong codes of a second factor, in a row, for one account.",
			func(t *Throttles) *throttle.Rule { return &t.Code }, inARow(30*time.Second)),
		bound("confirm", "10/15m", "Wrong present passwords, in a row, from somebody who is signed in.",
			func(t *Throttles) *throttle.Rule { return &t.Confirm }, inARow(30*time.Second)),
		bound("register", "60/1h", "Registrations from one network.",
			func(t *Throttles) *throttle.Rule { return &t.Register }, perWindow),
		bound("forgot", "20/1h", "Mails that may be asked for to one address; from one network three times as many.",
			func(t *Throttles) *throttle.Rule { return &t.Forgot }, perWindow),
		bound("search", "600/1m", "Searches, and totals of lists, from one network.",
			func(t *Throttles) *throttle.Rule { return &t.Search }, perWindow),
	}
}

func bounding() []Setting {
	return []Setting{
		define(Setting{
			Key: "password.minimum", Default: strconv.Itoa(user.MinPasswordLength),
			Help:    "Length of a password, in characters, that people choose from now on.",
			Accepts: fmt.Sprintf("a whole number from %d to %d", user.MinPasswordLength, user.MaxMinimumLength),
			apply: func(c *Config, s string) error {
				return parse(&c.PasswordMinimum, s, wholeNumber(user.MinPasswordLength, user.MaxMinimumLength))
			},
		}),
		define(Setting{
			Key: "hash.slots", Default: auto,
			Help:    "Passwords that are hashed at one time; each takes a core and 19 MiB for a moment.",
			Accepts: "a whole number from 1 to 256, or auto for one less than there are cores",
			apply:   func(c *Config, s string) error { return parse(&c.HashSlots, s, parseSlots) },
			means:   func(c Config) string { return strconv.Itoa(c.HashSlots) },
		}),
		define(Setting{
			Key: "body_limit", Default: "64KiB",
			Help:    "Largest body of a request.",
			Accepts: "a size from 1KiB to 16MiB, such as 65536, 64KiB, 1MiB",
			apply:   func(c *Config, s string) error { return parse(&c.BodyLimit, s, size(1<<10, 16<<20)) },
		}),
		define(Setting{
			Key: "request_timeout", Default: "2s",
			Help:    "Time for all that a request asks of the database.",
			Accepts: "a duration from 100ms to 60s",
			apply: func(c *Config, s string) error {
				return parse(&c.RequestTimeout, s, duration(100*time.Millisecond, time.Minute))
			},
		}),
		define(Setting{
			Key: "drain_delay", Default: "0s",
			Help:    "How long a stopping node goes on serving after /readyz has turned to 503, so that load balancers notice.",
			Accepts: "a duration from 0s to 60s",
			apply:   func(c *Config, s string) error { return parse(&c.DrainDelay, s, duration(0, time.Minute)) },
		}),
	}
}

func logging() []Setting {
	return []Setting{
		define(Setting{
			Key: "log.level", Default: "info",
			Help:    "What is worth a log line.",
			Accepts: "debug, info, warn or error",
			apply:   func(c *Config, s string) error { return parse(&c.LogLevel, s, parseLevel) },
		}),
		define(Setting{
			Key: "log.format", Default: auto,
			Help:    "How log lines are written.",
			Accepts: "text, json, or auto for text on a terminal and else json",
			apply:   func(c *Config, s string) error { return parse(&c.LogFormat, s, parseFormat) },
		}),
	}
}

// define derives the names of a setting from its key.
func define(s Setting) Setting {
	s.Flag = strings.NewReplacer(".", "-", "_", "-").Replace(s.Key)
	own := Variable{Name: "GATEHOUSE_" + strings.ToUpper(strings.ReplaceAll(s.Key, ".", "_"))}
	s.Env = append([]Variable{own}, s.Env...)
	return s
}

// Variables names the setting's environment variables for a person.
func (s Setting) Variables() string {
	names := make([]string, len(s.Env))
	for i, v := range s.Env {
		names[i] = v.Name
	}
	return strings.Join(names, " or ")
}

// parse reads text into a field.
func parse[T any](field *T, text string, read func(string) (T, error)) error {
	v, err := read(text)
	if err == nil {
		*field = v
	}
	return err
}

// defaultSlots leaves a core to everybody who is not signing in.
func defaultSlots() int { return max(1, runtime.GOMAXPROCS(0)-1) }

func outOfRange(low, high any) error { return fmt.Errorf("is not between %v and %v", low, high) }
