package simulation

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/leader"
)

// Run plays a setting to its end. An error is a broken invariant, or a failure
// that no fault accounts for; its text holds the setting and what happened.
func Run(ctx context.Context, s Setting) (Stats, error) {
	w, err := newWorld(ctx, s)
	if err != nil {
		return Stats{}, fmt.Errorf("%v: %w", s, err)
	}
	if err := w.play(); err != nil {
		return w.stats, fmt.Errorf("%v: %w\n%s", s, err, strings.Join(w.log, "\n"))
	}
	return w.stats, nil
}

func (w *world) play() error {
	for w.step = range w.setting.Steps {
		if err := w.event(); err != nil {
			return fmt.Errorf("step %d: %w", w.step, err)
		}
		if w.broken != nil {
			return fmt.Errorf("step %d: %w", w.step, w.broken)
		}
	}
	w.stats.Steps = w.setting.Steps
	if err := w.settle(); err != nil {
		return fmt.Errorf("at the end: %w", err)
	}
	if w.broken != nil {
		return fmt.Errorf("at the end: %w", w.broken)
	}
	return nil
}

// An event is something that can happen, so often compared with the others.
type event struct {
	weight int
	name   string
	happen func(w *world) error
}

var events = []event{
	{30, "upload", (*world).uploadNew},
	{6, "upload again", (*world).uploadAgain},
	{8, "hostile upload", (*world).uploadFlawed},
	{24, "leader works", func(w *world) error { return w.work(w.leaders[w.random.IntN(len(w.leaders))]) }},
	{14, "helper works", func(w *world) error { return w.work(w.helpers[w.random.IntN(len(w.helpers))]) }},
	{14, "time passes", (*world).pass},
	{1, "helper away", (*world).leave},
	{1, "token renewed", (*world).renew},
	{1, "second process", (*world).impostor},
	{1, "disk lost", (*world).loseDisk},
	{10, "collect", func(w *world) error { return w.ask(w.query()) }},
	{16, "poll", (*world).pollSome},
	{2, "delete collection", (*world).removeSome},
	{6, "late packet", func(w *world) error { w.net.late(); return nil }},
	{6, "replay", (*world).replay},
}

// event lets one thing happen.
func (w *world) event() error {
	if err := w.faults(); err != nil {
		return err
	}
	total := 0
	for _, e := range events {
		total += e.weight
	}
	n := w.random.IntN(total)
	for _, e := range events {
		if n -= e.weight; n < 0 {
			w.note("%d %s: %s", w.step, w.clock.Now().Format("15:04:05"), e.name)
			return e.happen(w)
		}
	}
	return nil
}

