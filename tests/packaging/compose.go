package packaging

import (
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
)

// Compose is a compose.yaml, as far as it is looked at.
type Compose struct {
	Services map[string]Service `yaml:"services"`
	Networks map[string]struct {
		Internal bool `yaml:"internal"`
		IPAM     struct {
			Config []struct {
				Subnet string `yaml:"subnet"`
			} `yaml:"config"`
		} `yaml:"ipam"`
	} `yaml:"networks"`
	Volumes map[string]any `yaml:"volumes"`
}

// Service is one of a [Compose].
type Service struct {
	Image       string            `yaml:"image"`
	Build       any               `yaml:"build"`
	User        string            `yaml:"user"`
	Command     []string          `yaml:"command"`
	ReadOnly    bool              `yaml:"read_only"`
	CapDrop     []string          `yaml:"cap_drop"`
	CapAdd      []string          `yaml:"cap_add"`
	Privileged  bool              `yaml:"privileged"`
	SecurityOpt []string          `yaml:"security_opt"`
	Environment map[string]string `yaml:"environment"`
	Volumes     []string          `yaml:"volumes"`
	Ports       []string          `yaml:"ports"`
	Networks    any               `yaml:"networks"`
	StopGrace   string            `yaml:"stop_grace_period"`
	DependsOn   map[string]struct {
		Condition string `yaml:"condition"`
	} `yaml:"depends_on"`
	Healthcheck struct {
		Test    []string `yaml:"test"`
		Disable bool     `yaml:"disable"`
	} `yaml:"healthcheck"`
}

// ReadCompose reads the file at path with the variables of the environment put in.
func ReadCompose(path string, environ map[string]string) (Compose, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Compose{}, err
	}
	filled, err := interpolate(string(text), environ)
	if err != nil {
		return Compose{}, fmt.Errorf("%s: %w", path, err)
	}
	var c Compose
	// What is merged in counts less than what stands there, and is no duplicate; the
	// decoder takes what was merged twice for one.
	if err := yaml.UnmarshalWithOptions([]byte(filled), &c, yaml.AllowDuplicateMapKey()); err != nil {
		return Compose{}, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

var variable = regexp.MustCompile(`\$(?:\$|\{([A-Z0-9_]+)(:[-?])?([^}]*)\}|.?)`)

// interpolate puts variables in: ${NAME}, ${NAME:-default}, ${NAME:?complaint}.
func interpolate(text string, environ map[string]string) (string, error) {
	var err error
	filled := variable.ReplaceAllStringFunc(text, func(place string) string {
		m := variable.FindStringSubmatch(place)
		switch value := environ[m[1]]; {
		case place == "$$":
			return "$"
		case m[1] == "":
			err = fmt.Errorf("%q is no variable", place)
		case value != "":
			return value
		case m[2] == ":-":
			return m[3]
		case m[2] == ":?" && err == nil:
			err = fmt.Errorf("%s %s", m[1], m[3])
		}
		return ""
	})
	return filled, err
}

var assignment = regexp.MustCompile(`^(#?)([A-Z][A-Z0-9_]*)=(.*)$`)

// ReadEnv reads a file of NAME=value lines. Those that are commented out, as
// "#NAME=value", are suggestions.
func ReadEnv(path string) (values, suggestions map[string]string, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	values, suggestions = map[string]string{}, map[string]string{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch m := assignment.FindStringSubmatch(line); {
		case m == nil && line != "" && line[0] != '#':
			return nil, nil, fmt.Errorf("%s: %q sets nothing", path, line)
		case m != nil && m[1] == "":
			values[m[2]] = m[3]
		case m != nil:
			suggestions[m[2]] = m[3]
		}
	}
	return values, suggestions, nil
}
