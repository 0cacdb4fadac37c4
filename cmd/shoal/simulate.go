package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/shoal-project/shoal/cmd/shoal/internal/simulate"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/internal/server"
	"github.com/shoal-project/shoal/metric"
)

// simulateCmd lets invented people answer somebody's own questions.
type simulateCmd struct {
	metricsFile
	People     int      `default:"1000" help:"How many people answer (${default})."`
	Values     string   `placeholder:"FILE" help:"What people say: distributions by metric and field, in YAML. See --show-values."`
	Set        []string `sep:"none" placeholder:"METRIC=DIST" help:"One distribution: METRIC=DIST, or METRIC:FIELD=DIST for a field of a record. May be repeated."`
	ShowValues bool     `help:"Print the distributions that would be used, as a file for --values, and exit."`
	Seed       uint64   `default:"1" help:"What people say follows from it (${default}); noise does not."`
	Bundle     string   `placeholder:"FILE" help:"Answer rehearsals at the servers that this bundle names, in real time; \"shoal metrics build --rehearsal\" writes one."`
	JSON       bool     `name:"json" help:"Print the answers as JSON."`
	Console    string   `optional:"" placeholder:"ADDR" help:"Show the answers in the console, on this loopback address, until interrupted; 127.0.0.1:0 for any free port."`
	Data       string   `type:"path" placeholder:"DIR" help:"Keep the organisations' keys, configurations and stores in this new folder."`
}

// Help is printed by "shoal simulate --help".
func (*simulateCmd) Help() string {
	return `All parties run in this process; each person is a client of the real SDK, and
everything goes through real HTTP on loopback. Only time is virtual. Because people
are invented, the truth is known: it is printed beside each estimate.

A distribution is one of
  chance 0.3                    yes with this probability
  normal 9 3                    mean, standard deviation
  uniform 0 48, exponential 9   lowest and highest; mean
  zipf 50 1.1                   so many invented values, exponent; "zipf 1.1" of known values
  weights dark=70, light=30     values with weights
  constant editor
  each 0.3                      each member of a set
  chances files=0.9, ipc=0.1    members of a set, one by one
  1 to 5 of zipf 100            a list
  elements 0, 0, 3, 5           a vector, each element around its own mean

Examples:
  shoal simulate
  shoal simulate metrics.yaml --people 2000 --set theme="weights dark=70, light=30"
  shoal simulate --show-values > values.yaml, edit, shoal simulate --values values.yaml
  shoal simulate --console 127.0.0.1:0
  shoal metrics build --rehearsal --epoch 5m -o rehearsal.bundle, give it to the
    servers, shoal simulate --bundle rehearsal.bundle
  shoal simulate --json | jq '.answers[].inside_interval'`
}

// Bounds of a simulation.
const (
	fewestSimulated = 100
	mostSimulated   = 100_000
)

// simulated is what is printed as JSON.
type simulated struct {
	Rehearsal bool               `json:"rehearsal"` // always true: no real person was asked
	People    int                `json:"people"`
	Answers   []*simulate.Answer `json:"answers"`
}

// Run simulates.
func (c *simulateCmd) Run(e *env) error {
	if c.People < fewestSimulated || c.People > mostSimulated {
		return setup(fmt.Errorf("--people: %d is not from %d to %d", c.People, fewestSimulated, mostSimulated))
	}
	file, err := metric.LoadSimulated(c.File, e.clock.Now())
	if errors.Is(err, os.ErrNotExist) {
		err = fmt.Errorf("%w; docs/reference/metrics.md says how to write one", err)
	}
	if err != nil {
		return setup(err)
	}
	values, err := c.values(file)
	if err != nil {
		return setup(err)
	}
	if c.ShowValues {
		text, err := values.Text()
		if err == nil {
			_, err = fmt.Fprint(e.stdout, text)
		}
		return err
	}
	short := simulate.Shortages(file, values, c.People)
	for _, name := range slices.Sorted(maps.Keys(short)) {
		fmt.Fprintf(e.stderr, "shoal: warning: metric %s: %s\n", name, short[name])
	}
	if c.Bundle != "" {
		return c.send(e, file, values)
	}
	dir, remove, err := temporary(c.Data, "shoal-simulate-")
	if err != nil {
		return setup(err)
	}
	defer remove()
	p := newProgress(e.stderr)
	defer p.clear()
	s, err := simulate.Run(e.ctx, c.config(e, file, values, dir, p))
	p.clear()
	switch {
	case errors.Is(err, context.Canceled):
		return errors.New("interrupted before there was an answer")
	case err != nil:
		return err
	}
	defer s.Close()
	if err := c.print(e, s); err != nil {
		return err
	}
	if c.Console != "" {
		fmt.Fprintf(e.stdout, "\nThe console of the organisation that has the answers: %s\nPress Ctrl-C to stop.\n", s.ConsoleURL())
		<-e.ctx.Done()
	}
	return errors.Join(unanswered(s.Answers), s.Close())
}

