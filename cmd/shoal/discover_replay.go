package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/bridge"
	"github.com/shoal-project/shoal/internal/discovery/fetch"
	"github.com/shoal-project/shoal/internal/discovery/lifecycle"
	"github.com/shoal-project/shoal/internal/discovery/message"
)

// discoverReplayCmd gives recorded events to an engine.
type discoverReplayCmd struct {
	searchRules

	File    string        `arg:"" help:"Events, one a line of JSON (docs/spec/discovery.md); - for standard input."`
	Offline bool          `help:"Fetch nothing: every fetch fails as without a network."`
	Pause   time.Duration `default:"1s" help:"At least, between two fetches (${default})."`
	All     bool          `help:"Print every decision, not only what came of it."`
	JSON    bool          `name:"json" help:"Print decisions and messages as lines of JSON."`

	DryRun bool   `default:"true" negatable:"" help:"Put no message into an outbox (this is what happens unless --no-dry-run is given)."`
	Outbox string `type:"path" placeholder:"DIR" help:"With --no-dry-run: the outbox, which \"shoal outbox\" shows and \"shoal agent\" empties."`
	Tasks  string `type:"path" placeholder:"FILE" help:"With --no-dry-run: the signed tasks, of which those that are named as messages are answered."`
	Owner  string `placeholder:"ed25519:..." help:"With --no-dry-run: whose tasks they must be."`

	Admission string `placeholder:"CODE" help:"With --no-dry-run: what is shown for credentials, such as an invitation code; the outbox keeps it."`
}

// Help is printed by "shoal discover replay --help".
func (*discoverReplayCmd) Help() string {
	return `Time is that of the events: what the engine would do an hour later it does at once.
Pages are fetched for real, from this machine, as the engine does: without cookies,
following no redirect, from public addresses only. The operators of the sites see that.

Messages are answers to the tasks that are named as they are: page, query. Such a task
must have a relay, credentials and a hardened quorum, unless all of its parties are on
this machine. "shoal agent --dir DIR" sends what waits in the outbox.

Examples:
  shoal discover replay events.jsonl
  shoal discover replay events.jsonl --offline --all
  shoal discover replay events.jsonl --no-dry-run --outbox ./box --tasks tasks.bundle --owner ed25519:...`
}

// latest is how long after the last event the engine goes on.
const latest = 8 * 24 * time.Hour

// Run replays.
func (c *discoverReplayCmd) Run(e *env) error {
	rules, err := discovery.NewRules()
	if err != nil {
		return err
	}
	b, err := c.searchRules.open(e)
	if err != nil {
		return err
	}
	fetcher, err := c.fetcher(e)
	if err != nil {
		return setup(err)
	}
	box, err := c.sink(e)
	if err != nil {
		return err
	}
	sanitizer, err := message.NewSanitizer(message.Config{Rules: rules, Bundle: b})
	if err != nil {
		return err
	}
	out := &replayed{w: e.stdout, json: c.JSON, all: c.All, box: box, reasons: make(map[string]int)}
	engine, err := lifecycle.New(e.ctx, lifecycle.Config{
		Rules: rules, Bundle: b, Fetcher: fetcher, Sanitizer: sanitizer, Clock: e.clock, Rand: e.rand,
		Emit: out.emit, Explain: out.explain, Purge: box.purge,
	})
	if err != nil {
		return errors.Join(err, box.close())
	}
	err = c.play(e, engine, out)
	if err == nil {
		err = out.summary(engine.Stats())
	}
	return errors.Join(err, box.close())
}

// fetcher returns what asks the network: with a pause between requests.
func (c *discoverReplayCmd) fetcher(e *env) (discovery.Fetcher, error) {
	if c.Offline {
		return offline{}, nil
	}
	inner := e.fetcher
	if inner == nil {
		var err error
		if inner, err = fetch.New(fetch.Options{}); err != nil {
			return nil, err
		}
	}
	return &paced{inner: inner, env: e, pause: c.Pause}, nil
}

type offline struct{}

func (offline) Fetch(context.Context, discovery.URL) (discovery.Response, error) {
	return discovery.Response{}, errors.New("fetching: offline")
}

// paced keeps a pause between two requests.
type paced struct {
	inner discovery.Fetcher
	env   *env
	pause time.Duration
	last  time.Time
}

func (p *paced) Fetch(ctx context.Context, u discovery.URL) (discovery.Response, error) {
	if !p.last.IsZero() {
		if err := p.env.clock.Until(ctx, p.last.Add(p.pause)); err != nil {
			return discovery.Response{}, err
		}
	}
	r, err := p.inner.Fetch(ctx, u)
	p.last = p.env.clock.Now()
	return r, err
}