// faults lets aggregators crash and come back.
func (w *world) faults() error {
	for _, n := range w.nodes() {
		if w.chance(w.setting.Crash) && !n.down() {
			w.note("  %v will crash", n)
			n.crashSoon(w.random)
		}
		if n.down() && w.random.IntN(3) == 0 {
			if err := w.restart(n); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *world) restart(n node) error {
	if l, ok := n.(*leaderNode); ok && l.lost {
		if err := w.dropLost(l); err != nil || l.lost {
			return err
		}
	}
	w.note("  %v restarts", n)
	w.stats.Restarts++
	before := w.disturbed
	if err := n.restart(w.ctx); err != nil {
		w.note("  %v: %v", n, err)
		if w.disturbed == before && !errors.Is(err, leader.ErrHeld) {
			w.breaks("restarting %v: %v", n, err)
		}
	}
	return nil
}

func (w *world) uploadNew() error {
	var batch []*report
	for range 1 + w.random.IntN(4) {
		r, err := w.makeReport("")
		if err != nil {
			return err
		}
		if r != nil {
			batch = append(batch, r)
		}
	}
	if len(batch) == 0 {
		return nil
	}
	return w.upload(batch...)
}

func (w *world) uploadAgain() error {
	if len(w.reports) == 0 {
		return nil
	}
	return w.upload(w.reports[w.random.IntN(len(w.reports))])
}

func (w *world) uploadFlawed() error {
	r, err := w.makeReport(flaws[w.random.IntN(len(flaws))])
	if err != nil || r == nil {
		return err
	}
	w.stats.Hostile++
	w.note("  %d: %s", r.bucket, r.flaw)
	return w.upload(r)
}

// work lets a node do what is due. Errors are expected: of a network or a process
// that fails. That nothing is lost by them is seen in the end.
func (w *world) work(n node) error {
	if n.down() {
		return nil
	}
	if err := n.tick(w.ctx); err != nil {
		w.note("  %v: %v", n, err)
		if errors.Is(err, leader.ErrFenced) { // it reports this, and its operator restarts it
			return w.restart(n)
		}
	}
	return nil
}

// others lets the other processes of a role work, while one waits.
func (w *world) others(waiting node) {
	role, _, _ := strings.Cut(waiting.String(), " ")
	for _, n := range w.nodes() {
		if n != waiting && strings.HasPrefix(n.String(), role) {
			_ = w.work(n)
		}
	}
}

func (w *world) pass() error {
	d := time.Duration(1+w.random.IntN(60)) * time.Second
	if w.random.IntN(2) == 0 {
		d = time.Duration(1+w.random.IntN(90)) * time.Minute
	}
	w.advance(d)
	return nil
}

// advance moves the clock, while all processes that are up do what they always do.
func (w *world) advance(d time.Duration) {
	for d > 0 {
		step := min(d, refreshEvery)
		w.clock.Advance(step)
		d -= step
		for _, n := range w.nodes() {
			if !n.down() {
				_ = n.refresh(w.ctx) // its store never fails
			}
		}
	}
}

func (w *world) pollSome() error {
	if len(w.collections) == 0 {
		return nil
	}
	c := w.collections[w.random.IntN(len(w.collections))]
	if c.url == "" && c.problem == "" {
		return w.create(c)
	}
	return w.poll(c)
}

func (w *world) removeSome() error {
	if len(w.collections) == 0 {
		return nil
	}
	return w.remove(w.collections[w.random.IntN(len(w.collections))])
}

// replay delivers a request once more that was delivered before. If it was
// answered then, it changes nothing.
func (w *world) replay() error {
	if len(w.net.sent) == 0 {
		return nil
	}
	p := w.net.sent[w.random.IntN(len(w.net.sent))]
	if p.method == "DELETE" {
		return nil // it ends what others still use
	}
	w.stats.Replays++
	w.note("  %v", p)
	before, known := w.snapshot()
	_, answered := w.repeats[repeatKey(p)]
	_, _ = w.net.deliver(p)
	after, still := w.snapshot()
	if known && still && answered && before != after {
		w.breaks("repeating %v has changed the helper's ledger", p)
	}
	return nil
}

// snapshot describes the helper's ledger, if it can be read.
func (w *world) snapshot() (string, bool) {
	n := w.anyHelper()
	if n == nil {
		return "", false
	}
	var b strings.Builder
	for _, s := range w.selectors() {
		total, collected, err := w.total(n, s)
		if err != nil {
			return "", false
		}
		fmt.Fprintf(&b, "%v %d %x %v\n", s, total.Count, total.Checksum, collected)
	}
	return b.String(), true
}

// total returns what a node has in a batch.
func (w *world) total(n node, s dap.BatchSelector) (*dap.Total, bool, error) {
	w.looking++
	defer func() { w.looking-- }()
	taskLedger, err := n.allLedgers().Open(w.ctx, w.task, w.setting.Expiry)
	if err != nil {
		return nil, false, err
	}
	return taskLedger.Batch(w.ctx, s)
}

// anyHelper returns a helper that is up, nil if none is.
func (w *world) anyHelper() node {
	for _, n := range w.helpers {
		if !n.down() {
			return n
		}
	}
	return nil
}
