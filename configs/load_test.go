package configs_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"gatehouse/configs"
	"gatehouse/domain/session"
	"gatehouse/domain/throttle"
)

// load loads in an empty folder, where no file is found by chance.
func load(t *testing.T, in configs.Input) (configs.Loaded, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	return configs.Load(in)
}

func TestDefaults(t *testing.T) {
	got, err := load(t, configs.Input{})
	if err != nil {
		t.Fatal(err)
	}
	c := got.Config
	row := func(limit int, first time.Duration) throttle.Rule {
		return throttle.Rule{Limit: limit, Window: 15 * time.Minute, Pause: first, MaxPause: 15 * time.Minute}
	}
	rate := func(limit int, window time.Duration) throttle.Rule {
		return throttle.Rule{Limit: limit, Window: window, PerWindow: true}
	}
	want := configs.Config{
		Listen:     "localhost:8080",
		Database:   configs.Database{Kind: configs.SQLite, Path: "data/gatehouse.db", MaxConnections: 10},
		Migrate:    true,
		Session:    session.DefaultLifetime,
		SessionMax: 20, Reauth: 10 * time.Minute, SessionStore: configs.SessionStore{MaxConnections: 10},
		Throttle: configs.Throttles{
			SignIn: row(10, 30*time.Second), Account: row(100, time.Minute), Network: rate(300, 15*time.Minute),
			Code: row(10, 30*time.Second), Confirm: row(10, 30*time.Second),
			Register: rate(60, time.Hour), Forgot: rate(20, time.Hour), Search: rate(600, time.Minute),
		},
		PasswordMinimum: 8, HashSlots: c.HashSlots,
		BodyLimit: 64 << 10, RequestTimeout: 2 * time.Second,
		LogLevel: slog.LevelInfo, LogFormat: configs.FormatAuto,
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("Load(nothing) = %+v, want %+v", c, want)
	}
	if c.HashSlots < 1 {
		t.Errorf("HashSlots = %d, want at least 1", c.HashSlots)
	}
	for _, v := range got.Values {
		if v.Source != "default" {
			t.Errorf("source of %s = %q, want default", v.Setting.Key, v.Source)
		}
	}
}

func TestEachLayerBeatsTheOneBelow(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, configs.DefaultFile, "listen: :1\nsession: {idle: 1h, absolute: 2h}\nlog:\n  level: warn\n")
	got, err := configs.Load(configs.Input{
		Environ: []string{"GATEHOUSE_SESSION_IDLE=3h", "GATEHOUSE_LOG_LEVEL=error", "GATEHOUSE_BODY_LIMIT="},
		Flags:   map[string]string{"log.level": "debug"},
	})
	if err != nil {
		t.Fatal(err)
	}
	sources := map[string]string{}
	for _, v := range got.Values {
		sources[v.Setting.Key] = v.Text + " from " + v.Source
	}
	for key, want := range map[string]string{
		"listen":             ":1 from gatehouse.yaml:1, listen",
		"session.idle":       "3h from GATEHOUSE_SESSION_IDLE",
		"session.absolute":   "2h from gatehouse.yaml:2, session.absolute",
		"session.remembered": "30d from default",
		"log.level":          "debug from --log-level",
		"body_limit":         "64KiB from default", // an empty variable is none
	} {
		if sources[key] != want {
			t.Errorf("%s is %q, want %q", key, sources[key], want)
		}
	}
	if c := got.Config; c.Session.Idle != 3*time.Hour || c.Session.Absolute != 2*time.Hour || c.LogLevel != slog.LevelDebug || c.Listen != ":1" {
		t.Errorf("Load = %+v", c)
	}
}

func TestNamesThatPlatformsSet(t *testing.T) {
	tests := []struct {
		name    string
		environ []string
		listen  string
		db      string
	}{
		{"PORT", []string{"PORT=9000"}, ":9000", "sqlite:data/gatehouse.db"},
		{"our own name beats PORT", []string{"PORT=9000", "GATEHOUSE_LISTEN=127.0.0.1:1"}, "127.0.0.1:1", "sqlite:data/gatehouse.db"},
		{"DATABASE_URL", []string{"DATABASE_URL=postgres://h/d"}, "localhost:8080", "postgres://h/d"},
		{"our own name beats DATABASE_URL", []string{"DATABASE_URL=postgres://h/d", "GATEHOUSE_DATABASE_URL=memory:"}, "localhost:8080", "memory:"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := load(t, configs.Input{Environ: tt.environ})
			if err != nil {
				t.Fatal(err)
			}
			if got.Config.Listen != tt.listen || got.Config.Database.String() != tt.db {
				t.Errorf("listen %s, database %s, want %s, %s", got.Config.Listen, got.Config.Database, tt.listen, tt.db)
			}
		})
	}
}