// play gives the events to the engine, with a tick every minute of their time
// while something waits.
func (c *discoverReplayCmd) play(e *env, engine *lifecycle.Engine, out *replayed) error {
	file := io.NopCloser(os.Stdin)
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return setup(fmt.Errorf("reading events: %w", err))
		}
		file = f
	}
	defer file.Close()
	var now time.Time
	ticks := func(until time.Time) error {
		idle := now.Add(30 * time.Minute) // by then every visit is over
		for (now.Before(idle) || engine.Stats().Pending > 0) && now.Add(time.Minute).Before(until) {
			now = now.Add(time.Minute)
			if err := engine.Handle(e.ctx, lifecycle.Event{At: now, Kind: lifecycle.Tick}); err != nil {
				return err
			}
			if err := e.ctx.Err(); err != nil {
				return errors.New("interrupted")
			}
		}
		now = until
		return nil
	}
	lines := bufio.NewScanner(file)
	lines.Buffer(make([]byte, 0, 64<<10), lifecycle.MaxEvent+1)
	for n := 1; lines.Scan(); n++ {
		if strings.TrimSpace(lines.Text()) == "" {
			continue
		}
		ev, err := lifecycle.ParseEvent(lines.Bytes())
		if err == nil && ev.At.Before(now) {
			err = errors.New("it happens before the event above it")
		}
		if err != nil {
			return setup(fmt.Errorf("%s:%d: %w", c.File, n, err))
		}
		if !now.IsZero() {
			if err := ticks(ev.At); err != nil {
				return err
			}
		}
		now = ev.At
		out.events++
		if err := engine.Handle(e.ctx, ev); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return setup(fmt.Errorf("reading events: %w", err))
	}
	if now.IsZero() { // a recording without events
		return nil
	}
	return ticks(now.Add(latest))
}

// replayed prints what comes out.
type replayed struct {
	w         io.Writer
	json, all bool
	box       *sink
	events    int
	reasons   map[string]int
}

func (r *replayed) emit(m message.Record) error {
	line, err := m.JSON()
	if err != nil {
		return err
	}
	if r.json {
		fmt.Fprintf(r.w, "{\"message\":%s}\n", line)
	} else {
		fmt.Fprintf(r.w, "message   %s\n", line)
	}
	return r.box.put(m)
}

func (r *replayed) explain(t lifecycle.Trace) {
	reason := t.Reason
	if t.Decision.Rule != discovery.RuleNone {
		reason = strings.TrimSuffix(fmt.Sprintf("%s: %s", t.Decision.Rule, t.Decision.Why().Found), ": ")
	}
	against := slices.Contains([]lifecycle.Outcome{lifecycle.Ignored, lifecycle.Refused, lifecycle.Withheld, lifecycle.Dropped}, t.Outcome)
	if against {
		name := t.Reason
		if t.Decision.Rule != discovery.RuleNone {
			name = string(t.Decision.Rule)
		}
		r.reasons[name]++
	}
	switch {
	case r.json:
		fmt.Fprintf(r.w, "{\"decision\":%s}\n", bridge.TraceLine(t))
	case r.all || against || t.Outcome == lifecycle.Found:
		fmt.Fprintf(r.w, "%-9s %s\n", t.Outcome, t.URL)
		if reason != "" {
			fmt.Fprintf(r.w, "          %s: %s\n", t.Stage, reason)
		}
	}
}

func (r *replayed) summary(s lifecycle.Stats) error {
	if r.json {
		return nil
	}
	fmt.Fprintf(r.w, "\n%d events: %d pages and %d searches shown, %d fetches (%d for links, %d for shorter addresses), %d pages public, %d messages",
		r.events, s.Navigations, s.Searches, s.Fetches, s.FetchesEvidence, s.FetchesShorter, s.Public, s.Told)
	if s.Pending > 0 {
		fmt.Fprintf(r.w, "; %d still wait", s.Pending)
	}
	fmt.Fprintln(r.w)
	if len(r.reasons) > 0 {
		fmt.Fprintln(r.w, "\nwhy something was not told")
		table := tabwriter.NewWriter(r.w, 2, 0, 2, ' ', 0)
		var names []string
		for name := range r.reasons {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			fmt.Fprintf(table, "  %d\t%s\n", r.reasons[name], name)
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(r.w, "\n"+r.box.String())
	return err
}
