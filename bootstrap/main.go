package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"reflect"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"gatehouse/configs"
	"gatehouse/domain/fault"
)

// The exit codes.
const (
	exitOK    = 0
	exitError = 1 // it was understood, and could not be done
	exitUsage = 2 // it was not understood: the command line or the configuration
)

// commands is the command line.
type commands struct {
	File string `name:"config" placeholder:"FILE" help:"YAML file with settings (GATEHOUSE_CONFIG; ./gatehouse.yaml if there is one)."`

	Serve   serveCommand   `cmd:"" help:"Serve until told to stop."`
	Demo    demoCommand    `cmd:"" help:"Fill in a small catalogue and three users, to try things with."`
	User    userCommands   `cmd:"" help:"Create, list and change users."`
	Policy  policyCommands `cmd:"" help:"Show, change and check who may do what."`
	Audit   auditCommands  `cmd:"" help:"Check the audit log."`
	Migrate migrateCommand `cmd:"" help:"Bring the database's schema up to date, or back."`
	Backup  backupCommand  `cmd:"" help:"Copy the SQLite file while it is served from."`
	Config  configCommands `cmd:"" help:"Show the configuration."`
	Health  healthCommand  `cmd:"" help:"Ask a running service whether it is well."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

// description is what the help begins with.
const description = `Gatehouse signs people in with stored sessions and decides who may do what with products.

Begin with "gatehouse serve": it needs no configuration, keeps its data in data/gatehouse.db, and prints what to do next.`

// call is one run of a command.
type call struct {
	ctx            context.Context
	in             io.Reader
	out, err       io.Writer
	input          configs.Input
	loadedWarnings bool
}

// Main runs the command line and returns the exit code. Only the caller exits.
func Main(args, environ []string, in io.Reader, out, errs io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// After the first signal the next one ends the process at once.
	context.AfterFunc(ctx, stop)

	c := &call{ctx: ctx, in: in, out: out, err: errs, input: configs.Input{Environ: environ}}
	code, err := c.run(args)
	if err != nil {
		fmt.Fprintf(errs, "gatehouse: %s\n", sentence(err))
	}
	return code
}

// exit is how kong ends the process after printing help; it is caught in run.
type exit int

func (c *call) run(args []string) (code int, err error) {
	defer func() {
		if p := recover(); p != nil {
			ended, ours := p.(exit)
			if !ours {
				panic(p)
			}
			code = int(ended)
		}
	}()
	if len(args) == 0 {
		args = []string{"--help"}
	}
	var cli commands
	flags := newSettingFlags()
	parser, err := kong.New(&cli,
		kong.Name("gatehouse"), kong.Description(description), kong.Writers(c.out, c.err),
		kong.Exit(func(code int) { panic(exit(code)) }), kong.Help(help), kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.ExplicitGroups([]kong.Group{{Key: settingsGroup, Title: "Settings:"}}), kong.Embed(flags.target, `group:"`+settingsGroup+`"`),
	)
	if err != nil {
		return exitError, err
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return exitUsage, fmt.Errorf("%w; \"gatehouse --help\" shows what there is", err)
	}
	c.input.File, c.input.Flags = cli.File, flags.given()
	err = parsed.Run(c)
	if _, bad := errors.AsType[configs.Faults](err); bad {
		return exitUsage, err
	}
	if err != nil {
		return exitError, err
	}
	return exitOK, nil
}

// sentence is what a person is told of an error: what is meant for callers
// where there is that, else everything.
func sentence(err error) string {
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Kind == fault.Unavailable {
		return err.Error()
	}
	if len(f.Fields) == 0 {
		return f.Detail
	}
	var details []string
	for _, field := range f.Fields {
		details = append(details, field.Detail)
	}
	return strings.Join(details, " ")
}

// config loads the configuration and passes on what is odd about it.
func (c *call) config() (configs.Loaded, error) {
	loaded, err := configs.Load(c.input)
	if !c.loadedWarnings {
		for _, w := range loaded.Warnings {
			fmt.Fprintf(c.err, "gatehouse: warning: %s\n", w)
		}
		c.loadedWarnings = true
	}
	return loaded, err
}

// program is the program as it is configured. The commands that do one thing
// and end log only what went wrong.
func (c *call) program(config configs.Config) Program {
	config.LogLevel = max(config.LogLevel, slog.LevelWarn)
	return Program{Config: config, Extensions: extensions(), Log: c.logger(config), Version: versionText()}
}

func (c *call) logger(config configs.Config) *slog.Logger {
	options := &slog.HandlerOptions{Level: config.LogLevel}
	if c.text(config) {
		return slog.New(slog.NewTextHandler(c.err, options))
	}
	return slog.New(slog.NewJSONHandler(c.err, options))
}

// servingLogger is a logger for many lines a second, which waits with those
// for programs until a few have come together. flush writes what waits.
func (c *call) servingLogger(config configs.Config) (log *slog.Logger, flush func()) {
	if c.text(config) {
		return c.logger(config), func() {}
	}
	return gatheringLogger(c.err, config.LogLevel)
}

// text reports whether log lines are for a person.
func (c *call) text(config configs.Config) bool {
	if config.LogFormat != configs.FormatAuto {
		return config.LogFormat == configs.FormatText
	}
	return isTerminal(c.err)
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// withHouse runs use over the configured database.
func (c *call) withHouse(s schema, use func(context.Context, *house) error) error {
	return c.withPatience(0, s, use)
}

// withPatience is withHouse where a statement may take longer than one of a
// request, if patience is more than that has.
func (c *call) withPatience(patience time.Duration, s schema, use func(context.Context, *house) error) error {
	loaded, err := c.config()
	if err != nil {
		return err
	}
	loaded.Config.RequestTimeout = max(loaded.Config.RequestTimeout, patience)
	if loaded.Config.Database.Kind == configs.Memory {
		return errMemory
	}
	p := c.program(loaded.Config).withDefaults()
	h, err := openHouse(c.ctx, p, s)
	if err != nil {
		return err
	}
	return errors.Join(use(c.ctx, h), h.close())
}

var errMemory = errors.New("memory: keeps nothing beyond one process, so there is nothing here to work on; name a database with GATEHOUSE_DATABASE_URL")

// settingsGroup is the heading under which the help shows the settings.
const settingsGroup = "settings"

// settingFlags is one flag for each setting, made of the table in package
// configs.
type settingFlags struct {
	settings []configs.Setting
	target   any // pointer to a struct with one *string for each setting
}

func newSettingFlags() settingFlags {
	f := settingFlags{settings: configs.Settings()}
	var fields []reflect.StructField
	for _, s := range f.settings {
		placeholder := s.Default
		if placeholder == "" {
			placeholder = "LIST"
		}
		fields = append(fields, reflect.StructField{
			Name: fieldName(s.Flag),
			Type: reflect.TypeFor[*string](),
			Tag: reflect.StructTag(fmt.Sprintf(`name:%q placeholder:%q help:%q`,
				s.Flag, placeholder, strings.TrimSuffix(s.Help, ".")+" ("+s.Variables()+").")),
		})
	}
	f.target = reflect.New(reflect.StructOf(fields)).Interface()
	return f
}

// fieldName makes SessionIdle of session-idle.
func fieldName(flag string) string {
	var b strings.Builder
	upper := true
	for _, r := range flag {
		if r == '-' {
			upper = true
			continue
		}
		if upper {
			r, upper = unicode.ToUpper(r), false
		}
		b.WriteRune(r)
	}
	return b.String()
}

// given is what was on the command line, by the setting's key.
func (f settingFlags) given() map[string]string {
	given := map[string]string{}
	v := reflect.ValueOf(f.target).Elem()
	for i, s := range f.settings {
		if text, ok := v.Field(i).Interface().(*string); ok && text != nil {
			given[s.Key] = *text
		}
	}
	return given
}

// help shows the settings with "serve" only: every command takes them, and
// none would be seen for them.
func help(options kong.HelpOptions, ctx *kong.Context) error {
	selected := ctx.Selected()
	serve := selected != nil && selected.Name == "serve"
	for _, flag := range ctx.Model.Flags {
		if flag.Group != nil && flag.Group.Key == settingsGroup {
			flag.Hidden = !serve
		}
	}
	if err := kong.DefaultHelpPrinter(options, ctx); err != nil || serve {
		return err
	}
	_, err := fmt.Fprintln(ctx.Stdout, "\nEvery setting is a flag of every command, an environment variable and a line of\nthe YAML file: see \"gatehouse serve --help\" and \"gatehouse config print\".")
	return err
}
