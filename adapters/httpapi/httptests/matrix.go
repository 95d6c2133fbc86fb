package httptests

import (
	"bufio"
	_ "embed"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatehouse/adapters/httpapi"
	"gatehouse/domain/access"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
)

//go:embed matrix.txt
var matrixText string

// matrix is matrix.txt.
type matrix struct {
	actors   []string
	intro    []string // the comment on top
	sections []matrixSection
}

// matrixSection is rows under one comment.
type matrixSection struct {
	comment string
	rows    []matrixRow
}

// matrixRow is one line: a request about something in some state, and what each
// actor is answered.
type matrixRow struct {
	line                int
	method, path, about string
	want                []string // by the place of the actor
}

func (r matrixRow) route() string { return r.method + " " + r.path }

func readMatrix() (matrix, error) {
	var m matrix
	var comment []string
	lines := bufio.NewScanner(strings.NewReader(matrixText))
	for n := 1; lines.Scan(); n++ {
		words := strings.Fields(lines.Text())
		text, isComment := strings.CutPrefix(lines.Text(), "#")
		switch {
		case len(words) == 0:
		case isComment && m.actors == nil:
			m.intro = append(m.intro, strings.TrimSpace(text))
		case isComment:
			comment = append(comment, strings.TrimSpace(text))
		case m.actors == nil:
			m.actors = words[3:]
		case len(words) != len(m.actors)+3:
			return m, fmt.Errorf("matrix.txt, line %d: %d cells, want one for each of %s", n, len(words)-3, m.actors)
		default:
			if comment != nil || len(m.sections) == 0 {
				m.sections = append(m.sections, matrixSection{comment: strings.Join(comment, " ")})
				comment = nil
			}
			last := &m.sections[len(m.sections)-1]
			last.rows = append(last.rows, matrixRow{n, words[0], words[1], words[2], words[3:]})
		}
	}
	return m, lines.Err()
}

func (m matrix) rows() (all []matrixRow) {
	for _, s := range m.sections {
		all = append(all, s.rows...)
	}
	return all
}

// abouts are what the rows of a route have to be about: each state that makes a
// difference.
func abouts(route string) []string {
	path := strings.Fields(route)[1]
	for prefix, all := range map[string][]string{
		"/products/{id}": {"archived", "deleted", "draft", "missing", "published"}, "/me/sessions/{id}": {"ended", "foreign", "missing", "own"},
		"/docs/{asset}": {"missing", "present"}, "/admin/users/{id}/sessions/{sessionId}": {"ended", "foreign", "missing"},
		"/admin/policies/{id}": {"missing", "present"}, "/admin/policies/history/{version}": {"missing", "present"}, "/admin/policies/rollback": {"missing", "present"},
	} {
		if strings.HasPrefix(path, prefix) {
			return all
		}
	}
	if strings.HasSuffix(path, "/admin/users/{id}") || strings.HasSuffix(path, "/admin/users/{id}/sessions") {
		return []string{"missing", "present"}
	}
	if route == "GET /products" {
		return []string{"archived", "deleted", "draft", "published"}
	}
	return nil
}

// MatrixGaps tells which of the routes have no rows in matrix.txt, or not all,
// and which rows there are for no route.
func MatrixGaps(routes []httpapi.Route) []string {
	m, err := readMatrix()
	if err != nil {
		return []string{err.Error()}
	}
	have := map[string][]string{}
	var gaps []string
	for _, r := range m.rows() {
		if slices.Contains(have[r.route()], r.about) {
			gaps = append(gaps, fmt.Sprintf("line %d: %s about %s stands twice", r.line, r.route(), r.about))
		}
		have[r.route()] = append(have[r.route()], r.about)
	}
	for _, r := range routes {
		route := r.Method + " " + r.Path
		rows := have[route]
		delete(have, route)
		switch {
		case rows == nil:
			gaps = append(gaps, route+" has no row")
			continue
		case asks[route] == nil:
			gaps = append(gaps, route+" has rows, and nobody knows how to ask")
		}
		for _, about := range abouts(route) {
			if !slices.Contains(rows, about) {
				gaps = append(gaps, route+" has no row about "+about)
			}
		}
	}
	for route := range have {
		gaps = append(gaps, route+" has rows and is no route")
	}
	slices.Sort(gaps)
	return gaps
}

func testMatrix(t *testing.T, open Open) {
	for _, wrong := range Matrix(t, open(t), nil, math.MaxInt) {
		t.Error(wrong)
	}
}

