package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"gatehouse/tests/packaging"
	"gatehouse/tests/proxytest"
)

// TestEmptyRoot runs the program as the Dockerfile says: alone in a root that is
// read-only, as nobody, with one folder to write. There is no container engine in
// it: root can do as much with the system's own means.
func TestEmptyRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a process a root of its own")
	}
	image, err := packaging.ReadDockerfile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	root, id := emptyRoot(t, image, w.program)
	address, err := proxytest.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	environ := []string{"GATEHOUSE_LISTEN=" + address[strings.LastIndexByte(address, ':'):], calm}
	for name, value := range image.Env {
		if name != "GATEHOUSE_LISTEN" {
			environ = append(environ, name+"="+value)
		}
	}
	within := func(words []string) *exec.Cmd {
		cmd, _ := w.command(nil, environ...)
		cmd.Path, cmd.Args, cmd.Dir, cmd.Env = words[0], words, image.Folder, environ
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: id, Gid: id}}
		return cmd
	}
	p := w.start(within(append(slices.Clone(image.Entrypoint), image.Command...)))
	if p == nil {
		t.FailNow()
	}
	p.url = "http://" + address
	c := w.client()
	c.signUp(p, "ann@example.com")
	c.want(p, 201, "POST", "/products", `{"name":"Lamp","price":{"amount":1,"currency":"USD"},"status":"published"}`)
	c.want(p, 200, "GET", "/products?q=lamp&total=true", "")
	for _, health := range [][]string{image.Health, append(slices.Clone(image.Health), "--ready")} {
		cmd := within(health)
		if err := cmd.Run(); err != nil {
			t.Errorf("%q: %v: %s", health, err, cmd.Stdout)
		}
	}
	if code := p.terminate(); code != 0 {
		t.Errorf("exit code %d:\n%s", code, p.said)
	}
	if cmd := within(image.Health); cmd.Run() == nil {
		t.Errorf("%q finds a service that has ended to be well", image.Health)
	}
}

// emptyRoot makes a root with the program, the image's folder, and nothing else,
// in which only the folder can be written.
func emptyRoot(t *testing.T, image packaging.Image, program string) (root string, id uint32) {
	t.Helper()
	n, err := strconv.ParseUint(strings.Split(image.User, ":")[0], 10, 32)
	if err != nil || n == 0 {
		t.Fatalf("the image's user is %q", image.User)
	}
	root = filepath.Join(t.TempDir(), "root")
	folder := filepath.Join(root, image.Folder)
	text, err := os.ReadFile(program)
	if err == nil {
		err = os.MkdirAll(folder, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(root, image.Entrypoint[0]), text, 0o755)
	}
	if err == nil {
		err = os.Chown(folder, int(n), int(n))
	}
	if err != nil {
		t.Fatal(err)
	}
	// A mount that is read-only, and in it one that is not.
	bind := func(path string) error {
		if err := syscall.Mount(path, path, "", syscall.MS_BIND, ""); err != nil {
			return err
		}
		t.Cleanup(func() {
			if err := syscall.Unmount(path, syscall.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
		return nil
	}
	if err := bind(root); err != nil {
		t.Logf("nothing can be mounted here, and only ownership keeps %s from being written: %v", root, err)
		return root, uint32(n)
	}
	if err := bind(folder); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("", root, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "new"), nil, 0o600); err == nil {
		t.Fatal("the root can be written")
	}
	return root, uint32(n)
}