func TestValues(t *testing.T) {
	tests := []struct {
		key, text string
		want      any // of field(key), or an error's text
	}{
		{"session.store", "database", "database"},
		{"session.store", "redis://h", "redis://h:6379"},
		{"session.store", "redis://h:1/3", "redis://h:1/3"},
		{"session.store", "rediss://u:secretword@h:1/", "rediss://u:***@h:1"},
		{"session.store", "redis://:p%40%3A%2F%3F%23%25@h", "redis://:***@h:6379"},
		{"session.store", "redis://u@h,[::1]:7,10.0.0.3", "redis://u@h:6379,[::1]:7,10.0.0.3:6379"},
		{"session.store", "redis://[::1]?cluster=true", "redis://[::1]:6379?cluster=true"},
		{"session.store", "", errors.New("is neither database nor begins with redis://")},
		{"session.store", "valkey://h", errors.New("is neither database nor begins with redis://")},
		{"session.store", "redis:h", errors.New("is neither database nor")},
		{"session.store", "redis://", errors.New("names a host that is not written")},
		{"session.store", "redis://h,", errors.New("names a host that is not written")},
		{"session.store", "redis://::1", errors.New("names a host that is not written")},
		{"session.store", "redis://h:0", errors.New("names a host that is not written")},
		{"session.store", "redis://h:65536", errors.New("names a host that is not written")},
		{"session.store", "redis://u:p/q@h", errors.New("written with %40 and the like")},
		{"session.store", "redis://u:p?q@h", errors.New("written with %40 and the like")},
		{"session.store", "redis://u:%zz@h", errors.New("written with %40 and the like")},
		{"session.store", "redis://h/x", errors.New("the number of a database")},
		{"session.store", "redis://h/-1", errors.New("the number of a database")},
		{"session.store", "redis://h/01", errors.New("the number of a database")},
		{"session.store", "redis://h?cluster=false", errors.New("something else than cluster=true")},
		{"session.store", "redis://h,i/1", errors.New("a database of a cluster")},
		{"session.store_connections", "1", errors.New("is not between 2 and 1000")},
		{"listen", ":8080", ":8080"},
		{"listen", "[::1]:0", "[::1]:0"},
		{"listen", "8080", errors.New("is no address with a port")},
		{"listen", "localhost:http", errors.New("has no port")},
		{"listen", "localhost:65536", errors.New("has no port")},
		{"listen", "http://localhost:80", errors.New("is no address")},
		{"public_url", "https://Shop.Example.com:443/", "https://shop.example.com"},
		{"public_url", "http://127.0.0.1:9", "http://127.0.0.1:9"},
		{"public_url", "http://[::1]", "http://[::1]"},
		{"public_url", "http://example.com", errors.New("anybody on the way could take the session cookie")},
		{"public_url", "http://localhost.example.com", errors.New("anybody on the way")},
		{"public_url", "https://example.com/app", errors.New("more than scheme, host and port")},
		{"public_url", "https://u:p@example.com", errors.New("more than scheme, host and port")},
		{"public_url", "https://", errors.New("names no host")},
		{"public_url", "example.com", errors.New("does not begin with")},
		{"public_url", "https://example.com:0", errors.New("no port")},
		{"trusted_proxies", "10.0.0.1/8, ::1,::ffff:192.0.2.1", "10.0.0.0/8 ::1/128 192.0.2.1/32"},
		{"trusted_proxies", "10.0.0.0/8,", errors.New(`""`)},
		{"trusted_proxies", "nginx", errors.New(`"nginx"`)},
		{"trusted_origins", "https://A.example,http://b.example:80", "https://a.example http://b.example"},
		{"trusted_origins", "*", errors.New("no origin")},
		{"trusted_origins", "https://*.example.com", errors.New("names no host")},
		{"trusted_origins", "null", errors.New("no origin")},
		{"metrics.listen", "off", ""},
		{"metrics.listen", "10.0.0.7:9464", "10.0.0.7:9464"},
		{"metrics.listen", "localhost:8080", errors.New("is what everybody reaches")},
		{"metrics.listen", "9464", errors.New("is no address with a port")},
		{"database.url", "postgresql://u:p%40@h:5/d?sslmode=disable", "postgresql://u:***@h:5/d?sslmode=disable"},
		{"database.url", "postgres:///d?host=/run", "postgres:///d?host=/run"},
		{"database.url", "sqlite:///var/lib/g.db", "sqlite:/var/lib/g.db"},
		{"database.url", "sqlite:x y.db", "sqlite:x y.db"},
		{"database.url", "memory:", "memory:"},
		{"database.url", "sqlite:", errors.New("names no file")},
		{"database.url", "sqlite::memory:", errors.New("names no file")},
		{"database.url", "memory", errors.New("not understood")},
		{"database.url", "mysql://h/d", errors.New("begins with none of")},
		{"database.url", "postgres://u:p@ss/w#rd@h/d\x7f", errors.New("is no URL")},
		{"migrate", "off", "false"},
		{"migrate", "no", errors.New("neither")},
		{"session.idle", "1d12h", "36h0m0s"},
		{"session.idle", "400d", "9600h0m0s"},
		{"session.idle", "401d", errors.New("not between")},
		{"session.idle", "0s", errors.New("not between")},
		{"session.idle", "24", errors.New("is no duration")},
		{"session.idle", "d", errors.New("is no duration")},
		{"session.idle", "1d-1h", errors.New("is no duration")},
		{"session.idle", "2000000000d", errors.New("longer than can be counted")},
		{"session.renewal_step", "500ms", "500ms"},
		{"hash.slots", "4", "4"},
		{"hash.slots", "0", errors.New("not between")},
		{"hash.slots", "many", errors.New("no whole number")},
		{"hash.slots", "99999999999999999999", errors.New("not between")},
		{"body_limit", "1MiB", "1048576"},
		{"body_limit", "64 kB", "64000"},
		{"body_limit", "64K", errors.New("is no size")},
		{"body_limit", "17MiB", errors.New("not between")},
		{"session.max", "0", "0"},
		{"session.max", "1001", errors.New("not between")},
		{"registration", "open", "false"},
		{"registration", "verified", "true"},
		{"registration", "closed", errors.New("neither open nor verified")},
		{"reauth", "1h", "1h0m0s"},
		{"reauth", "0s", errors.New("not between")},
		{"throttle.sign_in", "off", "{0 0s false 0s 0s}"},
		{"throttle.sign_in", "5/10s", "{5 10s false 10s 10s}"},
		{"throttle.sign_in", "1000000 / 1d", "{1000000 24h0m0s false 30s 24h0m0s}"},
		{"throttle.search", "5/10s", "{5 10s true 0s 0s}"},
		{"throttle.search", "off", "{0 0s false 0s 0s}"},
		{"throttle.sign_in", "10", errors.New("neither LIMIT/WINDOW nor off")},
		{"throttle.sign_in", "10/", errors.New("a window that is no duration")},
		{"throttle.sign_in", "-1/1m", errors.New("neither LIMIT/WINDOW nor off")},
		{"throttle.sign_in", "0/1m", errors.New("a limit that is not between")},
		{"throttle.sign_in", "1000001/1m", errors.New("a limit that is not between")},
		{"throttle.sign_in", "10/25h", errors.New("a window that is not between")},
		{"throttle.sign_in", "10/999ms", errors.New("a window that is not between")},
		{"mail.url", "auto", " data/mail"},
		{"mail.url", "file:/var/mail out", " /var/mail out"},
		{"mail.url", "file:///var/mail", " /var/mail"},
		{"mail.url", "file:", errors.New("names no folder")},
		{"mail.url", "smtp://Mail.example.com", "smtp://mail.example.com:587?tls=required data/mail"},
		{"mail.url", "smtp://mail.example.com:25/?tls=none", "smtp://mail.example.com:25?tls=none data/mail"},
		{"mail.url", "smtp://mail.example.com?tls=opportunistic", "smtp://mail.example.com:587?tls=opportunistic data/mail"},
		{"mail.url", "smtp://u:p%40@mail.example.com", "smtp://u:***@mail.example.com:587?tls=required data/mail"},
		{"mail.url", "smtp://localhost:1025", "smtp://localhost:1025?tls=none data/mail"},
		{"mail.url", "smtp://u:p@[::1]", "smtp://u:***@[::1]:587?tls=none data/mail"},
		{"mail.url", "smtp://localhost?tls=required", "smtp://localhost:587?tls=required data/mail"},
		{"mail.url", "smtps://u:p@mail.example.com", "smtps://u:***@mail.example.com:465 data/mail"},
		{"mail.url", "smtp://u:p@mail.example.com?tls=none", errors.New("a way that need not be encrypted")},
		{"mail.url", "smtp://u:p@mail.example.com?tls=opportunistic", errors.New("a way that need not be encrypted")},
		{"mail.url", "smtp://u@mail.example.com", errors.New("and not both")},
		{"mail.url", "smtp://:p@mail.example.com", errors.New("and not both")},
		{"mail.url", "smtp://mail.example.com?tls=off", errors.New("none of required, opportunistic and none")},
		{"mail.url", "smtp://mail.example.com?tls=none&tls=required", errors.New("a parameter that it cannot have")},
		{"mail.url", "smtp://mail.example.com?TLS=none", errors.New("a parameter that it cannot have")},
		{"mail.url", "smtp://mail.example.com?tls=%zz", errors.New("a parameter that it cannot have")},
		{"mail.url", "smtps://mail.example.com?tls=none", errors.New("a parameter that it cannot have")},
		{"mail.url", "smtp://u:p@ss/w#rd@h", errors.New("is no URL")},
		{"mail.url", "smtp://", errors.New("names no host")},
		{"mail.url", "smtp:mail.example.com", errors.New("is no URL")},
		{"mail.url", "smtp://h:0", errors.New("no port")},
		{"mail.url", "smtp://h:65536", errors.New("no port")},
		{"mail.url", "mail.example.com:25", errors.New("begins with none of")},
		{"mail.from", "auto", "Gatehouse <no-reply@localhost>"},
		{"mail.from", "Shop <shop@example.com>", "Shop <shop@example.com>"},
		{"mail.from", "shop", errors.New("is no address")},
		{"mail.from", "a@b.c, d@e.f", errors.New("is no address")},
		{"mail.from", "a@b.c\r\nBcc: d@e.f", errors.New("is no address")},
		{"mail.from", "a@예시.example", errors.New("is not ASCII")},
		{"mail.link", "auto", "http://localhost:8080"},
		{"mail.link", "https://Shop.example.com/account/", "https://shop.example.com/account"},
		{"mail.link", "http://localhost:3000", "http://localhost:3000"},
		{"mail.link", "http://shop.example.com", errors.New("take what stands in the link")},
		{"mail.link", "https://shop.example.com/?a=b", errors.New("more than scheme, host, port and path")},
		{"mail.link", "https://shop.example.com/#a", errors.New("more than scheme, host, port and path")},
		{"mail.link", "shop.example.com", errors.New("does not begin with")},
		{"secret", "", ""},
		{"secret", strings.Repeat("a", 32) + ", " + strings.Repeat("b", 40), "***,***"},
		{"secret", strings.Repeat("a", 31), errors.New("less than 32")},
		{"secret", strings.Repeat("a", 32) + ",", errors.New("less than 32")},
		{"log.level", "WARN", "WARN"},
		{"log.level", "loud", errors.New("is no level")},
		{"log.format", "json", "json"},
		{"log.format", "xml", errors.New("is no format")},
	}
	for _, tt := range tests {
		t.Run(tt.key+"="+tt.text, func(t *testing.T) {
			got, err := load(t, configs.Input{Flags: map[string]string{tt.key: tt.text}})
			if want, refused := tt.want.(error); refused {
				if err == nil || !strings.Contains(err.Error(), want.Error()) {
					t.Errorf("Load = %v, want a fault with %q", err, want)
				}
				if err != nil && !strings.Contains(err.Error(), "--") {
					t.Errorf("Load = %v, does not name the flag", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if text := field(got.Config, tt.key); text != tt.want {
				t.Errorf("%s = %s, want %s", tt.key, text, tt.want)
			}
		})
	}
}

// field shows one field of a configuration.
func field(c configs.Config, key string) string {
	join := func(v any) string { return strings.Trim(fmt.Sprint(v), "[]") }
	v := map[string]any{
		"listen": c.Listen, "metrics.listen": c.MetricsListen, "public_url": c.PublicURL, "trusted_proxies": join(c.TrustedProxies), "trusted_origins": join(c.TrustedOrigins),
		"database.url": c.Database, "migrate": c.Migrate, "session.idle": c.Session.Idle, "session.renewal_step": c.Session.Step,
		"session.store": c.SessionStore, "session.store_connections": c.SessionStore.MaxConnections, "session.max": c.SessionMax, "registration": c.Verified, "reauth": c.Reauth, "throttle.sign_in": c.Throttle.SignIn, "throttle.search": c.Throttle.Search,
		"mail.url": c.Mail.Server.String() + " " + c.MailFolder(), "mail.from": c.MailFrom(), "mail.link": c.MailLink(&url.URL{Scheme: "http", Host: "localhost:8080"}),
		"secret":     c.Secrets,
		"hash.slots": c.HashSlots, "body_limit": c.BodyLimit, "log.level": c.LogLevel, "log.format": c.LogFormat,
	}[key]
	return fmt.Sprint(v)
}

func TestAllFaultsAreToldAtOnce(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "my.yaml", strings.Join([]string{
		"sesion:", // 1: a slip
		"  idle: 24h",
		"session:",
		"  idel: 24h",                     // 4: a slip in a section
		"  absolute: a while",             // 5: a bad value
		"trusted_proxies: {a: b}",         // 6: no list
		"hash: 3",                         // 7: a section that is none
		"database:",                       // 8
		"  url: mysql://u:secretword@h/d", // 9: bad, and secret
		"migrate:",                        // nothing behind it: sets nothing
	}, "\n"))
	write(t, "url", "memory:")
	_, err := configs.Load(configs.Input{
		File:    "my.yaml",
		Environ: []string{"GATEHOUSE_LISTEN=nowhere", "DATABASE_URL=memory:", "DATABASE_URL_FILE=url", "GATEHOUSE_PUBLIC_URL=http://example.com"},
		Flags:   map[string]string{"log.level": "loud"},
	})
	var faults configs.Faults
	if !errors.As(err, &faults) {
		t.Fatalf("Load = %v, want Faults", err)
	}
	for _, want := range []string{
		"my.yaml:1, sesion: there is no such setting.",
		"my.yaml:4, session.idel: there is no such setting; did you mean session.idle?",
		`my.yaml:5, session.absolute: "a while" is no duration. Accepted: a duration`,
		"my.yaml:6, trusted_proxies: this is no plain value. Accepted: addresses",
		`my.yaml:7: hash is not made of "name: value" lines.`,
		"my.yaml:9, database.url: the value begins with none of postgres://",
		`GATEHOUSE_LISTEN: "nowhere" is no address with a port. Accepted: host:port`,
		"DATABASE_URL_FILE: is set together with DATABASE_URL.",
		"GATEHOUSE_PUBLIC_URL: ",
		`--log-level: "loud" is no level. Accepted: debug, info, warn or error.`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no fault %q in:\n%v", want, err)
		}
	}
	if len(faults) != 10 {
		t.Errorf("%d faults, want 10:\n%v", len(faults), err)
	}
	if strings.Contains(err.Error(), "secretword") {
		t.Errorf("a secret is shown:\n%v", err)
	}
}

// A session cache is for PostgreSQL, and has a connection of its own there.
func TestSessionCache(t *testing.T) {
	const postgres, few = "GATEHOUSE_DATABASE_URL=postgres://u@h/d", "GATEHOUSE_DATABASE_MAX_CONNECTIONS=2"
	for _, tt := range []struct {
		environ []string
		want    configs.SessionCache
		fault   string
	}{
		{[]string{}, configs.SessionCache{}, ""},
		{[]string{"GATEHOUSE_SESSION_CACHE=off", few}, configs.SessionCache{}, ""},
		{[]string{"GATEHOUSE_SESSION_CACHE=1s", postgres}, configs.SessionCache{Bound: time.Second}, ""},
		{[]string{"GATEHOUSE_SESSION_CACHE=100ms", postgres, few, "GATEHOUSE_SESSION_CACHE_LISTEN=postgres://direct/d"},
			configs.SessionCache{Bound: 100 * time.Millisecond, Listen: "postgres://direct/d"}, ""},
		{[]string{"GATEHOUSE_SESSION_CACHE=1s"}, configs.SessionCache{}, "GATEHOUSE_SESSION_CACHE: there is no session cache over sqlite"},
		{[]string{"GATEHOUSE_SESSION_CACHE=1s", "GATEHOUSE_DATABASE_URL=memory:"}, configs.SessionCache{}, "no session cache over memory"},
		{[]string{"GATEHOUSE_SESSION_CACHE=1s", "GATEHOUSE_DATABASE_URL=postgres://h/d", "GATEHOUSE_SESSION_STORE=redis://h"}, configs.SessionCache{Bound: time.Second}, ""},
		{[]string{"GATEHOUSE_SESSION_CACHE=1s", postgres, few}, configs.SessionCache{}, "takes one connection for itself"},
		{[]string{"GATEHOUSE_SESSION_CACHE=99ms", postgres}, configs.SessionCache{}, "is not between 100ms and 10s"},
		{[]string{"GATEHOUSE_SESSION_CACHE=11s", postgres}, configs.SessionCache{}, "is not between 100ms and 10s"},
		{[]string{"GATEHOUSE_SESSION_CACHE=on", postgres}, configs.SessionCache{}, "is no duration. Accepted: off, or"},
		{[]string{"GATEHOUSE_SESSION_CACHE=1s", postgres, "GATEHOUSE_SESSION_CACHE_LISTEN=sqlite:x"}, configs.SessionCache{}, "is no postgres:// URL"},
	} {
		got, err := load(t, configs.Input{Environ: tt.environ})
		switch {
		case tt.fault == "" && (err != nil || got.Config.SessionCache != tt.want):
			t.Errorf("Load(%q) = %v, %v, want %v", tt.environ, got.Config.SessionCache, err, tt.want)
		case tt.fault != "" && (err == nil || !strings.Contains(err.Error(), tt.fault)):
			t.Errorf("Load(%q) = %v, want a fault with %q", tt.environ, err, tt.fault)
		}
	}
}

func TestBadFiles(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"no YAML", "listen: [", "f.yaml:1: this is no YAML"},
		{"a key twice", "listen: :1\nlisten: :2", "f.yaml:2: this is no YAML: mapping key \"listen\" already defined"},
		{"a list", "- a", "f.yaml:1: the file is not made of"},
		{"two documents", "listen: :1\n---\nlisten: :2", "more than one YAML document"},
		{"an alias", "listen: &a :1\npublic_url: *a", "no plain value"},
		{"a list of lists", "trusted_origins: [[a]]", "no plain value"},
		{"a list for one value", "listen: [a]", "no plain value"},
		{"a secret in a broken file", "database:\n  url: \"postgres://u:secretword@h\n", "this is no YAML"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			write(t, "f.yaml", tt.text)
			_, err := configs.Load(configs.Input{Environ: []string{"GATEHOUSE_CONFIG=f.yaml"}})
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secretword") {
				t.Errorf("Load = %v, want a fault with %q", err, tt.want)
			}
		})
	}
}

