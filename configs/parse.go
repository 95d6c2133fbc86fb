package configs

import (
	"errors"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The readers of values. Each error reads on after the value that it is about:
// `"24x" is no duration`. None of them repeats the value, which may be secret.

func parseListen(s string) (string, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return "", errors.New("is no address with a port")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return "", errors.New("has no port from 0 to 65535")
	}
	if strings.ContainsAny(host, " /@?#") {
		return "", errors.New("has no host name or address before its port")
	}
	return s, nil
}

func parseMetricsListen(s string) (string, error) {
	if s == off {
		return "", nil
	}
	return parseListen(s)
}

func parsePublicURL(s string) (*url.URL, error) {
	if s == auto {
		return nil, nil
	}
	u, err := parseOrigin(s)
	if err != nil {
		return nil, err
	}
	if u.Scheme == "http" && !IsLoopback(u.Hostname()) {
		return nil, errors.New("is http:// for another host than localhost, where anybody on the way could take the session cookie")
	}
	return u, nil
}

// parseOrigin reads scheme, host and port, and brings them into the form in
// which browsers send them.
func parseOrigin(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Opaque != "":
		return nil, errors.New("is no URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("does not begin with https:// or http://")
	case u.Hostname() == "" || strings.ContainsAny(u.Host, "*, "):
		return nil, errors.New("names no host")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.Path != "" && u.Path != "/":
		return nil, errors.New("has more than scheme, host and port")
	}
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, errors.New("has no port from 1 to 65535")
		}
	}
	if u.Scheme == "http" && port == "80" || u.Scheme == "https" && port == "443" {
		port = ""
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port != "" {
		host += ":" + port
	}
	return &url.URL{Scheme: u.Scheme, Host: host}, nil
}

func parseOrigins(s string) ([]string, error) {
	var origins []string
	for _, part := range split(s) {
		u, err := parseOrigin(part)
		if err != nil {
			return nil, errors.New("holds an entry that is no origin: " + strconv.Quote(part) + " " + err.Error())
		}
		origins = append(origins, u.String())
	}
	return origins, nil
}

func parseProxies(s string) ([]netip.Prefix, error) {
	var prefixes []netip.Prefix
	for _, part := range split(s) {
		p, err := parsePrefix(part)
		if err != nil {
			return nil, errors.New("holds an entry that is no address and no network: " + strconv.Quote(part))
		}
		prefixes = append(prefixes, p)
	}
	return prefixes, nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	return p.Masked(), err
}

