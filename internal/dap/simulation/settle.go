package simulation

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/leader"
)

// settle heals the network, restarts both aggregators, lets them finish what they
// have, fetches all results, and accounts for every report.
func (w *world) settle() error {
	w.note("the end")
	w.step++
	w.healed = true
	w.absent = absent{}
	if w.random.IntN(2) == 0 { // else the helper never learns the new token
		if err := w.finishRenewal(); err != nil {
			return err
		}
	}
	for _, n := range w.nodes() {
		if n.down() || w.random.IntN(3) == 0 { // what runs on must not need a restart
			if err := w.restart(n); err != nil {
				return err
			}
		} else {
			n.stayUp()
		}
	}
	for n := range 400 {
		w.advance(time.Minute)
		if up, err := w.startAll(); err != nil {
			return err
		} else if !up {
			continue
		}
		// The first time a process may find that a change has happened of which it
		// heard nothing.
		if err := w.withoutLosses(w.tickAll()); err != nil && n > 0 {
			return fmt.Errorf("with a network that works: %w", err)
		}
		if err := w.askAgain(); err != nil {
			return err
		}
		for _, c := range w.collections {
			if err := w.finish(c); err != nil {
				return err
			}
		}
		if slices.ContainsFunc(w.nodes(), node.down) {
			continue // it found its name taken just now, and starts again
		}
		idle, err := w.idle()
		if err != nil {
			return err
		}
		if idle {
			return w.account()
		}
	}
	return errors.New("there is still work after 400 minutes")
}

// startAll starts what is down, and reports whether all is up: a name may be leased
// to a process that is gone.
func (w *world) startAll() (bool, error) {
	up := true
	for _, n := range w.nodes() {
		if n.down() {
			if err := w.restart(n); err != nil {
				return false, err
			}
		}
		up = up && !n.down()
	}
	return up, nil
}

// tickAll lets all processes do what is due.
func (w *world) tickAll() error {
	var errs []error
	for _, n := range w.helpers {
		errs = append(errs, n.tick(w.ctx))
	}
	for _, n := range w.leaders {
		err := n.tick(w.ctx)
		if errors.Is(err, leader.ErrFenced) {
			err = w.restart(n)
		}
		errs = append(errs, err)
	}
	for _, n := range w.helpers {
		errs = append(errs, n.tick(w.ctx))
	}
	return errors.Join(errs...)
}

// withoutLosses returns an error without the lines about reports that have expired,
// as they do in some plans: see [world.accountExpiry].
func (w *world) withoutLosses(err error) error {
	if err == nil || w.setting.Expiry == 0 {
		return err
	}
	for line := range strings.Lines(err.Error()) {
		if !strings.Contains(line, "accepted reports are not counted: "+leader.LostExpired.String()) {
			return err
		}
	}
	return nil
}

// askAgain asks for one more batch where the leader selects batches and chooses the
// IDs of jobs: a request that was repeated after its job had been deleted has made
// another one, which the collector does not know of.
func (w *world) askAgain() error {
	if w.setting.Mode != dap.LeaderSelectedMode || w.setting.Variant.ClientChoosesIDs() {
		return nil
	}
	for _, c := range w.collections {
		if c.result == nil && c.problem == "" && !c.deleted {
			return nil // is asked for already
		}
	}
	return w.ask(dap.NextBatchQuery())
}

// finish fetches a result.
func (w *world) finish(c *collection) error {
	if c.result != nil || c.problem != "" || c.deleted {
		return nil
	}
	if c.url == "" {
		return w.create(c)
	}
	return w.poll(c)
}

// idle reports whether the leader has nothing left that can be done.
func (w *world) idle() (bool, error) {
	jobs, _, err := w.leaders[0].shared.Jobs(w.ctx, w.task.ID())
	if err != nil || jobs > 0 {
		return false, err
	}
	for _, n := range w.leaders {
		status, err := n.leader.Status(w.ctx)
		if err != nil {
			return false, err
		}
		for _, t := range status.Tasks {
			if t.Waiting > 0 {
				return false, nil
			}
		}
	}
	for _, c := range w.collections { // those of batches that are large enough must end
		if c.result != nil || c.problem != "" || c.deleted {
			continue
		}
		s, ok, err := w.selectorOf(c)
		if err != nil {
			return false, err
		}
		if !ok {
			continue
		}
		total, collected, err := w.total(w.leaders[0], s)
		if err != nil {
			return false, err
		}
		if collected || total.Count >= w.setting.MinBatch {
			return false, nil
		}
	}
	return true, nil
}

// selectorOf returns the batch that a collection waits for, if one is there.
func (w *world) selectorOf(c *collection) (dap.BatchSelector, bool, error) {
	if w.setting.Mode == dap.TimeIntervalMode {
		i, err := c.req.Query.Interval()
		return dap.IntervalSelector(i), true, err
	}
	batches, err := w.leaders[0].shared.Batches(w.ctx, w.task.ID())
	if err != nil {
		return dap.BatchSelector{}, false, err
	}
	for _, b := range batches {
		if b.Count >= w.setting.MinBatch {
			return dap.BatchIDSelector(b.ID), true, nil
		}
	}
	return dap.BatchSelector{}, false, nil
}