func TestEmptyFilesSetNothing(t *testing.T) {
	for _, text := range []string{"", "\n", "# only a remark\n", "---\n", "log:\n  # nothing set\n"} {
		t.Chdir(t.TempDir())
		write(t, configs.DefaultFile, text)
		got, err := configs.Load(configs.Input{})
		if err != nil || got.Config.Listen != "localhost:8080" {
			t.Errorf("Load(%q) = %v, want the defaults", text, err)
		}
	}
}

func TestAFileThatIsNamedMustBeThere(t *testing.T) {
	_, err := load(t, configs.Input{File: "none.yaml"})
	if err == nil || !strings.Contains(err.Error(), "--config: the file none.yaml cannot be read: no such file") {
		t.Errorf("Load = %v", err)
	}
	_, err = load(t, configs.Input{Environ: []string{"GATEHOUSE_CONFIG=none.yaml", "GATEHOUSE_DATABASE_URL_FILE=none"}})
	if err == nil || !strings.Contains(err.Error(), "GATEHOUSE_CONFIG: the file none.yaml") || !strings.Contains(err.Error(), "GATEHOUSE_DATABASE_URL_FILE: the file none") {
		t.Errorf("Load = %v", err)
	}
}

func TestSecretsComeFromFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	name := filepath.Join(t.TempDir(), "url")
	write(t, name, "postgres://gate:secretword@db/gate\n")
	got, err := configs.Load(configs.Input{Environ: []string{"GATEHOUSE_DATABASE_URL_FILE=" + name}})
	if err != nil {
		t.Fatal(err)
	}
	if got.Config.Database.URL != "postgres://gate:secretword@db/gate" {
		t.Errorf("URL = %q", got.Config.Database.URL)
	}
	shown := fmt.Sprintf("%v %+v %#v", got.Config, got.Config.Database, got.Config.Database)
	for _, v := range got.Values {
		shown += v.Text + v.Source
	}
	if strings.Contains(shown, "secretword") || !strings.Contains(shown, "postgres://gate:***@db/gate") {
		t.Errorf("shown as %s", shown)
	}
	write(t, name, " \n")
	if _, err := configs.Load(configs.Input{Environ: []string{"GATEHOUSE_DATABASE_URL_FILE=" + name}}); err == nil {
		t.Error("an empty secret passes")
	}
}

