// Package detector knows whether the race detector watches the tests. What it makes
// five times as slow, and has one goroutine at a time do what is done elsewhere
// under its eyes, `make test` runs without it.
package detector

import "testing"

// Skip leaves a test to the part of `make test` that runs without the race
// detector, which names it (PLAIN_TESTS in the Makefile).
func Skip(t testing.TB) {
	t.Helper()
	if On {
		t.Skip("make test runs it without the race detector")
	}
}
