package configs

import (
	"errors"
	"log/slog"
	"net/mail"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"

	"gatehouse/domain/user"
)

// Mail says where mails go and what stands in them.
type Mail struct {
	Server MailServer // that takes them; without a host they go into Folder
	Folder string     // a file for each mail; "" means beside the data, see [Config.MailFolder]
	From   string     // such as "Gatehouse <no-reply@example.com>"; "" follows from the public URL, see [Config.MailFrom]
	Link   *url.URL   // in front of the paths of links; nil means the public URL
}

// MailServer is one that takes mails by SMTP.
type MailServer struct {
	Host     string
	Port     int
	TLS      MailTLS
	User     string // "" for none
	Password string
}

// MailTLS says how the way to a mail server is encrypted.
type MailTLS string

// The ways: from the first byte; after STARTTLS and not at all without; after
// STARTTLS where the server offers it; not.
const (
	MailTLSImplicit      MailTLS = "implicit"
	MailTLSRequired      MailTLS = "required"
	MailTLSOpportunistic MailTLS = "opportunistic"
	MailTLSNone          MailTLS = "none"
)

// String names the server without its password.
func (s MailServer) String() string {
	if s.Host == "" {
		return ""
	}
	who := ""
	if s.User != "" {
		who = s.User + ":" + masked + "@"
	}
	if s.TLS == MailTLSImplicit {
		return "smtps://" + who + s.address()
	}
	return "smtp://" + who + s.address() + "?tls=" + string(s.TLS)
}

func (s MailServer) address() string {
	host := s.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + strconv.Itoa(s.Port)
}

// LogValue is [MailServer.String]: there is a password in it.
func (s MailServer) LogValue() slog.Value { return slog.StringValue(s.String()) }

// GoString is [MailServer.String].
func (s MailServer) GoString() string { return s.String() }

// MailFolder is where mails go that no server takes: what is configured, else
// "mail" beside the data file. It is "" where nothing is kept (memory:), and
// nothing is configured.
func (c Config) MailFolder() string {
	switch {
	case c.Mail.Folder != "":
		return c.Mail.Folder
	case c.Database.Kind == SQLite:
		return filepath.Join(filepath.Dir(c.Database.Path), "mail")
	case c.Database.Kind == Postgres:
		return filepath.Join("data", "mail")
	}
	return ""
}

// MailFrom is who mails come from: what is configured, or no-reply at the host
// of the public URL.
func (c Config) MailFrom() string {
	if c.Mail.From != "" {
		return c.Mail.From
	}
	host := "localhost"
	if c.PublicURL != nil {
		host = c.PublicURL.Hostname()
	}
	if _, err := netip.ParseAddr(host); err == nil {
		host = "localhost"
	}
	if e, err := user.NewEmail("no-reply@" + host); err == nil { // its domain as mail has it
		return "Gatehouse <" + e.Canonical() + ">"
	}
	return "Gatehouse <no-reply@" + host + ">"
}

// MailLink is what stands in front of the paths of links, without a slash at
// its end. public is where people reach the service.
func (c Config) MailLink(public *url.URL) string {
	if c.Mail.Link != nil {
		public = c.Mail.Link
	}
	return strings.TrimRight(public.String(), "/")
}

// parseMail reads the URL of where mails go.
func parseMail(m *Mail, s string) error {
	scheme, rest, _ := strings.Cut(s, ":")
	switch {
	case s == auto:
		m.Server, m.Folder = MailServer{}, ""
	case scheme == "file":
		path := strings.TrimPrefix(rest, "//")
		if path == "" || strings.ContainsAny(path, "?#\x00") {
			return errors.New("names no folder behind its file: prefix")
		}
		m.Server, m.Folder = MailServer{}, path
	case scheme == "smtp" || scheme == "smtps":
		server, err := parseMailServer(s)
		if err != nil {
			return err
		}
		m.Server, m.Folder = server, ""
	default:
		return errors.New("begins with none of smtp:// and smtps:// and file: as it should")
	}
	return nil
}

