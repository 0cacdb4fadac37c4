package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/shoal-project/shoal/cmd/shoal/internal/demo"
	"github.com/shoal-project/shoal/cmd/shoal/internal/programs"
	"github.com/shoal-project/shoal/server"
)

// demoCmd runs every organisation in one process.
type demoCmd struct {
	Once    bool   `help:"Exit when the answer is printed, instead of serving the console until interrupted."`
	JSON    bool   `name:"json" help:"Print the result as JSON."`
	Input   string `type:"path" placeholder:"FILE" help:"Ask about the words of a text, or the rows of a .csv file with a header, instead of this machine's programs."`
	Data    string `type:"path" placeholder:"DIR" help:"Keep the organisations' keys, configurations and stores in this new folder, instead of a temporary one."`
	Seed    uint64 `default:"1" help:"Which simulated people use which programs."`
	Console string `placeholder:"ADDR" default:"127.0.0.1:0" help:"Loopback address of the console."`
}

// Help is printed by "shoal demo --help".
func (*demoCmd) Help() string {
	return `Two organisations with separate keys, ports and stores run in this process; 2,000
simulated people use the programs of this machine, and their devices report which
kinds of system API each program uses. Everything goes through real HTTP on
loopback. Only time is virtual: an hour passes in seconds.

Examples:
  shoal demo                       then open the console it names
  shoal demo --once --json | jq .accuracy
  shoal demo --input book.txt --once
  shoal demo --data ./two-organisations`
}

// Run plays the demo.
func (c *demoCmd) Run(e *env) error {
	in, err := c.input()
	if err != nil {
		return setup(err)
	}
	dir, remove, err := c.folder()
	if err != nil {
		return setup(err)
	}
	defer remove()
	p := newProgress(e.stderr)
	defer p.clear()
	config := demo.Config{Input: in, Dir: dir, Start: e.clock.Now(), Rand: rand.Reader, Progress: p.show}
	if !c.Once {
		config.ConsoleAddr = c.Console
		config.Console = func(s *server.Server) (http.Handler, error) {
			return newConsole(s.Config(), slog.New(slog.DiscardHandler))(s)
		}
	}
	stage, err := demo.Set(e.ctx, config)
	if err != nil {
		return err
	}
	err = c.play(e, stage, p)
	if err == nil && !c.Once {
		fmt.Fprintf(e.stdout, "\nThe console of the analyzer's organisation: %s\nPress Ctrl-C to stop.\n", stage.ConsoleURL())
		<-e.ctx.Done()
	}
	return errors.Join(err, stage.Close())
}

// play runs the epoch and prints what came out.
func (c *demoCmd) play(e *env, stage *demo.Stage, p *progress) error {
	r, err := stage.Play(e.ctx)
	p.clear()
	if errors.Is(err, context.Canceled) {
		return errors.New("interrupted before there was an answer")
	}
	if err != nil {
		return err
	}
	if !c.JSON {
		return r.WriteText(e.stdout)
	}
	j := json.NewEncoder(e.stdout)
	j.SetIndent("", "  ")
	return j.Encode(r)
}

// input reads what the question is about.
func (c *demoCmd) input() (demo.Input, error) {
	if c.Input == "" {
		var seed [32]byte
		for i := range 8 {
			seed[i] = byte(c.Seed >> (8 * i))
		}
		return demo.Programs(programs.Scan(programs.Dirs(os.Getenv("PATH"))), seed)
	}
	f, err := os.Open(c.Input)
	if err != nil {
		return demo.Input{}, fmt.Errorf("opening the input: %w", err)
	}
	defer f.Close()
	read := demo.Words
	if strings.EqualFold(filepath.Ext(c.Input), ".csv") {
		read = demo.Rows
	}
	return read(io.Reader(f), filepath.Base(c.Input))
}

// folder returns where the organisations live and a function that cleans up.
func (c *demoCmd) folder() (string, func(), error) {
	if c.Data == "" {
		dir, err := os.MkdirTemp("", "shoal-demo-")
		return dir, func() { os.RemoveAll(dir) }, err
	}
	if err := os.Mkdir(c.Data, 0o700); err != nil {
		return "", nil, fmt.Errorf("making the folder of the demo: %w (name one that does not exist)", err)
	}
	return c.Data, func() {}, nil
}
