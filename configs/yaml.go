package configs

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// yaml takes the settings that a file holds. It walks the syntax tree instead
// of decoding into a struct, so that every fault has its line and all are told.
func (l *loader) yaml(name string, text []byte) {
	tree, err := parseYAML(text)
	if err != nil {
		l.fault(name+position(err), "this is no YAML: "+message(err), "")
		return
	}
	var root ast.Node
	for _, doc := range tree.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.NullType {
			continue
		}
		if root != nil {
			l.fault(name, "holds more than one YAML document", "one")
			return
		}
		root = doc.Body
	}
	if root != nil {
		w := yamlWalk{loader: l, file: name}
		w.section("", root)
	}
}

// parseYAML turns a panic of the parser into an error: a file is input.
func parseYAML(text []byte) (f *ast.File, err error) {
	defer func() {
		if p := recover(); p != nil {
			f, err = nil, errors.New("it cannot be understood")
		}
	}()
	return parser.ParseBytes(text, 0)
}

// position gives ":line" where an error has one.
func position(err error) string {
	if e, ok := errors.AsType[yaml.Error](err); ok && e.GetToken() != nil && e.GetToken().Position != nil {
		return fmt.Sprintf(":%d", e.GetToken().Position.Line)
	}
	return ""
}

// message leaves out the piece of the file that the library shows with an
// error: it may hold a secret.
func message(err error) string {
	if e, ok := errors.AsType[yaml.Error](err); ok {
		return strings.TrimSuffix(e.GetMessage(), ".")
	}
	return "it cannot be understood"
}

// yamlWalk goes through the tree of one file.
type yamlWalk struct {
	*loader
	file string
}

func (w yamlWalk) at(n ast.Node) string {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return fmt.Sprintf("%s:%d", w.file, t.Position.Line)
	}
	return w.file
}

// section reads a mapping whose keys continue prefix.
func (w yamlWalk) section(prefix string, n ast.Node) {
	m, ok := n.(ast.MapNode)
	if !ok {
		what := "the file"
		if prefix != "" {
			what = strings.TrimSuffix(prefix, ".")
		}
		w.fault(w.at(n), what+" is not made of \"name: value\" lines", "")
		return
	}
	for entries := m.MapRange(); entries.Next(); {
		name := ""
		if t := entries.Key().GetToken(); t != nil {
			name = t.Value
		}
		w.entry(prefix+name, entries.Key(), entries.Value())
	}
}

func (w yamlWalk) entry(key string, at, value ast.Node) {
	i := slices.IndexFunc(w.settings, func(s Setting) bool { return s.Key == key })
	switch {
	case value.Type() == ast.NullType && (i >= 0 || w.isSection(key)): // a name with nothing behind it sets nothing
	case i >= 0:
		w.value(w.settings[i], value)
	case w.isSection(key):
		w.section(key+".", value)
	default:
		w.fault(w.at(at)+", "+key, "there is no such setting"+meant(key, w.keys()), "")
	}
}

func (w yamlWalk) isSection(key string) bool {
	return slices.ContainsFunc(w.settings, func(s Setting) bool { return strings.HasPrefix(s.Key, key+".") })
}

func (w yamlWalk) keys() []string {
	var keys []string
	for _, s := range w.settings {
		keys = append(keys, s.Key)
	}
	return keys
}

// value takes a scalar, or a list of them where the setting is one.
func (w yamlWalk) value(s Setting, n ast.Node) {
	source := w.at(n) + ", " + s.Key
	text, ok := scalar(n)
	if list, is := n.(*ast.SequenceNode); is && s.List {
		text, ok = joined(list)
	}
	if !ok {
		w.fault(source, "this is no plain value", s.Accepts)
		return
	}
	w.values[s.Key] = given{text, source}
}

func joined(list *ast.SequenceNode) (string, bool) {
	parts := make([]string, len(list.Values))
	for i, n := range list.Values {
		var ok bool
		if parts[i], ok = scalar(n); !ok || strings.Contains(parts[i], ",") {
			return "", false
		}
	}
	return strings.Join(parts, ","), true
}

// scalar gives the text of a value as it was written: 30d, 64KiB and off are
// read by us, whatever type YAML sees in them.
func scalar(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.LiteralNode:
		return strings.TrimSpace(n.Value.Value), true
	case *ast.StringNode:
		return strings.TrimSpace(n.Value), true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	return "", false
}
