package configs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// DefaultFile is read where no other is named and it exists.
const DefaultFile = "gatehouse.yaml"

// FileVariable names the YAML file.
const FileVariable = "GATEHOUSE_CONFIG"

// Input is what [Load] puts together.
type Input struct {
	File    string            // of --config; "" for that of the environment, or the default one
	Environ []string          // as of os.Environ
	Flags   map[string]string // what was given on the command line, by the setting's key
}

// Loaded is a configuration and how it came about.
type Loaded struct {
	Config   Config
	File     string   // the YAML file that was read, or ""
	Values   []Value  // one for each of [Settings], in their order
	Warnings []string // what is odd but stops nothing
}

// Source tells where the setting with the key was given.
func (l Loaded) Source(key string) string {
	for _, v := range l.Values {
		if v.Setting.Key == key {
			return v.Source
		}
	}
	return ""
}

// Default is the source of what nobody has set.
const Default = "default"

// Value is what a setting was given.
type Value struct {
	Setting Setting
	Text    string // as it was written; a secret's is masked
	Source  string // Default, or which file, variable or flag
}

// Fault is one thing that is wrong with a configuration.
type Fault struct {
	Source  string // where it stands
	Problem string
	Accepts string // what would be right, where that can be said
}

func (f Fault) String() string {
	s := f.Source + ": " + f.Problem + "."
	if f.Accepts != "" {
		s += " Accepted: " + f.Accepts + "."
	}
	return s
}

// Faults is everything that is wrong with a configuration.
type Faults []Fault

// Error lists them, one in a line.
func (f Faults) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the configuration has %d %s:", len(f), plural(len(f), "fault"))
	for _, one := range f {
		b.WriteString("\n  - " + one.String())
	}
	return b.String()
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

// given is the text of a setting and where it stands.
type given struct{ text, source string }

// loader collects values and faults layer by layer.
type loader struct {
	settings []Setting
	env      map[string]string
	values   map[string]given
	faults   Faults
}

// Load puts the layers upon each other. Its error is a [Faults] with all that
// is wrong in any of them.
func Load(in Input) (Loaded, error) {
	l := &loader{settings: Settings(), env: environment(in.Environ), values: map[string]given{}}
	for _, s := range l.settings {
		l.values[s.Key] = given{s.Default, Default}
	}
	out := Loaded{File: l.file(in.File)}
	l.environment()
	l.flags(in.Flags)
	out.Warnings = l.warnings()
	out.Config = l.apply()
	l.agree(out.Config)
	for _, s := range l.settings {
		out.Values = append(out.Values, l.value(s))
	}
	if len(l.faults) > 0 {
		return Loaded{Warnings: out.Warnings}, l.faults
	}
	return out, nil
}

func environment(environ []string) map[string]string {
	env := make(map[string]string, len(environ))
	for _, pair := range environ {
		if name, value, ok := strings.Cut(pair, "="); ok {
			env[name] = value
		}
	}
	return env
}

func (l *loader) fault(source, problem, accepts string) {
	l.faults = append(l.faults, Fault{source, problem, accepts})
}

// file reads the YAML file, if there is one, and returns its name.
func (l *loader) file(name string) string {
	source := "--config"
	if name == "" {
		name, source = l.env[FileVariable], FileVariable
	}
	named := name != ""
	if !named {
		name = DefaultFile
	}
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) && !named {
		return ""
	}
	if err != nil {
		l.fault(source, "the file "+name+" cannot be read: "+reason(err), "the name of a YAML file; \"gatehouse config example\" prints one to begin with")
		return ""
	}
	l.yaml(name, text)
	return name
}

func reason(err error) string {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err.Error()
	}
	return err.Error()
}

// environment takes what is set there; an empty variable is as good as none.
func (l *loader) environment() {
	for _, s := range l.settings {
		for _, v := range s.Env {
			text, source := l.env[v.Name], v.Name
			if s.Secret {
				text, source = l.secret(s, v.Name)
			}
			if text != "" {
				l.values[s.Key] = given{v.Prefix + text, source}
				break
			}
		}
	}
}

