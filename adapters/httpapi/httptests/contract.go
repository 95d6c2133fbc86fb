package httptests

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// contract is the OpenAPI document as a judge.
type contract struct {
	doc    *openapi3.T
	router routers.Router
	shapes *shapes
	seen   *coverage
}

// shapes judges JSON by the schemas of a document. It compiles each once, which
// openapi3filter does for every answer.
type shapes struct {
	components any      // of the document, to which its schemas refer
	compiled   sync.Map // by *openapi3.Schema
}

// check returns an error if the text is not JSON of that shape.
func (s *shapes) check(shape *openapi3.SchemaRef, text []byte) error {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	known, ok := s.compiled.Load(shape.Value)
	if !ok {
		fresh, err := s.compile(shape.Value)
		if err != nil {
			return err
		}
		known, _ = s.compiled.LoadOrStore(shape.Value, fresh)
	}
	return known.(*jsonschema.Schema).Validate(value) //nolint:forcetypeassert // nothing else is kept there
}

func (s *shapes) compile(shape *openapi3.Schema) (*jsonschema.Schema, error) {
	text, err := json.Marshal(shape)
	if err != nil {
		return nil, err
	}
	var resource map[string]any
	if err := json.Unmarshal(text, &resource); err != nil {
		return nil, err
	}
	resource["components"] = s.components
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	if err := c.AddResource("openapi.json", resource); err != nil {
		return nil, err
	}
	return c.Compile("openapi.json")
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
	var parts struct {
		Components any `json:"components"`
	}
	if err := json.Unmarshal(text, &parts); err != nil {
		t.Fatal(err)
	}
	return &contract{doc: doc, router: router, shapes: &shapes{components: parts.Components}}
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
		Options: &openapi3filter.Options{
			AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true, MultiError: true,
			ExcludeRequestBody: true, // see checkBody
		},
	}
	if a.Status < 300 {
		if err := openapi3filter.ValidateRequest(context.Background(), in); err != nil {
			t.Errorf("%s: accepted, but the document does not: %v", a.what, err)
		}
		if body := route.Operation.RequestBody; body != nil && (body.Value.Required || len(payload) > 0) {
			if err := c.checkBody(body.Value.Content, req.Header.Get("Content-Type"), payload); err != nil {
				t.Errorf("%s: accepted, but the document does not: %v\n%s", a.what, err, payload)
			}
		}
	}
	c.seen.add(route.Operation.OperationID, a.Status)
	c.checkAnswer(t, route.Operation, req.Method, a)
}

// checkBody holds a body to what the document says of bodies of its media type.
func (c *contract) checkBody(content openapi3.Content, mediaType string, text []byte) error {
	as := content.Get(mediaType)
	switch {
	case as == nil:
		return fmt.Errorf("no body of type %q", mediaType)
	case as.Schema == nil || !strings.Contains(mediaType, "json"):
		return nil
	}
	return c.shapes.check(as.Schema, text)
}

func (c *contract) checkAnswer(t *testing.T, operation *openapi3.Operation, method string, a *Answer) {
	t.Helper()
	documented := operation.Responses.Status(a.Status)
	if documented == nil {
		t.Errorf("%s: %d is not documented\n%s", a.what, a.Status, a.Body)
		return
	}
	err := c.checkHeaders(documented.Value.Headers, a.Header)
	if method != http.MethodHead {
		err = errors.Join(err, c.checkAnswerBody(documented, a))
	}
	if err != nil {
		t.Errorf("%s: %d is not what the document says: %v\n%s", a.what, a.Status, err, a.Body)
	}
}

// checkHeaders holds the fields of an answer to what the document says of them.
// openapi3filter would compile each schema for each answer.
func (c *contract) checkHeaders(documented openapi3.Headers, fields http.Header) error {
	var errs []error
	for name, h := range documented {
		values := fields.Values(name)
		switch {
		case len(values) == 0:
			if h.Value.Required {
				errs = append(errs, fmt.Errorf("there is no %s", name))
			}
			continue
		case h.Value.Schema == nil:
			errs = append(errs, fmt.Errorf("the document does not say what %s is like", name))
			continue
		}
		text := []byte(values[0])
		if !h.Value.Schema.Value.Type.Is(openapi3.TypeInteger) {
			text, _ = json.Marshal(values[0]) // any string can be
		}
		if err := c.shapes.check(h.Value.Schema, text); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

func (c *contract) checkAnswerBody(documented *openapi3.ResponseRef, a *Answer) error {
	if documented == nil || len(documented.Value.Content) == 0 || a.Status == http.StatusNotModified {
		if len(a.Body) > 0 {
			return errors.New("no body is documented")
		}
		return nil
	}
	return c.checkBody(documented.Value.Content, a.Header.Get("Content-Type"), a.Body)
}

func (c *contract) checkProblem(t *testing.T, a *Answer) {
	t.Helper()
	if len(a.Body) == 0 {
		return
	}
	if err := c.shapes.check(c.doc.Components.Schemas["Problem"], a.Body); err != nil {
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