// Where mails go, and from whom, follows from where the data is kept and where
// people reach the service.
func TestMailFollows(t *testing.T) {
	for _, tt := range []struct{ database, public, folder, from string }{
		{"sqlite:/var/lib/gatehouse/g.db", "https://shop.example.com", "/var/lib/gatehouse/mail", "Gatehouse <no-reply@shop.example.com>"},
		{"sqlite:g.db", "https://예시.example", "mail", "Gatehouse <no-reply@xn--vv4b11d.example>"},
		{"postgres://h/d", "http://127.0.0.1:8080", "data/mail", "Gatehouse <no-reply@localhost>"},
		{"memory:", "http://[::1]:8080", "", "Gatehouse <no-reply@localhost>"},
	} {
		got, err := load(t, configs.Input{Flags: map[string]string{"database.url": tt.database, "public_url": tt.public}})
		if err != nil {
			t.Fatal(err)
		}
		if c := got.Config; c.MailFolder() != tt.folder || c.MailFrom() != tt.from {
			t.Errorf("with %s and %s mails go to %q from %q, want %q, %q", tt.database, tt.public, c.MailFolder(), c.MailFrom(), tt.folder, tt.from)
		}
	}
}

// Each secret is masked by its own mask, in whatever way it is given and shown.
func TestSecretsAreMasked(t *testing.T) {
	const word = "secretword-secretword-secretword"
	t.Chdir(t.TempDir())
	write(t, "secrets", word+"1\r\n"+word+"2\n\n")
	got, err := configs.Load(configs.Input{Environ: []string{
		"GATEHOUSE_SECRET_FILE=secrets", "GATEHOUSE_DATABASE_URL=postgres://u:" + word + "@h/d", "GATEHOUSE_MAIL_URL=smtps://u:" + word + "@h",
		"GATEHOUSE_SESSION_CACHE=1s", "GATEHOUSE_SESSION_CACHE_LISTEN=postgres://u:" + word + "@direct/d",
	}})
	if err != nil {
		t.Fatal(err)
	}
	// Which is refused beside a cache.
	store, err := configs.Load(configs.Input{Environ: []string{"GATEHOUSE_SESSION_STORE=rediss://u:" + word + "@h,i"}})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Config.Secrets) != 2 || got.Config.Secrets[1] != word+"2" || got.Config.Mail.Server.Password != word || store.Config.SessionStore.Password != word {
		t.Errorf("Load reads %d secrets, want two out of the file, and the passwords of the mail server and of Redis", len(got.Config.Secrets))
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("all", "secrets", got.Config.Secrets, "server", got.Config.Mail.Server, "database", got.Config.Database, "cache", got.Config.SessionCache, "sessions", store.Config.SessionStore)
	shown := fmt.Sprintf("%v %+v %#v %s", got.Config, got.Config, got.Config, log.String())
	for _, v := range append(got.Values, store.Values...) {
		shown += v.Text + v.Source + v.Meaning(got.Config)
		if want, has := map[string]string{"secret": "***,***", "database.url": "postgres://u:***@h/d", "mail.url": "smtps://u:***@h", "session.store": "rediss://u:***@h:6379,i:6379", "session.cache_listen": "postgres://u:***@direct/d"}[v.Setting.Key]; has && v.Source != configs.Default && v.Text != want {
			t.Errorf("%s is shown as %q, want %q", v.Setting.Key, v.Text, want)
		}
	}
	if strings.Contains(shown, "secretword") {
		t.Errorf("a secret is shown in %s", shown)
	}
}