// Matrix runs the rows of matrix.txt that are wanted, nil meaning all, and tells
// which cells are answered otherwise, no more than so many.
func Matrix(t *testing.T, st Stores, wanted func(path string) bool, most int) (wrong []string) {
	t.Helper()
	m, err := readMatrix()
	if err != nil {
		t.Fatal(err)
	}
	c := &cast{app: NewApp(t, st, Options{}), t: t}
	c.signIn("root", "admin") // so that no other is the last one
	for _, row := range m.rows() {
		if wanted != nil && !wanted(row.path) {
			continue
		}
		for i, actor := range m.actors {
			if got, want := c.play(actor, row), row.want[i]; got != spelledOut(want) {
				wrong = append(wrong, fmt.Sprintf("line %d: %s about %s by %s = %s, want %s", row.line, row.route(), row.about, actor, got, want))
				if len(wrong) == most {
					return wrong
				}
			}
		}
	}
	return wrong
}

// spelledOut gives a cell with the code that its status has by itself.
func spelledOut(cell string) string {
	if code := map[string]string{"401": "unauthenticated", "403": "forbidden", "404": "not_found"}[cell]; code != "" {
		return cell + ":" + code
	}
	return cell
}

// cast puts people on the stage, new ones for every cell.
type cast struct {
	app   *App
	t     *testing.T
	count int
}

// scene is one cell: somebody is about to ask about something.
type scene struct {
	*cast
	who   *Client // who asks
	owner *Client // whose the thing is; the same in the column "owner"
	about string
	// shared is the role in which a product is shared with who asks; "" for none.
	shared string
}

func (c *cast) signIn(name string, roles ...string) *Client {
	c.count++
	return c.app.Admit(fmt.Sprintf("%s-%d@example.com", name, c.count), roles...)
}

// play has the actor ask what the row says, and gives the answer as a cell.
func (c *cast) play(actor string, row matrixRow) string {
	s := &scene{cast: c, about: row.about}
	switch actor {
	case "anonymous":
		s.who = c.app.Anonymous()
	case "expired":
		s.who = c.signIn(actor)
		c.app.Advance(25 * time.Hour)
	case "disabled":
		s.who = c.signIn(actor)
		c.app.Disable(s.who.Email)
	case "user", "owner":
		s.who = c.signIn(actor)
	case "viewer", "editor":
		s.who, s.shared = c.signIn(actor), actor
	default:
		s.who = c.signIn(actor, actor)
	}
	s.owner = s.who
	if actor != "owner" {
		s.owner = c.signIn("keeper")
	}
	how := asks[row.route()]
	if how == nil {
		return "nobody knows how to ask"
	}
	a := how(s)
	answer := s.who.Do(row.method, a.path, a.body)
	cell := strconv.Itoa(answer.Status)
	switch {
	case answer.Status >= 400:
		cell += ":" + answer.Code()
	case a.word != nil:
		cell += ":" + a.word(answer)
	}
	return cell
}

