// Command release makes what is handed out of a version, in dist/: for each
// platform an archive with the program, the licences of all that is in it and the
// list of that (CycloneDX 1.5), the list by itself, and the sums of them all.
//
// The same sources give the same bytes, wherever and whenever: nothing of the
// machine, the folder or the hour gets in. With -again everything is made a second
// time, of a copy of the sources in another folder and with a cache of its own, and
// compared.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// sums is the file with the sums, as sha256sum reads it.
const sums = "SHA256SUMS"

// release is one version to be made of the sources in a folder.
type release struct {
	source  string
	version string
	at      time.Time // of every file in it
	targets []string  // linux/amd64
	cache   string    // of the compiler, "" for the usual one
}

func run(ctx context.Context) error {
	r := release{source: "."}
	out := flag.String("out", "dist", "folder to make it in")
	targets := flag.String("targets", "linux/amd64,linux/arm64,darwin/amd64,darwin/arm64", "platforms")
	again := flag.Bool("again", false, "make it twice and compare")
	flag.StringVar(&r.version, "version", "development", "what the program calls itself")
	flag.Parse()
	r.targets = strings.Split(*targets, ",")
	var err error
	if r.at, err = epoch(ctx); err != nil {
		return err
	}
	files, err := r.make(ctx)
	if err != nil {
		return err
	}
	if *again {
		if err := r.compare(ctx, files); err != nil {
			return err
		}
		fmt.Println("made a second time in another folder, it is the same")
	}
	if err := os.MkdirAll(*out, 0o755); err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(*out, name), content, 0o644); err != nil {
			return err
		}
	}
	fmt.Print(string(files[sums]))
	return nil
}

// epoch is the time that files are given: SOURCE_DATE_EPOCH
// (reproducible-builds.org), or that of the last commit.
func epoch(ctx context.Context) (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		out, err := exec.CommandContext(ctx, "git", "log", "-1", "--format=%ct").Output()
		if err != nil {
			return time.Time{}, fmt.Errorf("no SOURCE_DATE_EPOCH, and no commit to ask: %w", err)
		}
		text = strings.TrimSpace(string(out))
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// make gives the files of the release by name.
func (r release) make(ctx context.Context) (map[string][]byte, error) {
	folder, err := os.MkdirTemp("", "gatehouse-release-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	files := map[string][]byte{}
	for _, target := range r.targets {
		program := filepath.Join(folder, "gatehouse")
		if err := r.build(ctx, target, program); err != nil {
			return nil, err
		}
		name := "gatehouse_" + r.version + "_" + strings.ReplaceAll(target, "/", "_")
		if err := r.pack(ctx, files, name, program); err != nil {
			return nil, err
		}
	}
	files[sums] = sumsOf(files)
	return files, nil
}

// build builds as "make build" does.
func (r release) build(ctx context.Context, target, program string) error {
	system, processor, ok := strings.Cut(target, "/")
	if !ok {
		return fmt.Errorf("%q is no platform, such as linux/amd64", target)
	}
	cmd := exec.CommandContext(ctx, "make", "--no-print-directory", "build", "VERSION="+r.version, "PROGRAM="+program)
	cmd.Dir = r.source
	cmd.Env = append(os.Environ(), "GOOS="+system, "GOARCH="+processor, "GOFLAGS=", "GOWORK=off")
	if r.cache != "" {
		cmd.Env = append(cmd.Env, "GOCACHE="+r.cache)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building for %s: %w\n%s", target, err, out)
	}
	return nil
}

// pack adds the archive and the list of what is in the program.
func (r release) pack(ctx context.Context, files map[string][]byte, name, program string) error {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	bill, err := billOf(info, r.version, r.at, sha256.Sum256(content))
	if err != nil {
		return err
	}
	licences, err := licencesOf(ctx, r.source, info)
	if err != nil {
		return err
	}
	own, err := os.ReadFile(filepath.Join(r.source, "LICENSE"))
	if err != nil {
		return err
	}
	files[name+".cdx.json"] = bill
	files[name+".tar.gz"], err = archive(r.at, name, []entry{
		{"gatehouse", 0o755, content}, {"LICENSE", 0o644, own}, {"THIRD_PARTY_LICENSES.txt", 0o644, licences}, {"sbom.cdx.json", 0o644, bill},
	})
	return err
}

func sumsOf(files map[string][]byte) []byte {
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&b, "%x  %s\n", sha256.Sum256(files[name]), name)
	}
	return b.Bytes()
}

// compare makes the release of a copy of the sources, with nothing compiled yet.
func (r release) compare(ctx context.Context, first map[string][]byte) error {
	folder, err := os.MkdirTemp("", "gatehouse-release-again-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	copied := filepath.Join(folder, "sources")
	if err := copySources(ctx, r.source, copied); err != nil {
		return err
	}
	r.source, r.cache = copied, filepath.Join(folder, "cache")
	second, err := r.make(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for name, content := range first {
		if !bytes.Equal(content, second[name]) {
			errs = append(errs, fmt.Errorf("%s has other bytes the second time", name))
		}
	}
	return errors.Join(errs...)
}

// copySources copies what git knows of, or would.
func copySources(ctx context.Context, from, to string) error {
	list := exec.CommandContext(ctx, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = from
	out, err := list.Output()
	if err != nil {
		return err
	}
	for _, name := range strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		content, err := os.ReadFile(filepath.Join(from, name))
		if errors.Is(err, os.ErrNotExist) { // deleted, and not committed yet
			continue
		}
		if err == nil {
			err = os.MkdirAll(filepath.Dir(filepath.Join(to, name)), 0o755)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), content, 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
