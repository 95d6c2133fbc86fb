package httpapi_test

import (
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"

	"gatehouse/adapters/httpapi/httptests"
)

// exhausted is a listener that has nothing to give for a while, because the
// process has as many descriptors as it may.
type exhausted struct {
	net.Listener
	mu   sync.Mutex
	left int
}

func (l *exhausted) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left > 0 {
		l.left--
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return l.Listener.Accept()
}

// TestOutOfDescriptors: whoever opens connections until there are no more does
// not end the process. fasthttp ends serving at such an error.
func TestOutOfDescriptors(t *testing.T) {
	ended := make(chan error, 1)
	t.Cleanup(func() { // after the app was shut down
		if err := <-ended; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	app := httptests.NewApp(t, open(t), httptests.Options{})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { ended <- app.Server.Serve(&exhausted{Listener: ln, left: 3}) }()
	res, err := http.Get("http://" + ln.Addr().String() + "/livez")
	if err != nil {
		t.Fatal(err)
	}
	if err := res.Body.Close(); err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("GET /livez = %s, %v", res.Status, err)
	}
}