// product makes the thing that the row is about and gives its id.
func (s *scene) product() string {
	s.t.Helper()
	if s.about == "missing" {
		return missing
	}
	status := s.about
	if s.about == "deleted" {
		status = "published"
	}
	ctx, st, now := s.t.Context(), s.app.stores, s.app.Clock.Now()
	p := must(product.New(product.ID{UUID: st.Random.ID(now)}, s.account(s.owner).ID(), product.Draft{Name: "Teapot", Amount: 5, Currency: "KRW", Status: status}, now))
	err := st.Products.Add(ctx, p)
	if s.shared != "" && err == nil {
		s.share(p.ID(), s.account(s.who).ID(), s.shared)
	}
	if s.about == "deleted" && err == nil {
		err = st.Products.Delete(ctx, p.ID(), func(product.Product) error { return nil })
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return p.ID().String()
}

// share lets a user in on the product, if it is there.
func (s *scene) share(id product.ID, with user.ID, role string) {
	s.t.Helper()
	_, err := s.app.stores.Products.Update(s.t.Context(), id, func(p *product.Product) error {
		_, err := p.Share(with, role, s.app.Clock.Now())
		return err
	})
	if err != nil && !errors.Is(err, product.ErrUnknown) {
		s.t.Fatal(err)
	}
}

func (s *scene) account(c *Client) user.User {
	s.t.Helper()
	u, err := s.app.stores.Users.FindByEmail(s.t.Context(), must(user.NewEmail(c.Email)))
	if err != nil {
		s.t.Fatal(err)
	}
	return u
}

// session is one of the state that the row is about, by its public id.
func (s *scene) session() string {
	whose := s.who
	switch {
	case s.about == "missing":
		return missing
	case s.about == "foreign" || s.who.Email == "":
		whose = s.signIn("other")
	case s.who.Cookie != "" && s.account(s.who).Status() == user.Disabled:
		return missing // nobody asks about theirs any more
	}
	other := whose.Again()
	ids := other.Do("GET", "/me/sessions", nil).Items("id")
	if s.about == "ended" {
		other.Do("POST", "/logout", nil).Want(204, "")
	}
	return ids[0]
}

// row is one of the policy, made for the scene, by its id.
func (s *scene) row() string {
	s.t.Helper()
	if s.about == "missing" {
		return missing
	}
	s.count++
	r := access.Row{ID: s.app.newRowID(), Role: fmt.Sprintf("r%d", s.count), Resource: "product", Action: "read", Condition: "any", Effect: "allow"}
	_, err := s.app.stores.History.Change(s.t.Context(), access.Edit{At: s.app.Clock.Now()}, func(t *access.Table) error {
		t.Rows = append(t.Rows, r)
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return r.ID.String()
}

// ask is a request, and what else of the answer counts.
type ask struct {
	path string
	body any
	word func(*Answer) string
}

// user is the one that the row is about, by id.
func (s *scene) user() string {
	if s.about == "missing" {
		return missing
	}
	return s.account(s.owner).ID().String()
}

// ofUser is a request about a user.
func ofUser(rest string, body any) func(*scene) ask {
	return func(s *scene) ask { return ask{path: "/admin/users/" + s.user() + rest, body: body} }
}

// to is a request that needs no more than a path and a body.
func to(path string, body any) func(*scene) ask {
	return func(*scene) ask { return ask{path: path, body: body} }
}

// of is a request about a product.
func of(rest string, body any) func(*scene) ask {
	return func(s *scene) ask { return ask{path: "/products/" + s.product() + rest, body: body} }
}

// asks says how each route is asked, with nothing wrong in the request.
var asks = map[string]func(*scene) ask{
	"POST /register": func(s *scene) ask {
		s.count++
		return ask{path: "/register", body: creds(fmt.Sprintf("new-%d@example.com", s.count), password)}
	},
	"POST /login":              func(s *scene) ask { return ask{path: "/login", body: creds(s.signIn("again").Email, password)} },
	"POST /login/totp":         to("/login/totp", obj{"code": "123456"}),
	"POST /logout":             to("/logout", nil),
	"POST /password/forgot":    to("/password/forgot", obj{"email": "nobody@example.com"}),
	"POST /password/reset":     to("/password/reset", obj{"token": strings.Repeat("A", 43), "newPassword": "another-fine-passphrase"}),
	"GET /password/reset":      to("/password/reset", nil),
	"POST /email/verify":       to("/email/verify", obj{"token": strings.Repeat("A", 43)}),
	"GET /email/verify":        to("/email/verify", nil),
	"POST /email/verification": to("/email/verification", nil),

	"GET /me":             to("/me", nil),
	"PATCH /me":           to("/me", obj{"name": "Mina"}),
	"DELETE /me":          to("/me", obj{"password": password}),
	"GET /me/export":      to("/me/export", nil),
	"GET /me/sessions":    to("/me/sessions", nil),
	"DELETE /me/sessions": to("/me/sessions", nil),
	"DELETE /me/sessions/{id}": func(s *scene) ask {
		return ask{path: "/me/sessions/" + s.session()}
	},
	"PUT /me/password": to("/me/password", obj{"currentPassword": password, "newPassword": "another-fine-passphrase"}),
	"PUT /me/email": func(s *scene) ask {
		s.count++
		return ask{path: "/me/email", body: obj{"email": fmt.Sprintf("moved-%d@example.com", s.count), "currentPassword": password}}
	},
	"POST /me/reauthenticate": to("/me/reauthenticate", obj{"password": password}),
	"POST /me/totp": func(s *scene) ask {
		return ask{path: "/me/totp", word: func(a *Answer) string {
			s.app.keep(a.Text("secret"))
			return "secret"
		}}
	},
	"POST /me/totp/confirm": to("/me/totp/confirm", obj{"code": "123456"}),
	"DELETE /me/totp":       to("/me/totp", obj{"password": password}),

	"POST /products": to("/products", teapot()),
	"GET /products": func(s *scene) ask {
		id := s.product()
		return ask{path: "/products?limit=1&owner=" + s.account(s.owner).ID().String(), word: func(a *Answer) string {
			if slices.Contains(a.Items("id"), id) {
				return "listed"
			}
			return "hidden"
		}}
	},
	"GET /products/{id}":    of("", nil),
	"PATCH /products/{id}":  of("", obj{"stock": 7}),
	"DELETE /products/{id}": of("", nil),
	"PUT /products/{id}/owner": func(s *scene) ask {
		to := s.account(s.signIn("heir")).ID().String()
		return ask{path: "/products/" + s.product() + "/owner", body: obj{"ownerId": to}}
	},
	"GET /products/{id}/grants": of("/grants", nil),
	"PUT /products/{id}/grants/{userId}": func(s *scene) ask {
		to := s.account(s.signIn("guest")).ID().String()
		return ask{path: "/products/" + s.product() + "/grants/" + to, body: obj{"role": "viewer"}}
	},
	"DELETE /products/{id}/grants/{userId}": func(s *scene) ask {
		id, to := s.product(), s.account(s.signIn("guest")).ID()
		if known, ok := product.ParseID(id); ok {
			s.share(known, to, "editor")
		}
		return ask{path: "/products/" + id + "/grants/" + to.String()}
	},
	"GET /products/{id}/permissions": func(s *scene) ask {
		return ask{path: "/products/" + s.product() + "/permissions", word: func(a *Answer) string {
			return strings.ReplaceAll(strings.Trim(a.Text("actions"), "[]"), " ", "+")
		}}
	},

	"POST /admin/policies/explain": func(s *scene) ask {
		body := obj{"roles": []string{"user"}, "action": "create"}
		if s.about == "user" {
			body = obj{"userId": s.account(s.owner).ID().String(), "action": "read", "resource": "audit"}
		}
		return ask{path: "/admin/policies/explain", body: body, word: func(a *Answer) string { return a.Text("decision") }}
	},

	"GET /admin/users": func(s *scene) ask {
		return ask{path: "/admin/users?q=" + url.QueryEscape(s.owner.Email), word: func(a *Answer) string {
			if slices.Contains(a.Items("id"), s.user()) {
				return "listed"
			}
			return "hidden"
		}}
	},
	"GET /admin/users/{id}":             ofUser("", nil),
	"PATCH /admin/users/{id}":           ofUser("", obj{"status": "disabled", "roles": []string{"custom"}}),
	"GET /admin/users/{id}/sessions":    ofUser("/sessions", nil),
	"DELETE /admin/users/{id}/sessions": ofUser("/sessions", nil),
	"DELETE /admin/users/{id}/sessions/{sessionId}": func(s *scene) ask {
		whose := s.signIn("other")
		id, one := s.account(whose).ID().String(), missing
		if s.about != "missing" {
			one = whose.Do("GET", "/me/sessions", nil).Items("id")[0]
		}
		if s.about == "ended" {
			whose.Do("POST", "/logout", nil).Want(204, "")
		}
		return ask{path: "/admin/users/" + id + "/sessions/" + one}
	},
	"GET /admin/audit":    to("/admin/audit", nil),
	"GET /admin/policies": to("/admin/policies", nil),
	"POST /admin/policies": func(s *scene) ask {
		s.count++
		return ask{path: "/admin/policies", body: policyRow(fmt.Sprintf("r%d product read any allow", s.count))}
	},
	"GET /admin/policies/{id}":    func(s *scene) ask { return ask{path: "/admin/policies/" + s.row()} },
	"DELETE /admin/policies/{id}": func(s *scene) ask { return ask{path: "/admin/policies/" + s.row()} },
	"GET /admin/policies/history": to("/admin/policies/history", nil),
	"GET /admin/policies/history/{version}": func(s *scene) ask {
		return ask{path: "/admin/policies/history/" + map[string]string{"present": "1", "missing": "1000000"}[s.about]}
	},
	"POST /admin/policies/rollback": func(s *scene) ask {
		return ask{path: "/admin/policies/rollback", body: obj{"version": map[string]int{"present": 1, "missing": 1_000_000}[s.about]}}
	},

	"POST /admin/policies/preview": func(s *scene) ask {
		body := map[string]obj{"add": policyRow("user product read any allow"), "rollback": {"version": 1_000_000}, "remove": {"id": missing}}[s.about]
		return ask{path: "/admin/policies/preview", body: obj{s.about: body}}
	},

	"GET /livez":        to("/livez", nil),
	"GET /readyz":       to("/readyz", nil),
	"GET /openapi.json": to("/openapi.json", nil),
	"GET /docs":         to("/docs", nil),
	"GET /docs/{asset}": func(s *scene) ask {
		return ask{path: "/docs/" + map[string]string{"present": "swagger-ui.css", "missing": "nothing.css"}[s.about]}
	},
}

// MatrixPage is docs/matrix.md.
func MatrixPage() (string, error) {
	m, err := readMatrix()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("# Who gets which answer\n\n")
	b.WriteString("<!-- Made of adapters/httpapi/httptests/matrix.txt by \"make matrix\"; a test compares the two. -->\n\n")
	for _, line := range m.intro {
		b.WriteString(line + "\n")
	}
	for _, s := range m.sections {
		b.WriteString("\n" + s.comment + "\n\n| request | about | " + strings.Join(m.actors, " | ") + " |\n|" + strings.Repeat(" --- |", len(m.actors)+2) + "\n")
		for _, r := range s.rows {
			b.WriteString("| `" + r.route() + "` | " + r.about + " | ")
			b.WriteString(strings.ReplaceAll(strings.Join(r.want, " | "), ":", " ") + " |\n")
		}
	}
	return b.String(), nil
}
