package demo

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/metric"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/server"
)

// Config says what to play.
type Config struct {
	Input Input
	Dir   string    // of all organisations; made if missing
	Start time.Time // the virtual clock's first reading; the epoch begins soon after
	Rand  io.Reader // keys, randomisation, send times

	// Console makes the handler of the analyzer's console; nil for none.
	Console func(*server.Server) (http.Handler, error)
	// ConsoleAddr is where the console listens; "" for any free loopback port.
	ConsoleAddr string
	// Progress is told how far a stage is; total 0 means unknown.
	Progress func(stage string, done, total int)
	Logger   *slog.Logger
}

// A Stage is the set-up: two organisations that run, and a signed question.
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

	stop context.CancelFunc
	done *errgroup.Group
}

// Set builds the stage: keys and configuration of two organisations, the signed
// task, and their servers, which serve until Close.
func Set(ctx context.Context, c Config) (*Stage, error) {
	if c.Progress == nil {
		c.Progress = func(string, int, int) {}
	}
	start := c.Start.UTC().Truncate(time.Hour).Add(time.Hour)
	s := &Stage{config: c, clock: clock.NewVirtual(start)}
	c.Progress("setting up two organisations", 0, 0)
	if err := s.build(ctx, start); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// An organisation on the stage, before its server runs.
type organisation struct {
	dir      string
	listener net.Listener
	config   string // file name
	identity string
}

func (o organisation) url() string { return "http://" + o.listener.Addr().String() }

func (s *Stage) build(ctx context.Context, start time.Time) error {
	owner, err := task.GenerateIdentityKey(s.config.Rand)
	if err != nil {
		return err
	}
	s.owner = task.FormatPublic(owner.Public())
	s.sums = s.config.Input.sums()
	ours, theirs := []server.RoleName{server.ShufflerRole}, []server.RoleName{server.AnalyzerRole}
	if s.sums != nil {
		ours, theirs = append(ours, server.HelperRole), append(theirs, server.LeaderRole, server.CollectorRole)
	}
	a, err := s.found("shuffler-org", "Shuffling Society", start, ours...)
	if err != nil {
		return err
	}
	b, err := s.found("analyzer-org", "Example Metrics", start, theirs...)
	if err != nil {
		return errors.Join(err, a.listener.Close())
	}
	if err := s.pair(a, b, start); err != nil {
		return errors.Join(err, a.listener.Close(), b.listener.Close())
	}
	if err := s.ask(a, b, owner, start); err != nil {
		return errors.Join(err, a.listener.Close(), b.listener.Close())
	}
	ctx, s.stop = context.WithCancel(ctx)
	s.done, ctx = errgroup.WithContext(ctx)
	if s.shuffler, err = s.serve(ctx, a, nil); err != nil {
		return errors.Join(err, b.listener.Close())
	}
	s.analyzer, err = s.serve(ctx, b, s.config.Console)
	return err
}

// found initialises an organisation on a free loopback port.
func (s *Stage) found(folder, name string, now time.Time, roles ...server.RoleName) (organisation, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return organisation{}, fmt.Errorf("finding a port for %s: %w", name, err)
	}
	o := organisation{dir: filepath.Join(s.config.Dir, folder), listener: l}
	o.config, o.identity, err = server.Init(o.dir, server.Organisation{
		Name: name, Roles: roles, URL: o.url(), Listen: l.Addr().String(), Owners: []string{s.owner},
	}, now, s.config.Rand)
	if err != nil {
		return organisation{}, errors.Join(err, l.Close())
	}
	return o, nil
}

// ask compiles and signs the question, and gives it to both organisations.
func (s *Stage) ask(a, b organisation, owner task.IdentityKey, start time.Time) error {
	expires := start.AddDate(0, 0, 90).Format(time.DateOnly)
	parties := fmt.Sprintf("parties:\n  shufflers:\n    - {url: %q, identity: %q}\n  analyzer: {url: %q, identity: %q}\n", a.url(), a.identity, b.url(), b.identity)
	if s.sums != nil {
		c, _, err := card(b, start)
		if err != nil {
			return err
		}
		parties += fmt.Sprintf("  leader: {url: %q, identity: %q}\n  helper: {url: %q, identity: %q}\n  collector: {identity: %q}\n",
			b.url(), b.identity, a.url(), a.identity, c.Collector)
	}
	text := "version: 1\nowner: Example Apps\n" + parties + "metrics:" +
		fmt.Sprintf(s.config.Input.YAML, expires) + s.sums.yaml(len(s.config.Input.Who), expires)
	read := metric.Read
	if s.config.Input.Simulated {
		read = metric.ReadSimulated
	}
	file, err := read("metrics.yaml", []byte(text), start)
	if err != nil {
		return fmt.Errorf("the demo's question: %w", err)
	}
	bundle, err := file.Build(nil, owner, start)
	if err != nil {
		return fmt.Errorf("the demo's question: %w", err)
	}
	if s.bundle, err = bundle.Encode(); err != nil {
		return fmt.Errorf("the demo's question: %w", err)
	}
	opened, err := bundle.Open([]ed25519.PublicKey{owner.Public()})
	if err != nil {
		return err
	}
	s.file = file
	for _, o := range opened {
		if o.Task.Method == task.Aggregate {
			s.aggregates = append(s.aggregates, o.Task)
			continue
		}
		s.task, s.id = o.Task, o.ID
	}
	for _, o := range []organisation{a, b} {
		if err := os.WriteFile(filepath.Join(o.dir, "tasks.shoal"), s.bundle, 0o600); err != nil {
			return fmt.Errorf("the demo's question: %w", err)
		}
	}
	return os.WriteFile(filepath.Join(s.config.Dir, "metrics.yaml"), []byte(text), 0o600)
}

// serve starts an organisation's server on its listener.
func (s *Stage) serve(ctx context.Context, o organisation, console func(*server.Server) (http.Handler, error)) (*server.Server, error) {
	c, err := server.Load(o.config)
	if err != nil {
		return nil, errors.Join(err, o.listener.Close())
	}
	c.Tasks.Bundles = []string{filepath.Join(o.dir, "tasks.shoal")}
	c.Ops.Listen = "127.0.0.1:0"
	c.Console.Listen = server.Off
	if console != nil {
		c.Console.Listen = s.config.ConsoleAddr
		if c.Console.Listen == "" {
			c.Console.Listen = "127.0.0.1:0"
		}
	}
	public := o.listener
	srv, err := server.New(ctx, c, server.Options{
		Clock: s.clock, Rand: s.config.Rand, Logger: s.config.Logger, Manual: true, Console: console,
		Listen: func(network, address string) (net.Listener, error) {
			if address == public.Addr().String() {
				return public, nil
			}
			return net.Listen(network, address)
		},
	})
	if err != nil {
		return nil, errors.Join(err, public.Close())
	}
	s.done.Go(func() error { return srv.Run(ctx) })
	return srv, nil
}

// ConsoleURL returns where the console is, or "".
func (s *Stage) ConsoleURL() string {
	if addr := s.analyzer.Addr("console"); addr != "" {
		return "http://" + addr + "/"
	}
	return ""
}

// Close stops the servers.
func (s *Stage) Close() error {
	if s.stop == nil {
		return nil
	}
	s.stop()
	return s.done.Wait()
}