func parseMailServer(s string) (MailServer, error) {
	none := MailServer{}
	u, err := url.Parse(s)
	// A / or # in a password moves its rest to where it is no secret any more.
	if err != nil || u.Opaque != "" || u.Fragment != "" || u.Path != "" && u.Path != "/" {
		return none, errors.New("is no URL; a password with one of @ : / ? # % in it is written with %40 and the like")
	}
	server := MailServer{Host: strings.ToLower(u.Hostname())}
	if server.Host == "" || strings.ContainsAny(server.Host, " *,") {
		return none, errors.New("names no host")
	}
	if server.Port, err = mailPort(u); err != nil {
		return none, err
	}
	if server.TLS, err = mailTLS(u); err != nil {
		return none, err
	}
	if u.User == nil {
		return server, nil
	}
	server.User = u.User.Username()
	server.Password, _ = u.User.Password()
	switch {
	case server.User == "" || server.Password == "":
		return none, errors.New("has a user or a password, and not both")
	case (server.TLS == MailTLSNone || server.TLS == MailTLSOpportunistic) && !IsLoopback(server.Host):
		return none, errors.New("would send the password over a way that need not be encrypted; leave tls=… out of it")
	}
	return server, nil
}

// mailPort is that of submission (RFC 6409, RFC 8314) where none is named.
func mailPort(u *url.URL) (int, error) {
	switch {
	case u.Port() != "":
		n, err := strconv.ParseUint(u.Port(), 10, 16)
		if err != nil || n == 0 {
			return 0, errors.New("has no port from 1 to 65535")
		}
		return int(n), nil
	case u.Scheme == "smtps":
		return 465, nil
	}
	return 587, nil
}

// mailTLS is STARTTLS, which must not be left out at the wish of whoever is on
// the way; to this machine itself nobody is.
func mailTLS(u *url.URL) (MailTLS, error) {
	q, err := url.ParseQuery(u.RawQuery)
	given := q["tls"]
	if err != nil || len(q) > 1 || len(q) == 1 && len(given) != 1 || u.Scheme == "smtps" && len(q) > 0 {
		return "", errors.New("has a parameter that it cannot have; smtp:// takes ?tls=required, opportunistic or none, smtps:// nothing")
	}
	switch {
	case u.Scheme == "smtps":
		return MailTLSImplicit, nil
	case len(given) == 0 && IsLoopback(u.Hostname()):
		return MailTLSNone, nil
	case len(given) == 0:
		return MailTLSRequired, nil
	}
	switch t := MailTLS(given[0]); t {
	case MailTLSRequired, MailTLSOpportunistic, MailTLSNone:
		return t, nil
	}
	return "", errors.New("has a tls= that is none of required, opportunistic and none")
}

// maskMail hides the password.
func maskMail(s string) string {
	var m Mail
	switch err := parseMail(&m, s); {
	case err != nil:
		return masked
	case m.Server.Host != "":
		return maskURL(s)
	}
	return s
}

func parseMailFrom(s string) (string, error) {
	if s == auto {
		return "", nil
	}
	a, err := mail.ParseAddress(s)
	if err != nil {
		return "", errors.New("is no address")
	}
	if strings.ContainsFunc(a.Address, func(r rune) bool { return r > 127 }) {
		return "", errors.New("has an address that is not ASCII; a domain in another script is written as xn--…")
	}
	return s, nil
}

func parseMailLink(s string) (*url.URL, error) {
	if s == auto {
		return nil, nil
	}
	u, err := url.Parse(s)
	if err != nil {
		return nil, errors.New("is no URL")
	}
	path := strings.TrimRight(u.EscapedPath(), "/")
	u.Path, u.RawPath = "", ""
	origin, err := parseOrigin(u.String())
	if err != nil {
		return nil, errors.New(strings.Replace(err.Error(), "host and port", "host, port and path", 1))
	}
	if origin.Scheme == "http" && !IsLoopback(origin.Hostname()) {
		return nil, errors.New("is http:// for another host than localhost, where anybody on the way could take what stands in the link")
	}
	return origin.JoinPath(path), nil
}
