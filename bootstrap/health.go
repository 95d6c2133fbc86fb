package bootstrap

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// healthCommand is "gatehouse health": the health check of a container, which
// needs no curl in it.
type healthCommand struct {
	Ready bool `help:"Ask whether the database is reachable too (/readyz instead of /livez)."`
}

// Help is what "gatehouse health --help" adds.
func (healthCommand) Help() string {
	return `It asks the address that the configuration says to listen on, and exits with 1 if the answer is not 200.

Examples:

    gatehouse health
    HEALTHCHECK CMD ["/gatehouse", "health"]`
}

// Run asks.
func (h healthCommand) Run(c *call) error {
	loaded, err := c.config()
	if err != nil {
		return err
	}
	path := "/livez"
	if h.Ready {
		path = "/readyz"
	}
	ctx, cancel := context.WithTimeout(c.ctx, 5*time.Second)
	defer cancel()
	url := "http://" + reachable(loaded.Config.Listen) + path
	asker := http.Client{Transport: &http.Transport{DialContext: toSelf, DisableKeepAlives: true}} // through no proxy
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := asker.Do(request)
	if err != nil {
		return fmt.Errorf("no answer, is the service running? %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, answer.Status)
	}
	fmt.Fprintf(c.out, "%s answers 200\n", url)
	return nil
}

// toSelf connects to this machine, where that is asked for, without asking who
// "localhost" is: in a container of nothing but this program nobody knows.
func toSelf(ctx context.Context, network, address string) (net.Conn, error) {
	if host, port, err := net.SplitHostPort(address); err == nil && host == "localhost" {
		address = net.JoinHostPort("", port)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}

// reachable is where a service is asked that listens on an address: one that
// listens on all interfaces is asked on this machine's own.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if a, err := netip.ParseAddr(host); host == "" || err == nil && a.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}
