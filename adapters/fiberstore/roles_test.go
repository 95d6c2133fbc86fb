package fiberstore

import (
	"encoding/json"
	"fmt"
	"testing"
)

// What reads a little of JSON must agree with what reads all of it, on every
// array of role names, and take nothing else.
func FuzzParseRoles(f *testing.F) {
	for _, s := range []string{
		`[]`, `["user"]`, `["admin", "user"]`, `[ "a-1","b_2" ]`, `["a,b"]`, `["a" "b"]`, `["a",]`, `[,"a"]`, `["A"]`, `[""a""]`, `["a"`, `"a"`, `[1]`, `[null]`, `["\u0061"]`, ``, "[\f]", "[\u0085]",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		roles, ok := parseRoles(s)
		if !ok {
			return
		}
		var names []string
		if err := json.Unmarshal([]byte(s), &names); err != nil {
			t.Fatalf("parseRoles(%q) took what is no JSON array of strings: %v", s, err)
		}
		if fmt.Sprint(roles) != fmt.Sprint(names) {
			t.Errorf("parseRoles(%q) = %v, want %v", s, roles, names)
		}
	})
}

func TestParseRolesTakesWhatPostgresWrites(t *testing.T) {
	for s, want := range map[string]int{`[]`: 0, `["user"]`: 1, `["admin", "user"]`: 2} {
		if roles, ok := parseRoles(s); !ok || len(roles) != want {
			t.Errorf("parseRoles(%s) = %v, %v, want %d roles", s, roles, ok, want)
		}
	}
	for _, s := range []string{``, `[`, `["user"`, `{"a":1}`, `["a" "b"]`, `["a",]`, `["User"]`, `[null]`} {
		if roles, ok := parseRoles(s); ok {
			t.Errorf("parseRoles(%s) = %v, want it refused", s, roles)
		}
	}
}
