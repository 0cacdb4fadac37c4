// Command notes is an example of an app with telemetry: it keeps notes in a file,
// and answers three questions about how people use it.
//
//	notes telemetry on           the person's decision: off (as it begins), local or on
//	notes add Buy milk           adds a note
//	notes list                   prints the notes, each with its number
//	notes export out.txt         exports them: counted as feature.export
//	notes print                  prints pages: added to pages.printed
//	notes theme dark             chooses a theme: observed as theme
//	notes telemetry show         shows what is about to be sent
//
// The questions are those of docs/examples/aggregate.yaml, signed as tasks.bundle.
// notes runs for a moment only and sends nothing itself: "shoal agent --dir DIR"
// sends what is in the folder "telemetry" of its folder NOTES_DIR.
package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/shoal-project/shoal"
)

//go:embed tasks.bundle
var bundle []byte // "shoal metrics build" writes it

// owner is whose questions this app answers, whatever else is in the bundle.
const owner = "ed25519:iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w"

// linesOfPage is how many notes fit on a page.
const linesOfPage = 40

func main() {
	dir := os.Getenv("NOTES_DIR")
	if dir == "" {
		config, err := os.UserConfigDir()
		if err != nil {
			fmt.Fprintln(os.Stderr, "notes:", err)
			os.Exit(1)
		}
		dir = filepath.Join(config, "notes")
	}
	if err := run(context.Background(), dir, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "notes:", err)
		os.Exit(1)
	}
}

// run executes one command on the notes in dir.
func run(ctx context.Context, dir string, args []string, out io.Writer) (err error) {
	if len(args) == 0 {
		return errors.New("no command: want add, list, export, print, theme or telemetry")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	a := app{dir: dir, out: out}
	if a.telemetry, err = a.open(ctx); err != nil {
		return fmt.Errorf("opening telemetry: %w", err)
	}
	defer func() { err = errors.Join(err, a.telemetry.Close()) }()
	command, rest := args[0], args[1:]
	switch {
	case command == "add" && len(rest) > 0:
		return a.add(strings.Join(rest, " "))
	case command == "list" && len(rest) == 0:
		return a.list()
	case command == "export" && len(rest) == 1:
		return a.export(rest[0])
	case command == "print" && len(rest) == 0:
		return a.print()
	case command == "theme" && len(rest) == 1:
		return a.theme(rest[0])
	case command == "telemetry" && len(rest) == 1:
		return a.decide(rest[0]) //nolint:contextcheck // the sender in the background outlives the call, until the mode changes or Close
	}
	return fmt.Errorf("%q is not a command, or its arguments are wrong", strings.Join(args, " "))
}

// An app is notes in a folder.
type app struct {
	dir       string
	out       io.Writer
	telemetry *shoal.Client
}

// open opens the telemetry in the mode that the person has chosen.
func (a *app) open(ctx context.Context) (*shoal.Client, error) {
	mode := shoal.Off
	word, err := os.ReadFile(a.file("mode"))
	switch {
	case errors.Is(err, fs.ErrNotExist): // not decided yet
	case err != nil:
		return nil, err
	default:
		if mode, err = shoal.ParseMode(strings.TrimSpace(string(word))); err != nil {
			return nil, err
		}
	}
	return shoal.Open(ctx, shoal.Options{
		Bundle: bundle, Owner: owner, Metrics: []string{"feature.export", "pages.printed", "theme"},
		Dir: a.file("telemetry"), Mode: mode, NoSender: true, // shoal agent sends
	})
}

func (a *app) file(name string) string { return filepath.Join(a.dir, name) }

func (a *app) notes() ([]string, error) {
	text, err := os.ReadFile(a.file("notes.txt"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n"), err
}

func (a *app) add(note string) error {
	f, err := os.OpenFile(a.file("notes.txt"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, strings.ReplaceAll(note, "\n", " "))
	return errors.Join(err, f.Close())
}

func (a *app) list() error {
	notes, err := a.notes()
	for i, n := range notes {
		fmt.Fprintf(a.out, "%d  %s\n", i+1, n)
	}
	return err
}

func (a *app) export(name string) error {
	notes, err := a.notes()
	if err != nil {
		return err
	}
	if err := os.WriteFile(name, []byte(strings.Join(notes, "\n")+"\n"), 0o600); err != nil {
		return err
	}
	a.telemetry.Count("feature.export") // an outcome that an app may ignore
	return nil
}

func (a *app) print() error {
	notes, err := a.notes()
	if err != nil {
		return err
	}
	pages := (len(notes) + linesOfPage - 1) / linesOfPage
	for i, n := range notes {
		if i%linesOfPage == 0 {
			fmt.Fprintf(a.out, "-- page %d of %d --\n", i/linesOfPage+1, pages)
		}
		fmt.Fprintln(a.out, n)
	}
	a.telemetry.Add("pages.printed", int64(pages))
	return nil
}

func (a *app) theme(name string) error {
	if o := a.telemetry.Observe("theme", name); !o.Queued() {
		fmt.Fprintf(a.out, "not recorded: %s\n", o)
	}
	return os.WriteFile(a.file("theme"), []byte(name+"\n"), 0o600)
}

// decide changes the mode, or shows what waits.
func (a *app) decide(word string) error {
	if word == "show" {
		entries, err := a.telemetry.Pending()
		for _, e := range entries {
			fmt.Fprintf(a.out, "%s = %s, %s, to %s\n", e.Metric, e.Recorded, e.Stage, e.Destination)
		}
		return err
	}
	mode, err := shoal.ParseMode(word)
	if err != nil {
		return err
	}
	if err := a.telemetry.SetMode(mode); err != nil {
		return err
	}
	return os.WriteFile(a.file("mode"), []byte(mode.String()+"\n"), 0o600)
}
