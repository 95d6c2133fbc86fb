// Package packaging reads the files that Gatehouse is packed and started by, so
// that tests hold them to the program. No container engine is needed for that, and
// none is used: what is in the files is read, and carried out where it can be.
package packaging

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
)

// Image is what the last stage of a Dockerfile makes.
type Image struct {
	From       string
	User       string
	Folder     string            // WORKDIR
	Volumes    []string          // VOLUME
	Env        map[string]string // ENV
	Entrypoint []string
	Command    []string // CMD
	Health     []string // HEALTHCHECK CMD
	Copies     []Copy
}

// Copy is a COPY of the last stage.
type Copy struct {
	Chown  string
	From   []string
	Target string
}

var (
	continued = regexp.MustCompile(`\\\n`)
	comment   = regexp.MustCompile(`(?m)^\s*#.*\n`)
	option    = regexp.MustCompile(`^--([a-z-]+)=(\S+)\s+`)
)

// ReadDockerfile reads the Dockerfile at path. What it does not understand it
// refuses: only lists in the form of JSON, only ENV with "=".
func ReadDockerfile(path string) (Image, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Image{}, err
	}
	var image Image
	lines := strings.Split(continued.ReplaceAllString(comment.ReplaceAllString(string(text), ""), " "), "\n")
	for _, line := range lines {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		if err := image.instruction(word, strings.TrimSpace(rest)); err != nil {
			return Image{}, fmt.Errorf("%s: %q: %w", path, line, err)
		}
	}
	return image, nil
}

// instruction carries out one line.
func (i *Image) instruction(word, rest string) (err error) {
	options := map[string]string{}
	for m := option.FindStringSubmatch(rest); m != nil; m = option.FindStringSubmatch(rest) {
		options[m[1]], rest = m[2], rest[len(m[0]):]
	}
	switch word {
	case "FROM":
		*i = Image{From: rest, Env: map[string]string{}}
	case "USER":
		i.User = rest
	case "WORKDIR":
		i.Folder = rest
	case "VOLUME":
		i.Volumes = strings.Fields(rest)
	case "ENV":
		for _, pair := range strings.Fields(rest) {
			name, value, ok := strings.Cut(pair, "=")
			if !ok {
				return fmt.Errorf("%s has no =", pair)
			}
			i.Env[name] = value
		}
	case "ENTRYPOINT":
		i.Entrypoint, err = list(rest)
	case "CMD":
		i.Command, err = list(rest)
	case "HEALTHCHECK":
		command, ok := strings.CutPrefix(rest, "CMD ")
		if !ok {
			return fmt.Errorf("it has no CMD")
		}
		i.Health, err = list(command)
	case "COPY":
		paths := strings.Fields(rest)
		if len(paths) < 2 {
			return fmt.Errorf("it has %d paths", len(paths))
		}
		last := len(paths) - 1
		i.Copies = append(i.Copies, Copy{options["chown"], paths[:last], paths[last]})
	case "ARG", "LABEL", "EXPOSE", "STOPSIGNAL", "RUN":
	default:
		return fmt.Errorf("the instruction is not known here")
	}
	return err
}

// list reads the form that needs no shell: there is none in an empty image.
func list(text string) (words []string, err error) {
	err = json.Unmarshal([]byte(text), &words)
	return words, err
}