func TestWarnings(t *testing.T) {
	got, err := load(t, configs.Input{
		Environ: []string{"GATEHOUSE_LISTENS=:1", "GATEHOUSE_PORT_8080_TCP=x", "GATEHOUSE_CONFIG=", "HOME=/"},
		Flags: map[string]string{
			"database.url": "postgres://u:p@h/d?sslpassword=p", "mail.url": "smtp://u:p@h", "secret": strings.Repeat("x", 32),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"the environment variable GATEHOUSE_LISTENS means nothing to Gatehouse; did you mean GATEHOUSE_LISTEN?",
		"the environment variable GATEHOUSE_PORT_8080_TCP means nothing to Gatehouse",
		"--database-url holds a secret, which everybody on this machine can see in the list of processes; GATEHOUSE_DATABASE_URL_FILE is safer",
		"--secret holds a secret, which everybody on this machine can see in the list of processes; GATEHOUSE_SECRET_FILE is safer",
		"--mail-url holds a secret, which everybody on this machine can see in the list of processes; GATEHOUSE_MAIL_URL_FILE is safer",
	}
	if !reflect.DeepEqual(got.Warnings, want) {
		t.Errorf("warnings %q, want %q", got.Warnings, want)
	}
	if s := got.Config.Database.String(); s != "postgres://u:***@h/d?sslpassword=***" {
		t.Errorf("shown as %s", s)
	}
}

func TestPublic(t *testing.T) {
	c := configs.Config{}
	if got := c.Public(&net.TCPAddr{IP: net.IPv4zero, Port: 4711}).String(); got != "http://localhost:4711" {
		t.Errorf("Public = %s", got)
	}
	if !configs.IsLoopback("127.1.2.3") || !configs.IsLoopback("LOCALHOST") || configs.IsLoopback("0.0.0.0") || configs.IsLoopback("notlocalhost") {
		t.Error("IsLoopback is wrong")
	}
}

// FuzzValues holds the readers to this: whatever is written, there is no panic,
// and a fault or a configuration, never both.
func FuzzValues(f *testing.F) {
	for i, text := range []string{":80", "https://a", "10.0.0.0/8,::1", "https://a,https://b", "sqlite:x", "9", "auto", "1d1h", "64KiB", "warn", "\x00", "[::1%25x]:1", "smtp://u:p@h:25?tls=none", "10/15m", "https://h/p", "A <a@b>"} {
		f.Add(uint8(i), text)
	}
	settings := configs.Settings()
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, n uint8, text string) {
		t.Chdir(dir)
		s := settings[int(n)%len(settings)]
		got, err := configs.Load(configs.Input{Flags: map[string]string{s.Key: text}})
		if err != nil {
			if s.Secret && len(text) > 12 && strings.Contains(err.Error(), text) {
				t.Errorf("the secret %q is shown: %v", text, err)
			}
			return
		}
		for _, v := range got.Values {
			v.Meaning(got.Config)
		}
		if p := got.Config.Public(net.TCPAddrFromAddrPort(netip.AddrPort{})); p.Host == "" {
			t.Errorf("%s=%q gives no public host", s.Key, text)
		}
	})
}

// FuzzFile: whatever a file holds, there is no panic.
func FuzzFile(f *testing.F) {
	f.Add(configs.Example())
	f.Add("a: &x [1, *x]\n<<: {b: c}")
	f.Add("listen: |\n  :1\n? [a]\n: b")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		name := filepath.Join(dir, "f.yaml")
		write(t, name, text)
		_, err := configs.Load(configs.Input{File: name})
		var faults configs.Faults
		if err != nil && !errors.As(err, &faults) {
			t.Errorf("Load = %v, want Faults", err)
		}
	})
}

func write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