func (c *simulateCmd) config(e *env, f *metric.File, v simulate.Values, dir string, p *progress) simulate.Config {
	config := simulate.Config{
		File: f, Values: v, People: c.People, Seed: c.Seed, Dir: dir, Now: e.clock.Now(), Rand: rand.Reader, Progress: p.show,
	}
	if c.Console != "" {
		config.ConsoleAddr = c.Console
		config.Console = func(s *server.Server) (http.Handler, error) {
			return newConsole(s.Config(), slog.New(slog.DiscardHandler))(s)
		}
	}
	return config
}

// values reads the distributions.
func (c *simulateCmd) values(f *metric.File) (simulate.Values, error) {
	v := simulate.Values{}
	if c.Values != "" {
		text, err := os.ReadFile(c.Values)
		if err != nil {
			return nil, fmt.Errorf("reading distributions: %w", err)
		}
		if v, err = simulate.ReadValues(filepath.ToSlash(c.Values), text); err != nil {
			return nil, err
		}
	}
	if v == nil { // an empty file
		v = simulate.Values{}
	}
	for _, s := range c.Set {
		if err := v.Set(s); err != nil {
			return nil, fmt.Errorf("--set: %w", err)
		}
	}
	v, err := v.Complete(f)
	if err != nil {
		return nil, fmt.Errorf("what people say: %w", err)
	}
	return v, nil
}

func (c *simulateCmd) print(e *env, s *simulate.Simulation) error {
	if c.JSON {
		j := json.NewEncoder(e.stdout)
		j.SetIndent("", "  ")
		return j.Encode(simulated{true, c.People, s.Answers})
	}
	fmt.Fprintln(e.stdout, "Rehearsal: the people are invented, and so are their answers.")
	for _, a := range s.Answers {
		if err := a.WriteText(e.stdout); err != nil {
			return err
		}
	}
	return nil
}

// send answers rehearsals at servers that run, and prints the truth.
func (c *simulateCmd) send(e *env, f *metric.File, v simulate.Values) error {
	if c.Console != "" || c.Data != "" {
		return setup(errors.New("--bundle: the servers that run have the results, so that --console and --data have no meaning; remove them"))
	}
	bundle, err := os.ReadFile(c.Bundle)
	if err != nil {
		return setup(fmt.Errorf("reading the bundle: %w", err))
	}
	p := newProgress(e.stderr)
	defer p.clear()
	sent, err := simulate.Send(e.ctx, simulate.SendConfig{
		Bundle: bundle, File: f, Values: v, People: c.People, Seed: c.Seed, Clock: e.clock, Forward: e.clock.Until, Progress: p.show,
	})
	p.clear()
	switch {
	case errors.Is(err, context.Canceled):
		return errors.New("interrupted: what was sent stays at the servers, and is marked as a rehearsal")
	case err != nil:
		return setup(err)
	}
	if c.JSON {
		j := json.NewEncoder(e.stdout)
		j.SetIndent("", "  ")
		return j.Encode(map[string]any{"rehearsal": true, "people": c.People, "sent": sent})
	}
	for _, s := range sent {
		fmt.Fprintf(e.stdout, "%s: %d reports of the epoch from %s; in truth", s.Metric, s.Reports, s.Epoch.Format("2006-01-02 15:04"))
		for _, k := range s.Truth[:min(10, len(s.Truth))] {
			fmt.Fprintf(e.stdout, "  %s: %.6g", release.Visible(k.Label), k.True)
		}
		fmt.Fprintln(e.stdout)
	}
	fmt.Fprintln(e.stdout, "The epochs are closed. The servers release the results within minutes, marked as rehearsals: see the console, or shoal export.")
	return nil
}

// unanswered is the error of questions without an answer.
func unanswered(all []*simulate.Answer) error {
	var without []string
	for _, a := range all {
		if !a.Released {
			without = append(without, fmt.Sprintf("%s: %s", a.Metric, a.Reason))
		}
	}
	if len(without) == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d questions have no answer: %s", len(without), len(all), strings.Join(without, "; "))
}

// temporary returns the named folder, which must not exist yet, or else a
// temporary one, and a function that cleans up.
func temporary(name, pattern string) (string, func(), error) {
	if name == "" {
		dir, err := os.MkdirTemp("", pattern)
		return dir, func() { os.RemoveAll(dir) }, err
	}
	if err := os.Mkdir(name, 0o700); err != nil {
		return "", nil, fmt.Errorf("making the folder: %w (name one that does not exist)", err)
	}
	return name, func() {}, nil
}
