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
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/shoal-project/shoal/cmd/shoal/internal/demo"
	"github.com/shoal-project/shoal/cmd/shoal/internal/programs"
	"github.com/shoal-project/shoal/internal/console"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/internal/server"
)

// demoCmd runs every organisation in one process.
type demoCmd struct {
	Once    bool   `help:"Exit when the answer is printed, instead of serving the console until interrupted."`
	JSON    bool   `name:"json" help:"Print the result as JSON."`
	Ask     string `enum:"all,programs,web" default:"all" help:"Which questions: programs (which system functions programs use), web (which pages and queries are popular), or all."`
	Input   string `type:"path" placeholder:"FILE" help:"Ask about the words of a text, or the rows of a .csv file with a header, instead of this machine's programs."`
	Data    string `type:"path" placeholder:"DIR" help:"Keep the organisations' keys, configurations and stores in this new folder, instead of a temporary one."`
	Seed    uint64 `default:"1" help:"Which simulated people use which programs."`
	Console string `placeholder:"ADDR" default:"127.0.0.1:0" help:"Loopback address of the console."`
	Shop    bool   `name:"web" help:"Serve a shop's page for your browser instead, which counts and observes, and add up what it records every minute."`

	more webSources `kong:"-"` // of the console
}

// webSources are the questions about the web, once they are answered.
type webSources struct {
	mu  sync.Mutex
	all []console.Source
	web *demo.Web
}

func (w *webSources) add(web *demo.Web) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.web = web
	for _, s := range web.Servers() {
		w.all = append(w.all, console.FromServer(s))
	}
}

func (w *webSources) list() []console.Source {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.all
}

// tables are what the servers of these questions have released, for SQL.
func (w *webSources) tables() []release.Catalogue {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.web == nil {
		return nil
	}
	var all []release.Catalogue
	for _, s := range w.web.Servers() {
		all = append(all, s.Epochs())
	}
	return all
}

func (w *webSources) close() {
	if w.web != nil {
		_ = w.web.Close() // they hold nothing that is kept
	}
}

// Help is printed by "shoal demo --help".
func (*demoCmd) Help() string {
	return `Three organisations with separate keys, ports and stores run in this process: a relay,
and two that count. 2,000 simulated people use the programs of this machine, and their
devices report which kinds of system API each program uses. Everything goes through
real HTTP on loopback. Only time is virtual: an hour passes in seconds. All that a party
receives is recorded and searched for what it must not have.

500 people answer another question with every protection: through the relay, with
credentials, by a quorum whose values a further organisation makes unguessable.

Then simulated people browse a test site, a discovery engine on each device decides
what is public, and the same route answers which pages and queries are popular.

The three questions are asked at the same time, each through organisations of its own.

With --web there are a leader and a helper, in real time, and a page with the SDK for web
pages. Open it, switch the recording on and buy something: two to three minutes later the
console has the sums, which 110 simulated customers are in, too.

Examples:
  shoal demo                       then open the console it names
  shoal demo --ask web --once
  shoal demo --once --json | jq .accuracy
  shoal demo --web                 then open the shop it names
  shoal demo --input book.txt --once
  shoal demo --data ./organisations`
}

// demoAnswer is what is printed as JSON.
type demoAnswer struct {
	*demo.Result

	Protected *demo.Result    `json:"protected,omitempty"` // with every protection
	Web       *demo.WebResult `json:"web,omitempty"`
}

// demoLasts is more virtual time than the demo takes: two epochs, their send delays,
// and before them what new clients wait for credentials. It begins so long ago, so that nothing that the console shows is to come.
const demoLasts = 40 * time.Hour

// Run plays the demo.
func (c *demoCmd) Run(e *env) error {
	if c.Shop {
		return c.shop(e)
	}
	dir, remove, err := temporary(c.Data, "shoal-demo-")
	if err != nil {
		return setup(err)
	}
	defer remove()
	defer c.more.close()
	p := newProgress(e.stderr)
	defer p.clear()
	config := demo.Config{Dir: dir, Start: e.clock.Now().Add(-demoLasts), Rand: rand.Reader}
	var answer demoAnswer
	var stage *demo.Stage
	ctx, cancel := context.WithCancelCause(e.ctx)
	defer cancel(nil)
	parts := c.parts(ctx, e, &answer, &stage)
	defer func() {
		if stage != nil {
			stage.Close()
		}
	}()
	if err := c.play(ctx, cancel, parts, config, e, p); err != nil {
		return c.ended(p, err)
	}
	if c.JSON {
		j := json.NewEncoder(e.stdout)
		j.SetIndent("", "  ")
		if err := j.Encode(answer); err != nil {
			return err
		}
	}
	if stage == nil {
		return nil
	}
	if !c.Once {
		fmt.Fprintf(e.stdout, "\nThe console of the analyzer's organisation: %s\nPress Ctrl-C to stop.\n", stage.ConsoleURL())
		<-e.ctx.Done()
	}
	return stage.Close()
}