// selectors returns the smallest batches that reports can be in.
func (w *world) selectors() []dap.BatchSelector {
	var all []dap.BatchSelector
	if w.setting.Mode == dap.TimeIntervalMode {
		var units []dap.Time
		for _, r := range w.reports {
			units = append(units, r.time)
		}
		slices.Sort(units)
		for _, t := range slices.Compact(units) {
			all = append(all, dap.IntervalSelector(t.Bucket()))
		}
		return all
	}
	batches, err := w.leaders[0].shared.Batches(w.ctx, w.task.ID())
	if err != nil {
		w.breaks("reading batches: %v", err)
	}
	for _, b := range batches {
		all = append(all, dap.BatchIDSelector(b.ID))
	}
	return all
}

// account compares what the aggregators have with what the clients have sent.
func (w *world) account() error {
	pending := make(map[int]bool)
	for _, s := range w.selectors() {
		if err := w.open(s, pending); err != nil {
			return err
		}
	}
	if err := w.accountExpiry(); err != nil {
		return err
	}
	for _, r := range w.reports {
		switch {
		case r.acked:
			w.stats.Acknowledged++
		case r.counted > 0 || pending[r.bucket]:
			// Its acknowledgement was lost.
		}
		switch {
		case r.counted > 0 && pending[r.bucket]:
			w.breaks("report %d was counted, and is in an uncollected bucket", r.bucket)
		case pending[r.bucket] && r.flaw != "" && r.flaw != tooEarly:
			w.breaks("report %d was aggregated although it has %s", r.bucket, r.flaw)
		case r.counted > 0:
			w.stats.Counted++
		case pending[r.bucket]:
			w.stats.Pending++
		case r.acked && r.flaw == "" && !w.mayBeLost(r):
			w.breaks("report %d of time %d was acknowledged in step %d and is lost", r.bucket, r.time, r.ackedAt)
		}
	}
	return nil
}

// accountExpiry checks that what is neither counted nor in a batch was counted as
// lost, in all units of time that the ledger still has.
func (w *world) accountExpiry() error {
	if w.setting.Expiry == 0 || w.setting.Mode != dap.TimeIntervalMode || w.lostDisk {
		return nil
	}
	n := w.leaders[0]
	taskLedger, err := n.ledgers.Open(w.ctx, w.task, w.setting.Expiry)
	if err != nil {
		return err
	}
	missing := make(map[dap.Time]uint64)
	for _, r := range w.reports {
		if r.acked && r.flaw == "" && r.counted == 0 && !w.lateForResult(r) {
			missing[r.time]++
		}
	}
	for _, t := range slices.Sorted(maps.Keys(missing)) {
		unit := dap.Interval{Start: t, Duration: 1}
		total, collected, err := w.total(n, dap.IntervalSelector(unit))
		if err != nil {
			return err
		}
		if collected || t < taskLedger.Kept() { // the result has expired, or what was counted was deleted
			continue
		}
		lost, err := n.shared.Losses(w.ctx, w.task.ID(), unit)
		if err != nil {
			return err
		}
		w.stats.Lost += int(lost)
		if missing[t] > total.Count+lost {
			w.breaks("of %d reports of time %d that were acknowledged %d are in a batch and %d were counted as lost", missing[t], t, total.Count, lost)
		}
	}
	return nil
}

// open adds what both aggregators have in an uncollected batch, and puts the
// reports in it into pending.
func (w *world) open(s dap.BatchSelector, pending map[int]bool) error {
	mine, collected, err := w.total(w.leaders[0], s)
	if err != nil {
		return err
	}
	theirs, collectedThere, err := w.total(w.helpers[0], s)
	if err != nil {
		return err
	}
	if w.setting.Abandon || w.setting.Expiry > 0 || w.lostDisk {
		return nil // they may differ, see [Setting]
	}
	if collected != collectedThere {
		// The helper is first. The leader's job may have failed since, never here.
		w.breaks("batch %v is collected at one side only: leader %v, helper %v", s, collected, collectedThere)
	}
	if collected && mine.Count+theirs.Count > 0 {
		w.breaks("batch %v has got %d and %d reports after it was collected", s, mine.Count, theirs.Count)
	}
	if collected || mine.Count == 0 && theirs.Count == 0 {
		return nil
	}
	if mine.Count != theirs.Count || mine.Checksum != theirs.Checksum {
		w.breaks("batch %v has %d reports at the leader and %d at the helper, or other ones", s, mine.Count, theirs.Count)
		return nil
	}
	vector, err := w.histogram.Unshard([][]byte{mine.Share.Bytes(), theirs.Share.Bytes()}, mine.Count)
	if err != nil {
		return err
	}
	for bucket, n := range vector {
		switch {
		case n == 0:
		case n > 1 || bucket >= len(w.reports) || pending[bucket]:
			w.breaks("batch %v holds report %d %d times, or another one does too", s, bucket, n)
		default:
			pending[bucket] = true
		}
	}
	return nil
}

// mayBeLost reports whether an acknowledged report may be in no batch: its bucket
// was being collected, or its ID was no longer kept.
func (w *world) mayBeLost(r *report) bool {
	if w.setting.Abandon || w.setting.Expiry > 0 || w.lostDisk {
		return true
	}
	return w.lateForResult(r)
}

// lateForResult reports whether a report came while its batch was being collected.
func (w *world) lateForResult(r *report) bool {
	for _, c := range w.collections {
		i, err := c.req.Query.Interval()
		if err == nil && i.Contains(r.time) && c.result != nil && r.ackedAt >= c.begun {
			return true
		}
	}
	return false
}