// split parts a list at its commas; an empty text is an empty list.
func split(s string) []string {
	if strings.TrimSpace(s) == "" {
		return nil
	}
	parts := strings.Split(s, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

func parseDatabase(d *Database, s string) error {
	scheme, rest, _ := strings.Cut(s, ":")
	switch scheme {
	case "postgres", "postgresql":
		u, err := url.Parse(s)
		// A / or # in a password moves its rest to where it is no secret any more.
		if err != nil || u.Opaque != "" || !strings.HasPrefix(rest, "//") || u.Fragment != "" || strings.Contains(u.Path, "@") {
			return errors.New("is no URL; a password with one of @ : / ? # % in it is written with %40 and the like")
		}
		d.Kind, d.URL, d.Path = Postgres, s, ""
	case "sqlite":
		path := strings.TrimPrefix(rest, "//")
		if path == "" || strings.ContainsAny(path, "?#\x00") || path == ":memory:" {
			return errors.New("names no file behind its sqlite: prefix")
		}
		d.Kind, d.URL, d.Path = SQLite, "", path
	case "memory":
		if rest != "" && rest != "//" || !strings.Contains(s, ":") {
			return errors.New("is not understood; memory: stands alone")
		}
		d.Kind, d.URL, d.Path = Memory, "", ""
	default:
		return errors.New("begins with none of postgres:// and sqlite: and memory: as it should")
	}
	return nil
}

func parseSessionCache(s string) (time.Duration, error) {
	if s == off {
		return 0, nil
	}
	return duration(100*time.Millisecond, 10*time.Second)(s)
}

func parseListenURL(s string) (string, error) {
	if s == auto {
		return "", nil
	}
	var d Database
	if err := parseDatabase(&d, s); err != nil {
		return "", err
	}
	if d.Kind != Postgres {
		return "", errors.New("is no postgres:// URL")
	}
	return d.URL, nil
}

func maskListen(s string) string {
	if s == auto {
		return s
	}
	return maskDatabase(s)
}

// maskDatabase shows a database's URL as [Database.String] does.
func maskDatabase(s string) string {
	var d Database
	if parseDatabase(&d, s) != nil {
		return masked
	}
	return d.String()
}

// parseSessionStore reads the URL of a Redis, which may name several hosts, as
// none of net/url may.
func parseSessionStore(store *SessionStore, s string) error {
	read := SessionStore{MaxConnections: store.MaxConnections}
	if s == InDatabase {
		*store = read
		return nil
	}
	scheme, rest, _ := strings.Cut(s, "://")
	if scheme != "redis" && scheme != "rediss" {
		return errors.New("is neither database nor begins with redis:// or rediss://")
	}
	rest, query, _ := strings.Cut(rest, "?")
	if query != "" && query != clusterQuery {
		return errors.New("has something else than cluster=true behind its question mark" + hintOfEscapes)
	}
	hosts, number, _ := strings.Cut(rest, "/")
	if err := read.parseHosts(hosts); err != nil {
		return err
	}
	read.TLS, read.Cluster = scheme == "rediss", query == clusterQuery || len(read.Addrs) > 1
	if number == "" {
		number = "0"
	}
	n, err := strconv.ParseUint(number, 10, 16)
	switch {
	case err != nil || strconv.FormatUint(n, 10) != number:
		return errors.New("has something else than the number of a database behind its hosts" + hintOfEscapes)
	case n != 0 && read.Cluster:
		return errors.New("names a database of a cluster, which has none but 0")
	}
	read.Database = int(n)
	*store = read
	return nil
}

const (
	clusterQuery  = "cluster=true"
	hintOfEscapes = "; a password with one of @ : / ? # % in it is written with %40 and the like"
)

// parseHosts reads user:password@host:port,host:port.
func (s *SessionStore) parseHosts(text string) error {
	if at := strings.LastIndexByte(text, '@'); at >= 0 {
		name, password, _ := strings.Cut(text[:at], ":")
		var err1, err2 error
		s.Username, err1 = url.PathUnescape(name)
		s.Password, err2 = url.PathUnescape(password)
		if err1 != nil || err2 != nil {
			return errors.New("has a name or a password that cannot be read" + hintOfEscapes)
		}
		text = text[at+1:]
	}
	for host := range strings.SplitSeq(text, ",") {
		if _, _, err := net.SplitHostPort(host); err != nil {
			host += ":6379"
		}
		name, port, err := net.SplitHostPort(host)
		if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || n == 0 || name == "" || strings.ContainsAny(name, " #@%") {
			return errors.New("names a host that is not written host or host:port" + hintOfEscapes)
		}
		s.Addrs = append(s.Addrs, net.JoinHostPort(name, port))
	}
	return nil
}

// maskSessionStore shows the URL of a Redis as [SessionStore.String] does.
func maskSessionStore(s string) string {
	var store SessionStore
	if parseSessionStore(&store, s) != nil {
		return masked
	}
	return store.String()
}

// maskURL hides the passwords of a database URL: that of its user and those
// among its parameters.
func maskURL(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return masked
	}
	if _, has := u.User.Password(); has {
		u.User = url.UserPassword(u.User.Username(), masked)
	}
	q := u.Query()
	for key := range q {
		if strings.Contains(strings.ToLower(key), "pass") {
			q.Set(key, masked)
			u.RawQuery = q.Encode()
		}
	}
	return strings.ReplaceAll(u.String(), url.QueryEscape(masked), masked)
}

const masked = "***"

// minSecret is how long a secret is at the least, in characters. Out of a
// generator they have four bits at the least, as hexadecimal digits do.
const minSecret = 32

func parseSecrets(s string) (Secrets, error) {
	secrets := Secrets(split(s))
	for _, one := range secrets {
		if len(one) < minSecret {
			return nil, errors.New("has less than 32 characters, or a comma in it")
		}
	}
	return secrets, nil
}

func maskSecrets(s string) string { return Secrets(split(s)).String() }

func parseRegistration(s string) (verified bool, err error) {
	switch s {
	case "open":
		return false, nil
	case "verified":
		return true, nil
	}
	return false, errors.New("is neither open nor verified")
}

func parseMigrate(s string) (bool, error) {
	switch s {
	case auto:
		return true, nil
	case off:
		return false, nil
	}
	return false, errors.New("is neither auto nor off")
}

func parseSlots(s string) (int, error) {
	if s == auto {
		return defaultSlots(), nil
	}
	return wholeNumber(1, 256)(s)
}

func parseLevel(s string) (slog.Level, error) {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	level, ok := levels[strings.ToLower(s)]
	if !ok {
		return 0, errors.New("is no level")
	}
	return level, nil
}

func parseFormat(s string) (LogFormat, error) {
	f := LogFormat(strings.ToLower(s))
	if !slices.Contains([]LogFormat{FormatAuto, FormatText, FormatJSON}, f) {
		return "", errors.New("is no format")
	}
	return f, nil
}

func wholeNumber(low, high int) func(string) (int, error) {
	return func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if errors.Is(err, strconv.ErrRange) || err == nil && (n < low || n > high) {
			return 0, outOfRange(low, high)
		}
		if err != nil {
			return 0, errors.New("is no whole number")
		}
		return n, nil
	}
}