// secret reads a variable, or the file that the variable with _FILE names. A
// list may have a line there for each of its entries.
func (l *loader) secret(s Setting, name string) (text, source string) {
	text, file := l.env[name], l.env[name+"_FILE"]
	if file == "" {
		return text, name
	}
	source = name + "_FILE"
	if text != "" {
		l.fault(source, "is set together with "+name, "one of the two")
		return "", source
	}
	content, err := os.ReadFile(file)
	if err != nil {
		l.fault(source, "the file "+file+" cannot be read: "+reason(err), "")
		return "", source
	}
	if text = strings.TrimSpace(string(content)); text == "" {
		l.fault(source, "the file "+file+" is empty", "")
	}
	if s.List {
		text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }), ",")
	}
	return text, source
}

func (l *loader) flags(flags map[string]string) {
	for _, s := range l.settings {
		if text, ok := flags[s.Key]; ok {
			l.values[s.Key] = given{text, "--" + s.Flag}
		}
	}
}

// apply reads every value into a configuration.
func (l *loader) apply() Config {
	var c Config
	for _, s := range l.settings {
		v := l.values[s.Key]
		err := s.apply(&c, v.text)
		if err == nil {
			continue
		}
		subject := fmt.Sprintf("%q", v.text)
		if s.Secret {
			subject = "the value"
		}
		l.fault(v.source, subject+" "+err.Error(), s.Accepts)
	}
	l.keepApart(c)
	return c
}

// keepApart refuses to show to everybody what is for those who run the service.
func (l *loader) keepApart(c Config) {
	if c.MetricsListen == "" || c.MetricsListen != c.Listen || strings.HasSuffix(c.Listen, ":0") {
		return
	}
	v := l.values["metrics.listen"]
	l.fault(v.source, fmt.Sprintf("%q is what everybody reaches (listen)", v.text), "another host:port, or off")
}

// leastCached is how many connections a node with a session cache has: one of them
// listens.
const leastCached = 3

// agree looks at what is right by itself and wrong beside something else.
func (l *loader) agree(c Config) {
	if c.SessionCache.Bound == 0 {
		return
	}
	source := l.values["session.cache"].source
	switch {
	case c.Database.Kind == SQLite || c.Database.Kind == Memory:
		l.fault(source, fmt.Sprintf("there is no session cache over %s, which nothing tells of what other processes change and which is asked in no time", c.Database.Kind),
			"off, or a database.url of PostgreSQL")
	case c.Database.Kind == Postgres && c.SessionCache.Listen == "" && c.Database.MaxConnections > 0 && c.Database.MaxConnections < leastCached:
		l.fault(source, "the session cache takes one connection for itself, and database.max_connections leaves one for all else",
			fmt.Sprintf("off, or a database.max_connections of at least %d", leastCached))
	}
}

func (l *loader) value(s Setting) Value {
	v := l.values[s.Key]
	if s.Secret {
		v.text = s.mask(v.text)
	}
	return Value{Setting: s, Text: v.text, Source: v.source}
}

// Meaning says what a value of "auto" came to, or nothing.
func (v Value) Meaning(c Config) string {
	if v.Text != auto || v.Setting.means == nil {
		return ""
	}
	return v.Setting.means(c)
}

// warnings tells of variables that look like ours and are none, and of
// passwords where everybody on the machine can see them.
func (l *loader) warnings() []string {
	known := []string{FileVariable}
	for _, s := range l.settings {
		for _, v := range s.Env {
			known = append(known, v.Name)
			if s.Secret {
				known = append(known, v.Name+"_FILE")
			}
		}
	}
	var out []string
	for name := range l.env {
		if strings.HasPrefix(name, "GATEHOUSE_") && !slices.Contains(known, name) {
			out = append(out, "the environment variable "+name+" means nothing to Gatehouse"+meant(name, known))
		}
	}
	slices.Sort(out)
	for _, s := range l.settings {
		if v := l.values[s.Key]; s.Secret && v.source == "--"+s.Flag && strings.Contains(s.mask(v.text), masked) {
			out = append(out, v.source+" holds a secret, which everybody on this machine can see in the list of processes; "+s.Env[0].Name+"_FILE is safer")
		}
	}
	return out
}

// meant suggests the nearest known word, if one is near.
func meant(word string, known []string) string {
	best, distance := "", max(2, len(word)/5)+1
	for _, k := range known {
		if d := editDistance(word, k); d < distance {
			best, distance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// editDistance counts the letters to insert, delete or replace (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
