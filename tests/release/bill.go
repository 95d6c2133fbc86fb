package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// What of CycloneDX 1.5 (https://cyclonedx.org/docs/1.5/json/) is told.
type (
	bill struct {
		Format       string       `json:"bomFormat"`
		Spec         string       `json:"specVersion"`
		Serial       string       `json:"serialNumber"`
		Version      int          `json:"version"`
		Metadata     metadata     `json:"metadata"`
		Components   []component  `json:"components"`
		Dependencies []dependency `json:"dependencies"`
	}
	metadata struct {
		Timestamp string    `json:"timestamp"`
		Component component `json:"component"`
	}
	component struct {
		Type       string     `json:"type"`
		Ref        string     `json:"bom-ref"`
		Name       string     `json:"name"`
		Version    string     `json:"version"`
		Scope      string     `json:"scope,omitempty"`
		Hashes     []hash     `json:"hashes,omitempty"`
		URL        string     `json:"purl"`
		Properties []property `json:"properties,omitempty"`
	}
	hash struct {
		Algorithm string `json:"alg"`
		Content   string `json:"content"`
	}
	property struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	dependency struct {
		Ref string   `json:"ref"`
		On  []string `json:"dependsOn,omitempty"`
	}
)

// billOf lists what the linker says that it has put into a program with that sum:
// the modules that are in it, and none that only tests or tools need.
func billOf(info *debug.BuildInfo, version string, at time.Time, sum [sha256.Size]byte) ([]byte, error) {
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	self := component{
		Type: "application", Name: "gatehouse", Version: version, Hashes: []hash{{"SHA-256", hex.EncodeToString(sum[:])}},
		URL: packageURL("gatehouse", version) + "?goarch=" + settings["GOARCH"] + "&goos=" + settings["GOOS"],
		Properties: []property{
			{"gatehouse:goos", settings["GOOS"]}, {"gatehouse:goarch", settings["GOARCH"]}, {"gatehouse:cgo", settings["CGO_ENABLED"]},
		},
	}
	self.Ref = self.URL
	release := strings.TrimPrefix(info.GoVersion, "go")
	std := component{Type: "library", Name: "std", Version: info.GoVersion, Scope: "required", URL: packageURL("std", release)}
	std.Ref = std.URL
	all := []component{std}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		c := component{Type: "library", Name: m.Path, Version: m.Version, Scope: "required", URL: packageURL(m.Path, m.Version)}
		c.Ref = c.URL
		if c.Version == "" {
			return nil, fmt.Errorf("%s has no version", m.Path)
		}
		// The sum of go.sum: of the module's files and their names, not of an archive.
		if text, ok := strings.CutPrefix(m.Sum, "h1:"); ok {
			raw, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", m.Path, err)
			}
			c.Hashes = []hash{{"SHA-256", hex.EncodeToString(raw)}}
			c.Properties = []property{{"gatehouse:go.sum", m.Sum}}
		}
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b component) int { return strings.Compare(a.Ref, b.Ref) })
	var needed []string
	tree := []dependency{{Ref: self.Ref}}
	for _, c := range all {
		needed = append(needed, c.Ref)
		tree = append(tree, dependency{Ref: c.Ref})
	}
	tree[0].On = needed
	b := bill{
		Format: "CycloneDX", Spec: "1.5", Serial: serial(sum), Version: 1,
		Metadata:   metadata{at.Format(time.RFC3339), self},
		Components: all, Dependencies: tree,
	}
	text, err := json.MarshalIndent(b, "", "  ")
	return append(text, '\n'), err
}

// packageURL names a module as github.com/package-url/purl-spec has it.
func packageURL(path, version string) string {
	parts := strings.Split(path, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return "pkg:golang/" + strings.Join(parts, "/") + "@" + strings.ReplaceAll(url.PathEscape(version), "+", "%2B")
}

// serial is a UUID (version 8, RFC 9562) that follows from the program, so that
// the same program has the same list.
func serial(sum [sha256.Size]byte) string {
	u := sum
	u[6], u[8] = u[6]&0x0f|0x80, u[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16])
}
