// Command shoal plays every role of Shoal: it checks and plans metrics, runs an
// organisation's servers, shows and empties a client's outbox, exports what was
// released, and demonstrates all of it on one machine.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/discovery"
)

// commands is the whole command line. Each command is a type with a Run(*env)
// method, in a file of its own.
type commands struct {
	Demo demoCmd `cmd:"" help:"Run all parties on this machine and answer a question about its software."`

	Metrics  metricsCmd  `cmd:"" help:"Check, build and sign questions."`
	Plan     planCmd     `cmd:"" help:"Show what questions cost and reveal, before anything is collected."`
	Simulate simulateCmd `cmd:"" help:"Simulate answers of invented people, and compare them with the truth."`

	Init       initCmd       `cmd:"" help:"Write the configuration and the keys of an organisation."`
	Serve      serveCmd      `cmd:"" help:"Run an organisation's roles."`
	Config     configCmd     `cmd:"" help:"Check or print a configuration."`
	Fsck       fsckCmd       `cmd:"" help:"Check every released file against its manifest."`
	Doctor     doctorCmd     `cmd:"" help:"Check an organisation for what keeps it from working."`
	Pair       pairCmd       `cmd:"" help:"Exchange keys and tokens with a partner organisation."`
	Task       taskCmd       `cmd:"" help:"Add, list, show and disable the tasks of an organisation."`
	Keys       keysCmd       `cmd:"" help:"List and rotate the HPKE keys of an organisation."`
	Collect    collectCmd    `cmd:"" help:"Collect aggregates, and list pending collections."`
	Leader     leaderCmd     `cmd:"" help:"List a leader's nodes, and drop one that is lost."`
	Credential credentialCmd `cmd:"" help:"Invite clients to tasks that require credentials."`
	Token      tokenCmd      `cmd:"" help:"Create, list and revoke tokens of the management API."`
	Backup     backupCmd     `cmd:"" help:"Back up configuration, keys, tasks and released results of an organisation."`
	Restore    restoreCmd    `cmd:"" help:"Restore an organisation from a backup."`
	Export     exportCmd     `cmd:"" help:"Export released tables."`
	Query      queryCmd      `cmd:"" help:"Query released tables in SQL."`
	Bench      benchCmd      `cmd:"" help:"Measure this system and compare it with the Prochlo paper."`
	DAP        dapCmd        `cmd:"" name:"dap" help:"Inspect messages of the DAP protocol."`

	Discover discoverCmd `cmd:"" help:"Explain what the discovery engine decides, and sign its rules."`

	Outbox outboxCmd `cmd:"" help:"List, show and drop the reports that an app is about to send."`
	Agent  agentCmd  `cmd:"" help:"Send the reports of an outbox, for programs that live briefly."`

	Help    helpCmd          `cmd:"" help:"Describe a command."`
	Show    versionCmd       `cmd:"" name:"version" help:"Print the version."`
	Version kong.VersionFlag `help:"Print the version and exit."`
}

// env is what a command may touch of the world outside.
type env struct {
	ctx    context.Context //nolint:containedctx // kong calls Run with one argument: the whole command ends with it
	stdout io.Writer
	stderr io.Writer
	clock  clock.Clock

	fetcher discovery.Fetcher // of tests: what asks the web; nil for the real one
	rand    io.Reader         // of tests: what a discovery engine draws from; nil for crypto/rand
}

// setupError marks an error that the user fixes by changing what they typed or
// wrote: arguments, configuration, keys, permissions, ports. It ends the
// program with exit code 2, any other error with 1.
type setupError struct{ error }

func (e setupError) Unwrap() error { return e.error }

// setup wraps err, unless it is nil, as a [setupError].
func setup(err error) error {
	if err == nil {
		return nil
	}
	return setupError{err}
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr, clock.System())) }

// run executes one command line and returns the exit code.
func run(args []string, stdout, stderr io.Writer, c clock.Clock) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	var line commands
	exit := -1 // set when kong has answered by itself: --help, --version
	parser, err := newParser(&line, stdout, stderr, func(code int) { exit = code })
	if err != nil {
		return fail(stderr, err)
	}
	parsed, err := parser.Parse(helpArgs(args))
	if exit >= 0 {
		return exit
	}
	if err != nil {
		fmt.Fprintf(stderr, "shoal: %v\nshoal: hint: run \"shoal --help\", or \"shoal COMMAND --help\"\n", err)
		return 2
	}
	return fail(stderr, parsed.Run(&env{ctx: ctx, stdout: stdout, stderr: stderr, clock: c}))
}

// newParser returns the parser of the command line. It calls exit when it has
// answered by itself.
func newParser(line *commands, stdout, stderr io.Writer, exit func(int)) (*kong.Kong, error) {
	return kong.New(line,
		kong.Name("shoal"),
		kong.Description("Ask a question of many people's software; learn the answer, and nothing about any one of them."),
		kong.Writers(stdout, stderr),
		kong.Vars{"version": version()},
		kong.Exit(exit),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
	)
}

// fail reports err, if any, and returns its exit code.
func fail(stderr io.Writer, err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "shoal: %v\n", err)
	if _, ok := errors.AsType[setupError](err); ok {
		return 2
	}
	return 1
}

// releaseVersion is the version of the sources. CHANGELOG.md begins with it.
const releaseVersion = "v0.1.0"

// version names the release, and the revision where the build knows it: those
// that make release builds do not, so that they are reproducible.
func version() string {
	name := "shoal " + releaseVersion
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return name
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return name + ", revision " + s.Value[:min(12, len(s.Value))]
		}
	}
	return name
}
