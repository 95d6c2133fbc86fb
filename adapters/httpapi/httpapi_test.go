package httpapi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"gatehouse/adapters/aead"
	"gatehouse/adapters/httpapi"
	"gatehouse/adapters/httpapi/httptests"
	"gatehouse/adapters/memory"
	"gatehouse/adapters/system"
	"gatehouse/adapters/totp"
	"gatehouse/adapters/useragent"
	"gatehouse/application/products"
	"gatehouse/configs"
	"gatehouse/domain/access"
	"gatehouse/domain/fault"
	"gatehouse/domain/ticket"
	"gatehouse/tests/detector"
)

// open gives stores in memory with the policy that a new installation starts
// with.
func open(t *testing.T) httptests.Stores {
	t.Helper()
	return stores(t)
}

func stores(t testing.TB) httptests.Stores {
	t.Helper()
	policy, err := configs.DefaultPolicy()
	if err != nil {
		t.Fatal(err)
	}
	return storesUnder(t, policy)
}

func storesUnder(t testing.TB, policy access.Table) httptests.Stores {
	t.Helper()
	db, random := memory.New(), system.NewRandom()
	for i := range policy.Rows {
		policy.Rows[i].ID = access.PolicyID{UUID: random.ID(time.Now())}
	}
	if _, err := db.Policies().Seed(context.Background(), access.Revision{Edit: access.Edit{At: time.Now()}, Table: policy}); err != nil {
		t.Fatal(err)
	}
	vocabulary, err := access.NewVocabulary()
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := aead.New(bytes.Repeat([]byte("k"), aead.MinSecretBytes))
	if err != nil {
		t.Fatal(err)
	}
	decider := memory.NewAuthorizer(db.Policies(), vocabulary)
	return httptests.Stores{
		Policies: db.Policies(), History: db.Policies(), Roles: db.Users(), Census: db.Products(), Rehearsal: decider, Vocabulary: vocabulary,
		Users: db.Users(), Sessions: db.Sessions(), Directory: db.Sessions(), Factors: db.Factors(), Products: db.Products(),
		Tickets: db.Tickets(), Answers: db.Answers(), Outbox: db.Outbox(), Ledger: db.Ledger(), Audit: db.Ledger(), Limiter: db.Limiter(),
		Authorizer: decider, Hasher: memory.Hasher{},
		Codes: totp.New("Gatehouse"), Sealer: sealer, Devices: devices, Random: random,
	}
}

var devices = useragent.New() // one for all: it takes a while

func TestTransport(t *testing.T) { httptests.Transport(t, open) }

// TestContract runs all of the tables, and under the race detector those where many
// meet.
func TestContract(t *testing.T) {
	if detector.On {
		httptests.RunRaces(t, open)
		return
	}
	httptests.Run(t, open)
}

// TestRoutesAndDocumentAgree compares the surface with openapi.json both ways.
func TestRoutesAndDocumentAgree(t *testing.T) {
	app := httptests.NewApp(t, open(t), httptests.Options{})
	res, err := http.Get("http://" + app.Addr + "/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		t.Fatal(err)
	}
	var served, documented []string
	for _, r := range app.Server.Routes() {
		served = append(served, fmt.Sprintf("%s %s %s", r.Method, r.Path, r.Name))
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			documented = append(documented, fmt.Sprintf("%s %s %s", method, path, op.OperationID))
		}
	}
	sort.Strings(served)
	sort.Strings(documented)
	if !slices.Equal(served, documented) {
		t.Errorf("served\n%s\n\ndocumented\n%s", strings.Join(served, "\n"), strings.Join(documented, "\n"))
	}
}

func TestNewRefusesWhatIsHalfWired(t *testing.T) {
	_, err := httpapi.New(httpapi.Config{PublicURL: &url.URL{Scheme: "http", Host: "127.0.0.1"}, Log: slog.Default()})
	if err == nil || !strings.Contains(err.Error(), "Accounts") || !strings.Contains(err.Error(), "Random") {
		t.Errorf("New(nothing) = %v, want what is missing", err)
	}
	for u, ok := range map[string]bool{
		"https://shop.example.com": true, "https://127.0.0.1:8443": true, "http://localhost:8080": true, "http://127.0.0.1": true, "http://[::1]:80": true,
		"http://shop.example.com": false, "http://10.0.0.1": false, "http://localhost.evil.example": false, "ftp://localhost": false, "/x": false, "": false,
	} {
		if err := httpapi.CheckPublicURL(u); (err == nil) != ok {
			t.Errorf("public URL %q: %v, want accepted %v", u, err, ok)
		}
	}
	for o, ok := range map[string]bool{
		"https://app.example.com": true, "http://localhost:3000": true, "HTTPS://App.Example.com": true,
		"*": false, "null": false, "app.example.com": false, "https://app.example.com/": false, "https://app.example.com/x": false, "https://u@app.example.com": false, "file://x": false, "": false,
	} {
		if _, err := httpapi.ParseOrigins([]string{o}); (err == nil) != ok {
			t.Errorf("trusted origin %q: %v, want accepted %v", o, err, ok)
		}
	}
}

// TestEveryErrorHasAnAnswer: no error, however wrapped, tells its text.
func TestEveryErrorHasAnAnswer(t *testing.T) {
	const secret = "pq: password authentication failed"
	for _, row := range []struct {
		err    error
		status int
		code   string
	}{
		{errors.New(secret), 500, "internal"},
		{fmt.Errorf("x: %w", errors.New(secret)), 500, "internal"},
		{fault.Outage(errors.New(secret)), 503, "unavailable"},
		{fmt.Errorf("finding: %w", fault.Outage(errors.New(secret))), 503, "unavailable"},
		{fmt.Errorf("%s: %w", secret, fault.NotFound), 404, "not_found"},
		{fmt.Errorf("%s: %w", secret, fault.Unavailable), 503, "unavailable"},
		{fmt.Errorf("%s: %w", secret, context.DeadlineExceeded), 503, "unavailable"},
		{fmt.Errorf("%s: %w", secret, context.Canceled), 503, "unavailable"},
		{access.ErrForbidden.Because(errors.New(secret)), 403, "forbidden"},
		{access.ErrUnauthenticated.Because(fault.NotFound), 401, "unauthenticated"},
		{products.ErrVersionConflict, 412, "version_conflict"},
		{ticket.ErrInvalid.Because(fault.NotFound), 410, "token_invalid"},
		{fmt.Errorf("%s: %w", secret, fault.Gone), 410, "gone"},
		{fmt.Errorf("%s: %w", secret, fault.TooMany), 429, "too_many_attempts"},
		{fault.New(fault.Conflict, "", ""), 409, "conflict"},
		{errors.Join(errors.New(secret), fault.New(fault.Invalid, "validation_failed", "x")), 422, "validation_failed"},
	} {
		status, body := httpapi.Problem(row.err)
		if status != row.status || !strings.Contains(string(body), `"code":"`+row.code+`"`) || strings.Contains(string(body), secret) {
			t.Errorf("%v = %d %s, want %d %s", row.err, status, body, row.status, row.code)
		}
	}
}

// TestNobodyFollows: where nobody asks for traces, none are paid for.
func TestNobodyFollows(t *testing.T) {
	if n := httpapi.AllocationsUnfollowed(); n != 0 {
		t.Errorf("a request that nobody follows allocates %v times for that", n)
	}
}
