package bootstrap

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set by the linker: -ldflags "-X gatehouse/bootstrap.version=1.2.3".
var version string

// versionText is what this build calls itself.
func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "development"
}

// versionCommand is "gatehouse version".
type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run(c *call) error {
	_, err := fmt.Fprintf(c.out, "gatehouse %s (%s, %s/%s)\n", versionText(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
