package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/interop"
	"github.com/shoal-project/shoal/internal/dap/interop/golden"
)

// matrixCmd runs trials between implementations: each pairing of parties in each
// VDAF setting and batch mode.
type matrixCmd struct {
	Only        string        `placeholder:"GLOB" help:"Pairings to run, client-collector-leader-helper with -async at the end where the helper answers later: 'janus-*', 'ours-ours-ours-janus-async'."`
	Record      string        `placeholder:"DIR" help:"Write the exchanges of each trial to files here."`
	Source      string        `help:"What the files say about the other implementation: name, version, licence."`
	Jobs        int           `default:"6" help:"Trials at once (${default})."`
	CaseTimeout time.Duration `default:"2m" help:"Time for one trial (${default})."`
	Timeout     time.Duration `default:"45m" help:"Time for everything (${default})."`

	Janus janusFlags `embed:"" prefix:"janus-"`
}

// run prints the table, and fails if a trial has failed.
func (c *matrixCmd) run(ctx context.Context, stdout, stderr io.Writer) (err error) {
	if _, err := path.Match(c.Only, ""); err != nil {
		return fmt.Errorf("--only %q: %w", c.Only, err)
	}
	if c.Jobs < 1 {
		return fmt.Errorf("--jobs %d, want at least 1", c.Jobs)
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	dir, err := os.MkdirTemp("", "dap-interop")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	m := &matrix{cmd: c, parties: map[string]interop.Party{}, recorders: map[string]*golden.Recorder{}, stderr: stderr}
	defer func() { err = errors.Join(err, m.stop()) }()
	if err := m.startOurs(ctx, dir); err != nil {
		return err
	}
	kinds := []string{golden.Ours}
	if c.Janus.given() {
		if err := m.startJanus(ctx, dir); err != nil {
			return err
		}
		kinds = append(kinds, golden.Janus)
	} else {
		fmt.Fprintln(stderr, "dap-interop: no programs of Janus are given: only our own parties are run")
	}
	return m.rows(ctx, kinds, stdout)
}

// A matrix is a run with its parties, by implementation and part.
type matrix struct {
	cmd       *matrixCmd
	parties   map[string]interop.Party
	recorders map[string]*golden.Recorder // of aggregators
	stderr    io.Writer

	collector      *interop.Collector
	leader, helper *interop.Aggregator // ours
	later          *interop.Aggregator // our helper that answers later
	janus          *janus              // nil without

	closers []func() error // in reverse order
}

func (m *matrix) stop() error {
	var errs []error
	for i := len(m.closers) - 1; i >= 0; i-- {
		errs = append(errs, m.closers[i]())
	}
	return errors.Join(errs...)
}

// startOurs starts our parties in this process.
func (m *matrix) startOurs(ctx context.Context, dir string) error {
	v := dap.Janus()
	client, err := m.listen(interop.NewClient(v, nil))
	if err != nil {
		return err
	}
	m.collector = interop.NewCollector(v, nil)
	collector, err := m.listen(m.collector)
	if err != nil {
		return err
	}
	m.parties["ours client"], m.parties["ours collector"] = interop.Party{API: client}, interop.Party{API: collector}
	for _, part := range []struct {
		name  string
		role  dap.Role
		async bool
		of    **interop.Aggregator
	}{
		{"ours leader", dap.Leader, false, &m.leader}, {"ours helper", dap.Helper, false, &m.helper}, {"ours helper async", dap.Helper, true, &m.later},
	} {
		cmd := aggregatorCmd{Dir: filepath.Join(dir, part.name), Async: part.async}
		a, closer, err := cmd.open(ctx, v)
		if err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
		m.closers = append(m.closers, closer)
		m.background(ctx, func(ctx context.Context) error {
			return a.Run(ctx, func(err error) { fmt.Fprintf(m.stderr, "dap-interop: %s: %v\n", part.name, err) })
		})
		*part.of = a
		api, err := m.listen(a.Handler())
		if err != nil {
			return err
		}
		if err := m.record(part.name, part.role, api, "/"+part.role.String()+"/"); err != nil {
			return err
		}
	}
	return nil
}

// background runs something until the matrix stops.
func (m *matrix) background(ctx context.Context, do func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // closers end it
	done := make(chan error, 1)
	go func() { done <- do(ctx) }()
	m.closers = append(m.closers, func() error {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			return err
		}
		return nil
	})
}

