package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
)

// texts are the files with which modules are handed out under their terms.
var texts = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|copyright|patents)([.-].*)?$`)

// licencesOf puts the terms together of all that is in a program.
func licencesOf(ctx context.Context, source string, info *debug.BuildInfo) ([]byte, error) {
	folders, err := moduleFolders(ctx, source)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "What the program is made of beside Gatehouse's own sources, and under which terms.\n")
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return nil, err
	}
	if err := addTexts(&b, "The Go standard library", strings.TrimSpace(string(root))); err != nil {
		return nil, err
	}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		folder, ok := folders[m.Path+"@"+m.Version]
		if !ok {
			return nil, fmt.Errorf("the sources of %s %s are not there", m.Path, m.Version)
		}
		if err := addTexts(&b, m.Path+" "+m.Version, folder); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// addTexts adds what a folder has of them; one that has none is an error: nobody
// may hand it out.
func addTexts(b *bytes.Buffer, title, folder string) error {
	files, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	found := false
	for _, f := range files {
		if f.IsDir() || !texts.MatchString(f.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(folder, f.Name()))
		if err != nil {
			return err
		}
		found = true
		fmt.Fprintf(b, "\n%s\n%s: %s\n%s\n\n%s\n", strings.Repeat("=", 80), title, f.Name(), strings.Repeat("=", 80), bytes.TrimSpace(text))
	}
	if !found {
		return fmt.Errorf("%s has no licence", title)
	}
	return nil
}

// moduleFolders tells where the sources of modules are, by path@version.
func moduleFolders(ctx context.Context, source string) (map[string]string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-json=Path,Version,Dir", "all")
	cmd.Dir = source
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list -m: %w", err)
	}
	folders := map[string]string{}
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var m struct{ Path, Version, Dir string }
		if err := decoder.Decode(&m); errors.Is(err, io.EOF) {
			return folders, nil
		} else if err != nil {
			return nil, err
		}
		folders[m.Path+"@"+m.Version] = m.Dir
	}
}
