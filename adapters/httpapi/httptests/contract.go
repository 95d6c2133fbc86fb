package httptests

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// contract is the OpenAPI document as a judge.
type contract struct {
	doc    *openapi3.T
	router routers.Router
	seen   *coverage
}

var documents sync.Map // by text: reading one takes a while

func contractOf(t *testing.T, a *App) *contract {
	t.Helper()
	res, err := http.Get("http://" + a.Addr + "/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	c, known := documents.Load(string(text))
	if !known {
		c, _ = documents.LoadOrStore(string(text), readDocument(t, text))
	}
	read := *c.(*contract) //nolint:forcetypeassert // nothing else is kept there
	if seen, ok := coverages.Load(t); ok {
		read.seen, _ = seen.(*coverage)
	}
	return &read
}

func readDocument(t *testing.T, text []byte) *contract {
	t.Helper()
	openapi3filter.RegisterBodyDecoder("application/merge-patch+json", openapi3filter.JSONBodyDecoder)
	openapi3filter.RegisterBodyDecoder("application/problem+json", openapi3filter.JSONBodyDecoder)
	doc, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		t.Fatalf("openapi.json: %v", err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		t.Fatalf("openapi.json: %v", err)
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return &contract{doc: doc, router: router}
}

// check holds an answer to the document, and, where the request was accepted,
// the request too.
func (c *contract) check(t *testing.T, req *http.Request, payload []byte, a *Answer) {
	t.Helper()
	asked := req.Clone(context.Background())
	asked.Body = io.NopCloser(bytes.NewReader(payload))
	asked.URL.Scheme, asked.URL.Host, asked.Host = "", "", ""
	if asked.Method == http.MethodHead {
		asked.Method = http.MethodGet
	}
	route, params, err := c.router.FindRoute(asked)
	if err != nil { // an unknown path or method, for which there is no operation
		c.checkProblem(t, a)
		return
	}
	in := &openapi3filter.RequestValidationInput{
		Request: asked, PathParams: params, Route: route, QueryParams: asked.URL.Query(),
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true, MultiError: true},
	}
	if a.Status < 300 {
		if err := openapi3filter.ValidateRequest(context.Background(), in); err != nil {
			t.Errorf("%s: accepted, but the document does not: %v\n%s", a.what, err, payload)
		}
	}
	c.seen.add(route.Operation.OperationID, a.Status)
	c.checkAnswer(t, in, req.Method, a)
}

func (c *contract) checkAnswer(t *testing.T, in *openapi3filter.RequestValidationInput, method string, a *Answer) {
	t.Helper()
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: a.Status, Header: a.Header, Options: in.Options}
	if !strings.Contains(a.Header.Get("Content-Type"), "json") || method == http.MethodHead {
		o := *in.Options
		o.ExcludeResponseBody = true
		out.Options = &o
	}
	out.SetBodyBytes(a.Body)
	if err := openapi3filter.ValidateResponse(context.Background(), out); err != nil {
		t.Errorf("%s: %d is not what the document says: %v\n%s", a.what, a.Status, err, a.Body)
	}
}

func (c *contract) checkProblem(t *testing.T, a *Answer) {
	t.Helper()
	if len(a.Body) == 0 {
		return
	}
	var body any = a.JSON()
	if err := c.doc.Components.Schemas["Problem"].Value.VisitJSON(body, openapi3.EnableJSONSchema2020()); err != nil {
		t.Errorf("%s: %d is no problem by the document: %v\n%s", a.what, a.Status, err, a.Body)
	}
}

// coverages holds, by test, what the answers of its app are counted in.
var coverages sync.Map

// coverage counts which answers of the document were seen.
type coverage struct {
	mu   sync.Mutex
	seen map[string]bool
}

func (c *coverage) add(operation string, status int) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen == nil {
		c.seen = map[string]bool{}
	}
	c.seen[operation+" "+strconv.Itoa(status)] = true
}

// unseen are answers that every operation has in common and that the tables
// drive by other means, or once for all.
var unseen = map[string]bool{"400": true, "403": true, "408": true, "413": true, "415": true, "431": true, "500": true, "503": true}

// complete fails the test if an operation was never seen to answer what the
// document says it answers.
func (c *coverage) complete(t *testing.T) {
	t.Helper()
	var missing []string
	documents.Range(func(_, v any) bool {
		read, _ := v.(*contract)
		for _, item := range read.doc.Paths.Map() {
			for _, op := range item.Operations() {
				for status := range op.Responses.Map() {
					if key := op.OperationID + " " + status; !unseen[status] && !c.seen[key] {
						missing = append(missing, key)
					}
				}
			}
		}
		return false
	})
	sort.Strings(missing)
	if len(missing) > 0 {
		t.Errorf("never seen, though the document says so: %s", strings.Join(missing, ", "))
	}
}
