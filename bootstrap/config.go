package bootstrap

import (
	"fmt"
	"strings"

	"gatehouse/configs"
)

// configCommands are "gatehouse config".
type configCommands struct {
	Print   configPrint   `cmd:"" help:"Print what counts now and where each setting comes from, secrets masked."`
	Example configExample `cmd:"" help:"Print a configuration file with every setting explained."`
}

type configPrint struct{}

// Run prints the configuration as a YAML file, each line with its source.
func (configPrint) Run(c *call) error {
	loaded, err := c.config()
	if err != nil {
		return err
	}
	section, width := "", 0
	var lines [][2]string
	for _, v := range loaded.Values {
		key, indent := v.Setting.Key, ""
		if name, rest, nested := strings.Cut(key, "."); nested {
			if name != section {
				lines = append(lines, [2]string{name + ":"})
			}
			section, key, indent = name, rest, "  "
		}
		text, source := yamlText(v), v.Source
		if means := v.Meaning(loaded.Config); means != "" {
			source += ", now " + means
		}
		line := indent + key + ": " + text
		width = max(width, len(line))
		lines = append(lines, [2]string{line, source})
	}
	for _, l := range lines {
		if l[1] == "" {
			fmt.Fprintln(c.out, l[0])
			continue
		}
		fmt.Fprintf(c.out, "%-*s  # %s\n", width, l[0], l[1])
	}
	return nil
}

// yamlText writes a value so that YAML reads it as it is.
func yamlText(v configs.Value) string {
	if v.Setting.List {
		return "[" + strings.Join(strings.FieldsFunc(v.Text, func(r rune) bool { return r == ',' || r == ' ' }), ", ") + "]"
	}
	if strings.ContainsAny(v.Text, "#\"'{}[]&*!|>%@`\\ ") || strings.HasPrefix(v.Text, ":") {
		return "\"" + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(v.Text) + "\""
	}
	return v.Text
}

type configExample struct{}

// Run prints the example.
func (configExample) Run(c *call) error {
	_, err := fmt.Fprint(c.out, configs.Example())
	return err
}
