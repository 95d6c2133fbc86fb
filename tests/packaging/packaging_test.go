package packaging_test

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/bootstrap"
	"gatehouse/configs"
	"gatehouse/tests/packaging"
)

const tree = "../.."

// inside is how long requests in flight may take when a node stops, and what is
// being sent and traced then: drainDeadline and what follows it in bootstrap.
const inside = (15 + 5 + 2) * time.Second

func dockerfile(t *testing.T) packaging.Image {
	t.Helper()
	image, err := packaging.ReadDockerfile(filepath.Join(tree, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// TestDockerfile: nothing but the program, run by nobody, with a check of its own.
// That it runs so is tried by tests/e2e: TestEmptyRoot.
func TestDockerfile(t *testing.T) {
	image := dockerfile(t)
	if image.From != "scratch" {
		t.Errorf("the image is made from %s", image.From)
	}
	if image.User != "65532:65532" {
		t.Errorf("it runs as %s", image.User)
	}
	if !slices.Contains(image.Volumes, image.Folder) {
		t.Errorf("the data goes to %s, and the volumes are %v", image.Folder, image.Volumes)
	}
	if !slices.ContainsFunc(image.Copies, func(c packaging.Copy) bool { return c.Target == image.Folder && c.Chown == image.User }) {
		t.Errorf("no copy gives %s to %s: %v", image.Folder, image.User, image.Copies)
	}
	if !slices.ContainsFunc(image.Copies, func(c packaging.Copy) bool { return c.Target == "/etc/ssl/certs/ca-certificates.crt" }) {
		t.Error("no certificates are copied: neither mail nor PostgreSQL is reached by TLS")
	}
	isCommand(t, "the image's command", append(slices.Clone(image.Entrypoint), image.Command...))
	isCommand(t, "the image's health check", image.Health)
	load(t, image.Env, nil)
}

// isCommand holds a command line to the program's own. It is asked for its help,
// so that nothing is done.
func isCommand(t *testing.T, what string, words []string) {
	t.Helper()
	if len(words) < 2 || words[0] != "/gatehouse" {
		t.Errorf("%s is %q", what, words)
		return
	}
	var said strings.Builder
	if code := bootstrap.Main(append(slices.Clone(words[1:]), "--help"), nil, nil, &said, &said); code != 0 {
		t.Errorf("%s is %q, which ends with %d: %s", what, words, code, &said)
	}
}

// load reads settings as the program would, and refuses what it would warn of.
func load(t *testing.T, layers ...map[string]string) configs.Config {
	t.Helper()
	environ := []string{configs.FileVariable + "=" + os.DevNull}
	for _, layer := range layers {
		for name, value := range layer {
			environ = append(environ, name+"="+value)
		}
	}
	loaded, err := configs.Load(configs.Input{Environ: environ})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range loaded.Warnings {
		t.Error(w)
	}
	return loaded.Config
}

// TestDockerignore: what the program is built of is all there.
func TestDockerignore(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(tree, ".dockerignore"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(string(text))
	for _, never := range []string{"!.env", "!.git", "!data", "!dist", "!bin", "!tests"} {
		if slices.Contains(lines, never) {
			t.Errorf("%s is sent to whoever builds", never[1:])
		}
	}
	list := exec.Command("go", "list", "-deps", "-f", `{{if not .Standard}}{{.ImportPath}}{{range .EmbedFiles}} {{.}}{{end}}{{end}}`, ".")
	list.Dir = tree
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	needed := 0
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		folder, ours := strings.CutPrefix(words[0], "gatehouse/")
		if !ours {
			continue
		}
		needed++
		room, _, _ := strings.Cut(folder, "/")
		if !slices.Contains(lines, "!"+room) {
			t.Errorf("the program is built of %s, which is ignored", folder)
		}
		for _, file := range words[1:] {
			if strings.Contains(file, "testdata/") || strings.HasSuffix(file, "_test.go") {
				t.Errorf("%s embeds %s, which is ignored", folder, file)
			}
		}
	}
	if needed < 20 {
		t.Errorf("the program is built of %d packages of ours", needed)
	}
}

// environment is .env.example with its secrets filled in.
func environment(t *testing.T) map[string]string {
	t.Helper()
	values, suggestions, err := packaging.ReadEnv(filepath.Join(tree, ".env.example"))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range values {
		if value != "" {
			t.Errorf(".env.example has a value for %s: somebody will keep it", name)
		}
		values[name] = strings.Repeat("5e", 32)
	}
	for _, name := range []string{"GATEHOUSE_PUBLIC_URL", "GATEHOUSE_MAIL_URL", "GATEHOUSE_VERSION", "GATEHOUSE_PUBLISH"} {
		if suggestions[name] == "" {
			t.Errorf(".env.example does not tell of %s", name)
		}
	}
	return values
}

func compose(t *testing.T, environ map[string]string) packaging.Compose {
	t.Helper()
	c, err := packaging.ReadCompose(filepath.Join(tree, "compose.yaml"), environ)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestComposeNeedsSecrets: without secrets nothing starts, rather than with ones
// that everybody knows.
func TestComposeNeedsSecrets(t *testing.T) {
	for missing := range environment(t) {
		environ := environment(t)
		delete(environ, missing)
		if _, err := packaging.ReadCompose(filepath.Join(tree, "compose.yaml"), environ); err == nil || !strings.Contains(err.Error(), missing) {
			t.Errorf("without %s: %v", missing, err)
		}
	}
}

// TestComposeIsHard: every service is held to what it needs.
func TestComposeIsHard(t *testing.T) {
	c := compose(t, environment(t))
	for name, s := range c.Services {
		if !s.ReadOnly || s.Privileged || !slices.Equal(s.CapDrop, []string{"ALL"}) || len(s.CapAdd) > 0 ||
			!slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s is not held to what it needs: %+v", name, s)
		}
		if s.Image == "" || strings.HasSuffix(s.Image, ":latest") || !strings.Contains(s.Image, ":") {
			t.Errorf("%s runs %q: whatever that is today", name, s.Image)
		}
		if len(s.Healthcheck.Test) == 0 && !s.Healthcheck.Disable {
			t.Errorf("nobody asks whether %s is well", name)
		}
		for _, port := range s.Ports {
			if name != "proxy" || !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s is open to other machines at %s", name, port)
			}
		}
		for _, v := range s.Volumes {
			source, _, _ := strings.Cut(v, ":")
			if _, named := c.Volumes[source]; !named && !strings.HasSuffix(v, ":ro") {
				t.Errorf("%s may write %s", name, v)
			}
			if strings.HasPrefix(source, "./") {
				if _, err := os.Stat(filepath.Join(tree, source)); err != nil {
					t.Error(err)
				}
			}
		}
		for other := range s.DependsOn {
			if _, ok := c.Services[other]; !ok {
				t.Errorf("%s waits for %s, which is not there", name, other)
			}
		}
	}
	if !c.Networks["inside"].Internal {
		t.Error("the database is on a network with a way out")
	}
	if only, ok := c.Services["database"].Networks.([]any); !ok || len(only) != 1 || only[0] != "inside" {
		t.Errorf("the database is on %v", c.Services["database"].Networks)
	}
}

// TestComposeNodes: the nodes have settings that the program takes, the proxy asks
// them where they are, and they believe the proxy and nobody else.
func TestComposeNodes(t *testing.T) {
	c, image := compose(t, environment(t)), dockerfile(t)
	subnet := netip.MustParsePrefix(c.Networks["front"].IPAM.Config[0].Subnet)
	addresses := map[string]string{}
	for _, name := range []string{"node1", "node2", "proxy"} {
		networks, _ := c.Services[name].Networks.(map[string]any)
		front, _ := networks["front"].(map[string]any)
		text, _ := front["ipv4_address"].(string)
		address, err := netip.ParseAddr(text)
		if err != nil || !subnet.Contains(address) {
			t.Fatalf("%s is at %q, which is not in %s", name, text, subnet)
		}
		addresses[name] = address.String()
	}
	for _, name := range []string{"migrate", "node1", "node2"} {
		s := c.Services[name]
		config := load(t, image.Env, s.Environment)
		if config.Migrate || config.Database.Kind != configs.Postgres || len(config.Secrets) != 1 {
			t.Errorf("%s: migrate %t, database %v, %d secrets", name, config.Migrate, config.Database, len(config.Secrets))
		}
		if len(config.TrustedProxies) != 1 || config.TrustedProxies[0] != netip.MustParsePrefix(addresses["proxy"]+"/32") {
			t.Errorf("%s believes %v, the proxy is %s", name, config.TrustedProxies, addresses["proxy"])
		}
		if grace, err := time.ParseDuration(s.StopGrace); err != nil || grace < config.DrainDelay+inside {
			t.Errorf("%s is killed after %q, which is less than %s", name, s.StopGrace, config.DrainDelay+inside)
		}
		if !slices.ContainsFunc(s.Volumes, func(v string) bool { return strings.HasSuffix(v, ":"+image.Folder) }) {
			t.Errorf("%s has nowhere to put mails: %v", name, s.Volumes)
		}
	}
	for i, name := range []string{"node1", "node2"} {
		variable := []string{"GATEHOUSE_NODE_1", "GATEHOUSE_NODE_2"}[i]
		if got, want := c.Services["proxy"].Environment[variable], addresses[name]+image.Env["GATEHOUSE_LISTEN"]; got != want {
			t.Errorf("the proxy asks %s, %s is at %s", got, name, want)
		}
		isCommand(t, name+"'s health check", c.Services[name].Healthcheck.Test[1:])
		if c.Services[name].DependsOn["migrate"].Condition != "service_completed_successfully" {
			t.Errorf("%s does not wait for migrations", name)
		}
	}
	isCommand(t, "migrate's command", append(slices.Clone(image.Entrypoint), c.Services["migrate"].Command...))
	proxy, err := os.ReadFile(filepath.Join(tree, "configs", "haproxy.cfg"))
	if err != nil {
		t.Fatal(err)
	}
	for name := range c.Services["proxy"].Environment {
		if !strings.Contains(string(proxy), "${"+name+"-") {
			t.Errorf("configs/haproxy.cfg does not know %s", name)
		}
	}
}