// listen serves h on an address of the loopback interface until the matrix stops.
func (m *matrix) listen(h http.Handler) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.Serve(l) }() // ends when it is closed
	m.closers = append(m.closers, s.Close)
	return "http://" + l.Addr().String(), nil
}

// record puts a recorder before an aggregator.
func (m *matrix) record(name string, role dap.Role, api, prefix string) error {
	r := golden.NewRecorder(role, api, prefix)
	at, err := m.listen(r)
	if err != nil {
		return err
	}
	m.parties[name], m.recorders[name] = interop.Party{API: api, DAP: at}, r
	return nil
}

// rows runs every pairing and prints its row.
func (m *matrix) rows(ctx context.Context, kinds []string, stdout io.Writer) error {
	fmt.Fprintln(stdout, "| client | collector | leader | helper | passed | seconds |\n|---|---|---|---|--:|--:|")
	var failed []error
	for _, p := range pairings(kinds) {
		if ok, _ := path.Match(m.cmd.Only, p.String()); m.cmd.Only != "" && !ok {
			continue
		}
		began := time.Now()
		errs, n := m.row(ctx, p)
		helper := p.Helper
		if p.Async {
			helper += ", async"
		}
		fmt.Fprintf(stdout, "| %s | %s | %s | %s | %d/%d | %.0f |\n", p.Client, p.Collector, p.Leader, helper, n-len(errs), n, time.Since(began).Seconds())
		failed = append(failed, errs...)
		if ctx.Err() != nil {
			failed = append(failed, fmt.Errorf("ended early: %w", ctx.Err()))
			break
		}
	}
	return errors.Join(failed...)
}

// pairings are all combinations, with both kinds of helper.
func pairings(kinds []string) []golden.Pairing {
	var all []golden.Pairing
	for _, leader := range kinds {
		for _, helper := range kinds {
			for _, client := range kinds {
				for _, collector := range kinds {
					for _, async := range []bool{false, true} {
						all = append(all, golden.Pairing{Client: client, Collector: collector, Leader: leader, Helper: helper, Async: async})
					}
				}
			}
		}
	}
	return all
}

// row runs the trials of one pairing. It returns the failures and how many trials
// there were.
func (m *matrix) row(ctx context.Context, p golden.Pairing) ([]error, int) {
	var g errgroup.Group
	g.SetLimit(m.cmd.Jobs)
	var mu sync.Mutex
	var failed []error
	n := 0
	for _, setting := range interop.Settings() {
		for _, mode := range []dap.BatchMode{dap.TimeIntervalMode, dap.LeaderSelectedMode} {
			n++
			g.Go(func() error {
				if err := m.trial(ctx, p, setting, mode); err != nil {
					mu.Lock()
					defer mu.Unlock()
					failed = append(failed, fmt.Errorf("%v, %s, %v: %w", p, setting.Name, mode, err))
				}
				return nil
			})
		}
	}
	_ = g.Wait() // the failures are in failed
	return failed, n
}

// trial runs one trial and writes its record.
func (m *matrix) trial(ctx context.Context, p golden.Pairing, setting interop.Setting, mode dap.BatchMode) error {
	ctx, cancel := context.WithTimeout(ctx, m.cmd.CaseTimeout)
	defer cancel()
	helper := p.Helper + " helper"
	if p.Async && p.Helper == golden.Ours {
		helper += " async"
	}
	t := interop.Trial{
		Client: m.parties[p.Client+" client"], Collector: m.parties[p.Collector+" collector"],
		Leader: m.parties[p.Leader+" leader"], Helper: m.parties[helper], Setting: setting, Mode: mode,
	}
	if p.Async && p.Helper == golden.Janus {
		t.Added = m.janus.answerLater
	}
	o, err := t.Run(ctx)
	var exchanges []golden.Exchange
	if o.Task != nil {
		id, _ := o.Task["task_id"].(string)
		exchanges = append(m.recorders[p.Leader+" leader"].Take(id), m.recorders[helper].Take(id)...)
	}
	if err != nil || m.cmd.Record == "" {
		return err
	}
	return m.write(p, setting, mode, o, exchanges)
}
