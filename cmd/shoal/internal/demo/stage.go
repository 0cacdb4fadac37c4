package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/shoal-project/shoal/cmd/shoal/internal/parties"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/server"
	"github.com/shoal-project/shoal/metric"
	"github.com/shoal-project/shoal/metric/task"
)

// Config selects what to play.
type Config struct {
	Input Input
	Dir   string    // of all organisations; made if missing
	Start time.Time // the virtual clock's first reading; the epoch begins soon after
	Rand  io.Reader // keys, randomisation, send times

	// Console makes the handler of the analyzer's console; nil for none.
	Console func(*server.Server) (http.Handler, error)
	// ConsoleAddr is where the console listens; "" for any free loopback port.
	ConsoleAddr string
	// Progress is called with how far a stage is; total 0 means unknown.
	Progress func(stage string, done, total int)
	Logger   *slog.Logger
}

// A Stage is the set-up: three organisations that run, and a signed question.
type Stage struct {
	config   Config
	clock    *clock.Virtual
	shuffler *server.Server
	analyzer *server.Server

	owner  string
	bundle []byte
	file   *metric.File
	task   *task.Task
	id     task.ID

	sums       *sums        // the aggregate questions; nil if there are none
	aggregates []*task.Task // their tasks

	parties *parties.Parties
	opened  []task.Opened
	start   time.Time    // of the virtual clock
	ticked  time.Time    // when servers last worked
	devices []netip.Addr // of people, in their order; nil if they have one
}

// Set builds the stage: keys and configuration of three organisations, the signed
// task, and their servers, which serve until Close.
func Set(ctx context.Context, c Config) (*Stage, error) {
	if c.Progress == nil {
		c.Progress = func(string, int, int) {}
	}
	start := c.Start.UTC().Truncate(time.Hour).Add(time.Hour)
	if c.Input.Protected {
		start = settled(c.Start)
	}
	s := &Stage{config: c, sums: c.Input.sums()}
	c.Progress("setting up three organisations", 0, 0)
	if err := s.build(ctx, start); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Stage) build(ctx context.Context, start time.Time) error {
	p, err := parties.Start(ctx, parties.Config{
		Dir: s.config.Dir, Start: start, Rand: s.config.Rand, Shufflers: 1, Aggregates: s.sums != nil, Relay: true, Record: true, Protected: s.config.Input.Protected,
		Questions: func(named []task.Party) (*metric.File, error) { return s.ask(named, start) },
		Console:   s.config.Console, ConsoleAddr: s.config.ConsoleAddr, Logger: s.config.Logger,
	})
	if err != nil {
		return err
	}
	s.parties, s.clock, s.owner, s.bundle = p, p.Clock, p.Owner, p.Bundle
	s.shuffler, s.analyzer = p.First(), p.Results()
	s.start = start
	s.opened, s.devices = p.Opened, addresses(len(s.config.Input.Who))
	for _, o := range p.Opened {
		if o.Task.Method == task.Aggregate {
			s.aggregates = append(s.aggregates, o.Task)
			continue
		}
		s.task, s.id = o.Task, o.ID
	}
	return nil
}

// ask writes the questions for the parties that they name.
func (s *Stage) ask(named []task.Party, start time.Time) (*metric.File, error) {
	expires := start.AddDate(0, 0, 90).Format(time.DateOnly)
	text := "version: 1\nowner: Example Apps\n" + partiesYAML(named) + "metrics:" +
		fmt.Sprintf(s.config.Input.YAML, expires) + s.sums.yaml(len(s.config.Input.Who), expires)
	read := metric.Read
	if s.config.Input.Simulated {
		read = metric.ReadSimulated
	}
	var err error
	if s.file, err = read("metrics.yaml", []byte(text), start); err != nil {
		return nil, fmt.Errorf("the demo's question: %w", err)
	}
	return s.file, os.WriteFile(filepath.Join(s.config.Dir, "metrics.yaml"), []byte(text), 0o600)
}

// partiesYAML names the parties in a file of questions.
func partiesYAML(named []task.Party) string {
	text := "parties:\n"
	for _, p := range named {
		key := task.FormatPublic(p.Identity)
		switch p.Role {
		case task.Shuffler:
			text += fmt.Sprintf("  shufflers:\n    - {url: %q, identity: %q}\n", p.URL, key)
		case task.Collector:
			text += fmt.Sprintf("  collector: {identity: %q}\n", key)
		default:
			text += fmt.Sprintf("  %v: {url: %q, identity: %q}\n", p.Role, p.URL, key)
		}
	}
	return text
}

// Ask plays a question through organisations of its own, and stops them.
func Ask(ctx context.Context, c Config) (*Result, error) {
	c.Console, c.ConsoleAddr = nil, ""
	s, err := Set(ctx, c)
	if err != nil {
		return nil, err
	}
	r, err := s.Play(ctx)
	return r, errors.Join(err, s.Close())
}

// ConsoleURL returns where the console is, or "".
func (s *Stage) ConsoleURL() string { return s.parties.ConsoleURL() }

// Close stops the servers.
func (s *Stage) Close() error {
	if s.parties == nil {
		return nil
	}
	return s.parties.Close()
}
