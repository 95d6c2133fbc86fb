package configs_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"gatehouse/configs"
	"gatehouse/domain/access"
)

// TestExample holds the example file to the code, both ways: it loads, it sets
// every setting, and each to its default.
func TestExample(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, configs.DefaultFile, configs.Example())
	got, err := configs.Load(configs.Input{})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range got.Values {
		if !strings.HasPrefix(v.Source, configs.DefaultFile) {
			t.Errorf("the example does not set %s", v.Setting.Key)
		}
		if v.Text != v.Setting.Default {
			t.Errorf("the example sets %s to %q, the default is %q", v.Setting.Key, v.Text, v.Setting.Default)
		}
	}
	if len(got.Values) != len(configs.Settings()) {
		t.Errorf("%d values for %d settings", len(got.Values), len(configs.Settings()))
	}
	if explained := regexp.MustCompile(`(?m)^\s*#.*\n(\s*#.*\n)*\s*[a-z_]+: \S`).FindAllString(configs.Example(), -1); len(explained) != len(configs.Settings()) {
		t.Errorf("%d settings of the example have a comment above them, want %d", len(explained), len(configs.Settings()))
	}
}

func TestSettingsAreExplained(t *testing.T) {
	var seen []string
	for _, s := range configs.Settings() {
		if s.Help == "" || !strings.HasSuffix(s.Help, ".") || s.Accepts == "" {
			t.Errorf("%s is not explained: %q, %q", s.Key, s.Help, s.Accepts)
		}
		names := []string{s.Key, "--" + s.Flag}
		for _, v := range s.Env {
			names = append(names, v.Name)
		}
		for _, name := range names {
			if slices.Contains(seen, name) {
				t.Errorf("%s is the name of two settings", name)
			}
		}
		seen = append(seen, names...)
	}
}

func TestDefaultPolicy(t *testing.T) {
	table, err := configs.DefaultPolicy()
	if err != nil {
		t.Fatal(err)
	}
	v, err := access.NewVocabulary()
	if err != nil {
		t.Fatal(err)
	}
	set, err := v.Check(table)
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Policies) != 20 || len(set.Parents) != 3 {
		t.Errorf("%d rows and %d roles that inherit, want 20 and 3", len(set.Policies), len(set.Parents))
	}
}

func TestReadPolicy(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"a row too short", "p, a, b\n", "line 1: this is neither"},
		{"both bad lines", "p, a\n# fine\n\nq, a, b\n", "line 4"},
		{"a quote left open", "p, \"a, b\n", "quote"},
		{"a condition with a comma", "p, user, product, read, own, allow, x", "line 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := configs.ReadPolicy(strings.NewReader(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("ReadPolicy = %v, want %q", err, tt.want)
			}
		})
	}
	table, err := configs.ReadPolicy(strings.NewReader("p,user , product,read,\"own\",allow\ng,user,anonymous"))
	if err != nil || table.Rows[0].String() != "user, product, read, own, allow" || table.Inherits[0].Parent != "anonymous" {
		t.Errorf("ReadPolicy = %+v, %v", table, err)
	}
}

// FuzzReadPolicy: no panic, and every row has all its words.
func FuzzReadPolicy(f *testing.F) {
	f.Add("p, user, product, read, own, allow\ng, user, anonymous")
	f.Fuzz(func(t *testing.T, text string) {
		table, err := configs.ReadPolicy(strings.NewReader(text))
		if err != nil && len(table.Rows) > 0 {
			t.Errorf("ReadPolicy gives rows and %v", err)
		}
	})
}
