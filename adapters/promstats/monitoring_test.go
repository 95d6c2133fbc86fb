package promstats_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"

	"gatehouse/adapters/memory"
	"gatehouse/adapters/promstats"
	"gatehouse/domain/access"
	"gatehouse/domain/mail"
	"gatehouse/domain/product"
	"gatehouse/domain/throttle"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// Where what is said of the metrics stands.
const (
	page      = "../../docs/monitoring.md"
	rules     = "../../configs/monitoring/alerts.yaml"
	dashboard = "../../configs/monitoring/dashboard.json"
)

// everything is what is exported where all that is counted has happened.
func everything(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	ctx, s := t.Context(), promstats.New("1.2.3")
	for _, route := range []string{"/me", "/products/{id}", ""} {
		count := s.Route("GET", route)
		for _, status := range []int{200, 403, 500, 503} {
			count(status, time.Millisecond)
		}
	}
	s.Server(func() promstats.Server { return promstats.Server{} })
	s.Pool("postgres", func() promstats.Pool { return promstats.Pool{} })
	s.Hashing(func() promstats.Hashing { return promstats.Hashing{} })
	s.Policy(func() promstats.Policy { return promstats.Policy{} })
	s.Cache(func() promstats.Cache { return promstats.Cache{} })
	s.Outbox(box{asked: &atomic.Int64{}}, at(noon))
	s.Backlogs(queue{}, at(noon))
	s.Health(map[string]ports.Health{"database": health{}})
	_, _ = s.Hasher(memory.Hasher{}).Verify(ctx, user.Password{}, user.PasswordHash{})
	rights, err := s.Authorizer(rightsOf{answers{}}).Rights(ctx, access.Anonymous())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = rights.Decide(access.Read, access.Any(access.KindProduct))
	for _, shared := range []bool{true, false} {
		for _, v := range []throttle.Verdict{{Granted: true}, {}} {
			_, _ = s.Limiter(answers{verdict: v}, shared).Take(ctx, "sign-in:x", throttle.Rule{}, noon)
		}
	}
	_ = s.Mailer(answers{}).Send(ctx, mail.Message{})
	told := s.Events(memory.New().Events())
	_ = told.Bury(ctx, product.Delivery{Subscriber: "stock"}, noon, "")
	parse := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parse.TextToMetricFamilies(strings.NewReader(shown(t, s)))
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// named gives the labels of a metric.
func named(f *dto.MetricFamily) (names []string) {
	for _, m := range f.Metric {
		for _, l := range m.Label {
			if !slices.Contains(names, l.GetName()) {
				names = append(names, l.GetName())
			}
		}
	}
	slices.Sort(names)
	return names
}

// TestMonitoring holds the page, the alerts and the dashboard to what is
// exported: a metric that is renamed, or a label, is missed here.
func TestMonitoring(t *testing.T) {
	families := everything(t)
	text := read(t, page)
	t.Run("the page", func(t *testing.T) { comparePage(t, text, families) })
	t.Run("the alerts", func(t *testing.T) {
		var file struct {
			Groups []struct {
				Name  string
				Rules []struct{ Alert, Expr string }
			}
		}
		if err := yaml.Unmarshal([]byte(read(t, rules)), &file); err != nil {
			t.Fatal(err)
		}
		var there, told []string
		for _, g := range file.Groups {
			for _, r := range g.Rules {
				there = append(there, r.Alert)
				checkExpression(t, r.Alert, r.Expr, families)
			}
		}
		for _, m := range regexp.MustCompile("(?m)^\\| `(Gatehouse[A-Za-z]+)` \\|").FindAllStringSubmatch(text, -1) {
			told = append(told, m[1])
		}
		if len(there) < 10 || !slices.Equal(there, told) {
			t.Errorf("the alerts are\n%v\nand the page has\n%v", there, told)
		}
	})
	t.Run("the dashboard", func(t *testing.T) {
		var file struct {
			Panels []struct {
				Title   string
				Targets []struct{ Expr string }
			}
		}
		if err := json.Unmarshal([]byte(read(t, dashboard)), &file); err != nil {
			t.Fatal(err)
		}
		seen := 0
		for _, p := range file.Panels {
			for _, target := range p.Targets {
				seen++
				checkExpression(t, p.Title, strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*").Replace(target.Expr), families)
			}
		}
		if seen < 30 {
			t.Errorf("the dashboard asks %d questions", seen)
		}
	})
	t.Run("promtool", func(t *testing.T) {
		tool, err := exec.LookPath("promtool")
		if err != nil {
			t.Skip("there is no promtool here (Debian: prometheus); the expressions were parsed all the same")
		}
		if out, err := exec.CommandContext(t.Context(), tool, "check", "rules", rules).CombinedOutput(); err != nil {
			t.Errorf("promtool check rules: %v\n%s", err, out)
		}
	})
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// comparePage compares the table of metrics with what is exported, both ways.
func comparePage(t *testing.T, text string, families map[string]*dto.MetricFamily) {
	t.Helper()
	documented := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(gatehouse_[a-z_]+)(?:\\{([a-z_,]+)\\})?` \\| ([a-z]+) \\|").FindAllStringSubmatch(text, -1) {
		var with []string
		if m[2] != "" {
			with = strings.Split(m[2], ",")
		}
		slices.Sort(with)
		documented[m[1]] = fmt.Sprint(m[3], with)
	}
	for name, f := range families {
		if !strings.HasPrefix(name, "gatehouse_") {
			continue
		}
		is := fmt.Sprint(strings.ToLower(f.GetType().String()), named(f))
		if documented[name] != is {
			t.Errorf("%s is a %s, and %s has it as %q", name, is, page, documented[name])
		}
		delete(documented, name)
	}
	for name := range documented {
		t.Errorf("%s has %s, which nobody exports", page, name)
	}
}

// checkExpression fails where an expression cannot be read, or asks for what is
// never exported.
func checkExpression(t *testing.T, where, text string, families map[string]*dto.MetricFamily) {
	t.Helper()
	expression, err := parser.NewParser(parser.Options{}).ParseExpr(text)
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	for _, problem := range problems(expression, families) {
		t.Errorf("%s: %s", where, problem)
	}
}

// ofPrometheus are labels that Prometheus adds, and those that Go's histograms have.
var ofPrometheus = []string{"instance", "job", "le"}

func problems(expression parser.Expr, families map[string]*dto.MetricFamily) (found []string) {
	known := slices.Clone(ofPrometheus)
	var grouping []string
	parser.Inspect(expression, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			names, err := selects(n, families)
			if err != nil {
				found = append(found, err.Error())
			}
			known = append(known, names...)
		case *parser.AggregateExpr:
			grouping = append(grouping, n.Grouping...)
		}
		return nil
	})
	for _, name := range grouping {
		if !slices.Contains(known, name) {
			found = append(found, fmt.Sprintf("nothing in it has the label %q", name))
		}
	}
	return found
}

// selects gives the labels of what is selected; it is an error if that can be
// nothing.
func selects(s *parser.VectorSelector, families map[string]*dto.MetricFamily) ([]string, error) {
	if s.Name == "up" { // Prometheus' own
		return nil, nil
	}
	name := s.Name
	for _, part := range []string{"_bucket", "_sum", "_count"} {
		if base, ok := strings.CutSuffix(name, part); ok && families[base].GetType() == dto.MetricType_HISTOGRAM {
			name = base
		}
	}
	f := families[name]
	if f == nil {
		return nil, fmt.Errorf("%s is not exported", s.Name)
	}
	fits := func(m *dto.Metric) bool {
		has := map[string]string{}
		for _, l := range m.Label {
			has[l.GetName()] = l.GetValue()
		}
		for _, matcher := range s.LabelMatchers {
			if matcher.Name != model.MetricNameLabel && !slices.Contains(ofPrometheus, matcher.Name) && !matcher.Matches(has[matcher.Name]) {
				return false
			}
		}
		return true
	}
	for _, matcher := range s.LabelMatchers {
		if matcher.Name != model.MetricNameLabel && !slices.Contains(append(named(f), ofPrometheus...), matcher.Name) {
			return nil, fmt.Errorf("%s has no label %q", s.Name, matcher.Name)
		}
	}
	if !slices.ContainsFunc(f.Metric, fits) {
		return nil, fmt.Errorf("no line of %s fits %v", s.Name, s.LabelMatchers)
	}
	return named(f), nil
}

// TestTheCheckCanFail shows that what is wrong with an expression is found.
func TestTheCheckCanFail(t *testing.T) {
	families := everything(t)
	for text, want := range map[string]string{
		`rate(gatehouse_http_request_total[5m])`:                             "is not exported",
		`gatehouse_http_connections_bucket`:                                  "is not exported",
		`rate(gatehouse_http_requests_total{code="200"}[5m])`:                `no label "code"`,
		`rate(gatehouse_sign_ins_total{outcome="success"}[5m])`:              "no line",
		`sum by (path) (rate(gatehouse_http_requests_total[5m]))`:            `the label "path"`,
		`sum by (route, instance) (rate(gatehouse_http_requests_total[5m]))`: "",
	} {
		expression, err := parser.NewParser(parser.Options{}).ParseExpr(text)
		if err != nil {
			t.Fatal(errors.Join(errors.New(text), err))
		}
		got := strings.Join(problems(expression, families), "; ")
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	if len(slices.Collect(maps.Keys(families))) < 60 {
		t.Errorf("%d metrics are exported", len(families))
	}
}
