package ledger

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/shoal-project/shoal/dap"
)

// A Spent is the list of the tags that reports of one or more tasks have spent
// ([dap.Tag]): for example of all signed versions of a metric. It is kept as the IDs of a
// task's reports are, in pages by the start of the reports' time in seconds, and in the
// same store, so that to append to it is the compare-and-swap for all processes.
//
// A leader reserves tags for reports before the helper sees the reports
// ([Spent.Reserve]), and a helper spends them with what it counts
// ([Ledger.CommitSpending]). So a tag that was lost to another report was never sent, the
// two count the same reports, and a report that the helper refuses may come again.
//
// It is safe for concurrent use.
type Spent struct{ list *Ledger }

// secondsPrecision is the unit of a list's times.
const secondsPrecision dap.TimePrecision = 1

// OpenSpent returns the list with a name, which must be no task's ID, and begins it if it
// is not there. Tags are kept for as long as a report can be committed to the ledger of
// task: expiry is what [Ledgers.Open] is called with. Of the tasks of a list the one that
// keeps longest counts; reports whose tags are not kept any more are dropped.
func (bs *Ledgers) OpenSpent(ctx context.Context, name [sha256.Size]byte, task *dap.Task, expiry time.Duration) (*Spent, error) {
	if expiry > 0 { // a report has the time at which its unit begins
		expiry += time.Duration(task.Config().TimePrecision) * time.Second
	}
	b, err := bs.open(ctx, &Ledger{ledgers: bs, id: name, precision: secondsPrecision}, expiry)
	if err != nil {
		return nil, fmt.Errorf("opening the list of spent tags: %w", err)
	}
	for {
		old := b.expiry.Load()
		if old == 0 || expiry > 0 && int64(expiry) <= old || b.expiry.CompareAndSwap(old, int64(expiry)) {
			return &Spent{b}, nil
		}
	}
}

// Expire evicts the tags of reports that can be committed no longer.
func (s *Spent) Expire(ctx context.Context) error { return s.list.Expire(ctx) }

// An appending is what is to be appended to a list, as a change of a state of it.
type appending struct {
	change Change
	pages  map[Page]*cachedPage
}

// entry returns the form of a tag on a list, as a report of it: its time is in seconds.
func entry(id [16]byte, t dap.Time, precision dap.TimePrecision) (dap.Candidate, bool) {
	if precision == 0 || uint64(t) > math.MaxInt64/uint64(precision) {
		return dap.Candidate{}, false
	}
	return dap.Candidate{ID: id, Time: t * dap.Time(precision)}, true
}

// judge judges by their tags the candidates whose verdict is 0, the first of each tag,
// and returns what those spend that are left. With repeats a candidate whose tag is spent
// on the same report is left, too, and spends nothing. The lock is held.
func (s *Spent) judge(ctx context.Context, precision dap.TimePrecision, candidates []dap.Candidate, verdicts []dap.ReportError, repeats, fresh bool) (*appending, error) {
	tags, reports := make([]dap.Candidate, len(candidates)), make([]dap.Candidate, len(candidates))
	look := make([]dap.Candidate, 0, 2*len(candidates))
	for i := range candidates {
		c := &candidates[i]
		if verdicts[i] != 0 || c.Tag == (dap.Tag{}) {
			continue
		}
		var ok bool
		if tags[i], ok = entry(c.Tag.Spent, c.Time, precision); !ok {
			verdicts[i] = dap.ReportDropped
			continue
		}
		look = append(look, tags[i])
		if repeats {
			reports[i] = dap.Candidate{ID: c.Tag.Report, Time: tags[i].Time}
			look = append(look, reports[i])
		}
	}
	known, pages, err := s.list.view(ctx, look, fresh)
	if err != nil {
		return nil, err
	}
	taken := make(map[dap.ReportID]bool)
	var add []dap.Candidate
	for i := range candidates {
		if verdicts[i] != 0 || candidates[i].Tag == (dap.Tag{}) {
			continue
		}
		switch {
		case known.Evicted(tags[i].Time):
			verdicts[i] = dap.ReportDropped
		case repeats && known.Seen(reports[i].ID):
		case taken[tags[i].ID] || known.Seen(tags[i].ID):
			verdicts[i] = dap.ReportReplayed
		default:
			taken[tags[i].ID] = true
			if add = append(add, tags[i]); repeats {
				add = append(add, reports[i])
			}
		}
	}
	change := Change{Task: s.list.id, Generation: s.list.generation, Blocks: s.list.blocks(add, make([]dap.ReportError, len(add)), pages)}
	return &appending{change, pages}, nil
}

// Reserve spends the tags of candidates on their reports, durably, and returns the
// verdicts: 0 if the tag is this report's, now or since before, [dap.ReportReplayed] if it
// is another's, [dap.ReportDropped] if it is not kept any more. Of two candidates with one
// tag the first has it. Candidates without a tag are passed over. precision is that of
// their task.
func (s *Spent) Reserve(ctx context.Context, precision dap.TimePrecision, candidates []dap.Candidate) ([]dap.ReportError, error) {
	if err := s.list.lock(ctx); err != nil {
		return nil, err
	}
	defer s.list.unlock()
	for n := range attempts {
		verdicts := make([]dap.ReportError, len(candidates))
		err := s.reserve(ctx, precision, candidates, verdicts, n > 0)
		if err == nil {
			return verdicts, nil
		}
		if !errors.Is(err, ErrConflict) {
			return nil, fmt.Errorf("spending tags: %w", err)
		}
		if err := s.list.refresh(ctx); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("spending tags: %w %d times in a row", ErrConflict, attempts)
}

// reserve makes one attempt. The lock is held.
func (s *Spent) reserve(ctx context.Context, precision dap.TimePrecision, candidates []dap.Candidate, verdicts []dap.ReportError, fresh bool) error {
	tags, err := s.judge(ctx, precision, candidates, verdicts, true, fresh)
	if err != nil || len(tags.change.Blocks) == 0 {
		return err
	}
	if err := s.list.ledgers.store.Commit(ctx, tags.change); err != nil {
		return err
	}
	s.list.appended(ctx, tags.change.Blocks, tags.pages)
	return nil
}
