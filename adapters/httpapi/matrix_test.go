package httpapi_test

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"gatehouse/adapters/httpapi"
	"gatehouse/adapters/httpapi/httptests"
	"gatehouse/configs"
	"gatehouse/domain/access"
	"gatehouse/tests/detector"
)

// TestMatrixIsComplete: a route that nobody has said anything about in
// matrix.txt does not pass.
func TestMatrixIsComplete(t *testing.T) {
	app := httptests.NewApp(t, open(t), httptests.Options{})
	for _, gap := range httptests.MatrixGaps(app.Server.Routes()) {
		t.Errorf("httptests/matrix.txt: %s", gap)
	}
	more := append(app.Server.Routes(), httpapi.Route{Method: "POST", Path: "/products/{id}/copies"})
	if gaps := httptests.MatrixGaps(more); !slices.Contains(gaps, "POST /products/{id}/copies has no row") {
		t.Errorf("a route without a row is not missed: %q", gaps)
	}
	if gaps := httptests.MatrixGaps(app.Server.Routes()[1:]); !slices.ContainsFunc(gaps, func(g string) bool { return strings.HasSuffix(g, "is no route") }) {
		t.Errorf("a row without a route is not missed: %q", gaps)
	}
}

// TestMatrixMissesEveryRow: of the default policy no row, and no inheritance,
// can go without a cell of the matrix noticing.
func TestMatrixMissesEveryRow(t *testing.T) {
	detector.Skip(t)
	policy, err := configs.DefaultPolicy()
	if err != nil {
		t.Fatal(err)
	}
	governed := func(path string) bool {
		return strings.HasPrefix(path, "/products") || strings.HasPrefix(path, "/admin")
	}
	without := func(what string, p access.Table) {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			if wrong := httptests.Matrix(t, storesUnder(t, p), governed, 1); len(wrong) == 0 {
				t.Errorf("the matrix holds without %q", what)
			}
		})
	}
	for i, r := range policy.Rows {
		without(r.String(), access.Table{Rows: slices.Delete(slices.Clone(policy.Rows), i, i+1), Inherits: policy.Inherits})
	}
	for i, in := range policy.Inherits {
		without(in.Role+" inherits "+in.Parent, access.Table{Rows: policy.Rows, Inherits: slices.Delete(slices.Clone(policy.Inherits), i, i+1)})
	}
}

var update = flag.Bool("update", false, "write docs/matrix.md")

func TestMatrixPage(t *testing.T) {
	const file = "../../docs/matrix.md"
	want, err := httptests.MatrixPage()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil { //nolint:gosec // a page for all
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil || string(got) != want {
		t.Errorf("docs/matrix.md is not what httptests/matrix.txt says: run make matrix (%v)", err)
	}
}