// parts returns what is asked for, which writes its answers to answer. The first one keeps
// its stage for the console.
func (c *demoCmd) parts(ctx context.Context, e *env, answer *demoAnswer, stage **demo.Stage) []demoPart {
	var parts []demoPart
	if c.Input != "" || c.Ask != "web" {
		parts = append(parts, func(config demo.Config) (written, error) {
			var err error
			if *stage, err = c.stage(e, config); err != nil {
				return nil, err
			}
			answer.Result, err = (*stage).Play(ctx)
			return answer.Result, err
		})
	}
	if c.Input == "" && c.Ask != "web" {
		parts = append(parts, func(config demo.Config) (written, error) {
			var err error
			answer.Protected, err = c.protected(ctx, config)
			return answer.Protected, err
		})
	}
	if c.Input == "" && c.Ask != "programs" {
		parts = append(parts, func(config demo.Config) (written, error) {
			var err error
			answer.Web, err = c.web(ctx, config)
			return answer.Web, err
		})
	}
	return parts
}

// written is an answer that can be printed for a person.
type written interface{ WriteText(w io.Writer) error }

// A demoPart asks questions of organisations of its own. It blocks until they are answered.
type demoPart func(demo.Config) (written, error)

// collectAt is the garbage collector's target while the demo runs: what it keeps is small
// beside the memory of a machine with two cores.
const collectAt = 200

// play runs the parts at the same time, and shows their answers in order. The first error
// ends all of them: cancel cancels ctx.
func (c *demoCmd) play(ctx context.Context, cancel context.CancelCauseFunc, parts []demoPart, config demo.Config, e *env, p *progress) error {
	defer debug.SetGCPercent(debug.SetGCPercent(collectAt))
	var all sync.WaitGroup
	defer all.Wait()
	answers := make([]chan written, len(parts))
	shows := p.parts(len(parts))
	for i, part := range parts {
		answers[i] = make(chan written, 1)
		own := config
		own.Progress = shows[i]
		all.Go(func() {
			answer, err := part(own)
			if err != nil {
				cancel(err)
				return
			}
			answers[i] <- answer
		})
	}
	for i := range parts {
		p.front(i)
		select {
		case answer := <-answers[i]:
			p.clear()
			if err := c.show(e, answer); err != nil {
				cancel(err)
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// stage sets up the question about programs, or about a file.
func (c *demoCmd) stage(e *env, config demo.Config) (*demo.Stage, error) {
	var err error
	if config.Input, err = c.input(); err != nil {
		return nil, setup(err)
	}
	if !c.Once {
		config.ConsoleAddr = c.Console
		config.Console = func(s *server.Server) (http.Handler, error) {
			return newConsoleOf(s.Config(), slog.New(slog.DiscardHandler), c.more.list, c.more.tables)(s)
		}
	}
	return demo.Set(e.ctx, config)
}

// protected asks a question with every protection.
func (c *demoCmd) protected(ctx context.Context, config demo.Config) (*demo.Result, error) {
	in, err := demo.Favourite(programs.Scan(programs.Dirs(os.Getenv("PATH"))), c.seed())
	if err != nil {
		return nil, setup(err)
	}
	config.Input, config.Dir = in, filepath.Join(config.Dir, "protected")
	return demo.Ask(ctx, config)
}

// web asks which pages and queries are popular.
func (c *demoCmd) web(ctx context.Context, config demo.Config) (*demo.WebResult, error) {
	w, err := demo.Browse(ctx, demo.Browsing{Seed: c.Seed, People: 400, Visits: 45, Scale: 0.25, Progress: config.Progress})
	if err != nil {
		return nil, err
	}
	r, err := w.Play(ctx, config)
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	c.more.add(w)
	return r, nil
}

// ended reports that there is no answer.
func (c *demoCmd) ended(p *progress, err error) error {
	p.clear()
	if errors.Is(err, context.Canceled) {
		return errors.New("interrupted before there was an answer")
	}
	return err
}

// show prints an answer for a person.
func (c *demoCmd) show(e *env, r written) error {
	if c.JSON {
		return nil
	}
	return r.WriteText(e.stdout)
}

func (c *demoCmd) seed() (seed [32]byte) {
	for i := range 8 {
		seed[i] = byte(c.Seed >> (8 * i))
	}
	return seed
}

// input reads what the question is about.
func (c *demoCmd) input() (demo.Input, error) {
	if c.Input == "" {
		return demo.Programs(programs.Scan(programs.Dirs(os.Getenv("PATH"))), c.seed())
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