// duration reads what time.ParseDuration does, with days in front: 30d, 1d12h.
func duration(low, high time.Duration) func(string) (time.Duration, error) {
	return func(s string) (time.Duration, error) {
		d, err := parseDuration(s)
		if err != nil {
			return 0, err
		}
		if d < low || d > high {
			return 0, outOfRange(low, high)
		}
		return d, nil
	}
}

func parseDuration(s string) (time.Duration, error) {
	none := errors.New("is no duration")
	days, rest, found := strings.Cut(s, "d")
	if !found {
		days, rest = "0", s
	}
	n, err := strconv.ParseUint(days, 10, 31)
	if err != nil {
		return 0, none
	}
	var d time.Duration
	if rest != "" {
		if d, err = time.ParseDuration(rest); err != nil || found && d < 0 {
			return 0, none
		}
	} else if !found {
		return 0, none
	}
	const day = 24 * time.Hour
	if n > uint64(math.MaxInt64/int64(day)) || time.Duration(n)*day > math.MaxInt64-max(d, 0) {
		return 0, errors.New("is longer than can be counted")
	}
	return time.Duration(n)*day + d, nil
}

// size reads a number of bytes: 65536, 64KiB, 1MiB.
func size(low, high int) func(string) (int, error) {
	form := regexp.MustCompile(`^([0-9]{1,12}) ?(B|KiB|MiB|kB|MB)?$`)
	units := map[string]int{"": 1, "B": 1, "kB": 1000, "KiB": 1 << 10, "MB": 1e6, "MiB": 1 << 20}
	return func(s string) (int, error) {
		m := form.FindStringSubmatch(s)
		if m == nil {
			return 0, errors.New("is no size")
		}
		n, _ := strconv.Atoi(m[1])
		if n *= units[m[2]]; n < low || n > high {
			return 0, outOfRange(strconv.Itoa(low), strconv.Itoa(high)+" bytes")
		}
		return n, nil
	}
}
