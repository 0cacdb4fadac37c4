package cost

import (
	"fmt"
	"math"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/metric/task"
)

// The noise on the total of a batch, which decides whether the batch is
// released and is published in place of the number of its reports, follows from
// the threshold and the caps of the task, so that every party computes the same.
const (
	// totalRatio is how much wider the noise of the total is than that of the
	// crowds, each measured by what one client can change. At 4 epsilon grows by
	// 3 % at most.
	totalRatio = 4
	// totalMargin is how many sigmas the mean number subtracted lies above what
	// one client sends: what is cut off at zero has a probability below 10^-9.
	totalMargin = 6
)

// A budget is what one client may send in the unit of the guarantee, which is
// the salt window of a task: the epochs whose batches may be merged. At most
// perCrowd reports go to each of at most crowds crowds.
type budget struct {
	crowds, perCrowd uint64
	reports          uint64 // in all that the guarantee is about
	caps             caps
}

// caps are the caps of one client in a salt window, whatever a guarantee covers.
type caps struct {
	perWindow, perCrowd uint32
	epochs              uint32 // of a salt window
}

func capsOf(t *task.Task) caps { return caps{t.PerEpoch, t.PerCrowd, t.Crowd.SaltEpochs} }

// budget returns the costliest way to use the caps: as many reports to each
// crowd as it takes, since a shift of one count by n costs noise of bounded
// variance more than n counts shifted by one. A crowd used in part counts as
// used whole.
func (c caps) budget(scope Scope) budget {
	if scope == PerCrowd || c.perCrowd == 0 {
		return budget{1, uint64(c.perCrowd), uint64(c.perCrowd), c}
	}
	crowds := (uint64(c.perWindow) + uint64(c.perCrowd) - 1) / uint64(c.perCrowd)
	return budget{crowds, uint64(c.perCrowd), uint64(c.perWindow), c}
}

// decisions is how often in a salt window it may be decided, about one report,
// whether there are enough: once an epoch until there are, by the shuffler that
// carries a batch over and by the one that applies the threshold.
func (c caps) decisions() uint64 {
	if c.epochs <= 1 {
		return 1
	}
	return 2 * uint64(c.epochs)
}

func (b budget) share() dp.Share {
	return dp.Share{Crowds: b.crowds, PerCrowd: b.perCrowd, Reports: b.reports, Decisions: b.caps.decisions()}
}

// mu is the sensitivity, over sigma, of the crowds of a budget.
func (b budget) mu(h task.Threshold) float64 {
	return float64(b.perCrowd) * math.Sqrt(float64(b.crowds)) * 1000 / float64(h.SigmaMilli)
}

// muTotal is the same for the decisions about the total.
func (b budget) muTotal(h task.Threshold) float64 {
	return float64(b.reports) * math.Sqrt(float64(b.caps.decisions())) * 1000 / float64(b.caps.totalSigma(h))
}

// muAll is the same for all that is published.
func (b budget) muAll(h task.Threshold) float64 { return math.Hypot(b.mu(h), b.muTotal(h)) }

// totalSigma is the noise of the total, in thousandths.
func (c caps) totalSigma(h task.Threshold) uint32 {
	b := c.budget(PerEpoch)
	sigma := totalRatio * float64(b.reports) * math.Sqrt(float64(c.decisions())) / b.mu(h)
	return uint32(min(math.Ceil(10*max(1, sigma))*100, dp.MaxSigmaMilli))
}

// total returns the rule for the total under a threshold; nil without noise.
func (c caps) total(h task.Threshold, minBatch uint32) (*dp.Total, error) {
	if h.Kind == task.Naive {
		return nil, nil
	}
	sigma := c.totalSigma(h)
	drop := uint64(c.perWindow) + uint64(totalMargin*sigma/1000) + 1
	return dp.NewTotal(minBatch, uint32(min(drop, math.MaxUint32)), sigma)
}

// Total returns the rule by which a batch of a task has enough reports, and by
// which their number is published. It is nil for a task whose threshold has no noise:
// its minimum is exact, and no number is published.
func Total(t *task.Task) (*dp.Total, error) {
	rule, err := capsOf(t).total(t.Threshold, t.MinBatch)
	if err != nil {
		return nil, fmt.Errorf("minimum of %q: %w", t.Metric, err)
	}
	return rule, nil
}

// CurveOf returns the privacy, against anyone with what is published of a crowd
// task, of what one client may send in a salt window: all of it, or with
// [PerCrowd] what goes to one crowd. It assumes that no client exceeds its
// caps.
//
// Of a task with a second crowd it is that of exact counts: no epsilon. The proof for one
// crowd needs that what is released of a crowd follows from its own size and noise. With two
// the number of released reports that are in crowds A and B both is not noised by itself: of
// a crowd A that is far above its threshold all reports but a few go on, and one report more
// in B shows.
func CurveOf(t *task.Task, scope Scope) (dp.Curve, error) {
	h := t.Threshold
	if t.HasSecond() {
		h = task.Threshold{Kind: task.Naive, T: h.T}
	}
	return curveOf(h, capsOf(t).budget(scope))
}

// curveOf returns the privacy of what the budget allows: of the crowds and of
// the total.
func curveOf(h task.Threshold, b budget) (dp.Curve, error) {
	rule, err := h.Rule()
	if err != nil {
		return nil, err
	}
	total, err := b.caps.total(h, 1)
	if err != nil {
		return nil, err
	}
	return dp.Released(rule, total, b.share())
}

// A Scope is what a guarantee covers.
type Scope string

// The scopes.
const (
	PerEpoch Scope = "epoch" // all that one client sends in an epoch, or a salt window
	PerCrowd Scope = "crowd" // what one client sends to one crowd in it
)

// Budget returns to how many crowds one client of a task may send in a salt window,
// and how many reports to each.
func Budget(t *task.Task, scope Scope) (crowds, perCrowd uint64) {
	b := capsOf(t).budget(scope)
	return b.crowds, b.perCrowd
}

// Unit names the unit of the guarantee, in which a client's reports are counted: a
// salt window of a number of epochs.
func Unit(epochs uint32) string {
	if epochs <= 1 {
		return "epoch"
	}
	return fmt.Sprintf("salt window of %d epochs", epochs)
}

// WithArticle returns a [Unit] with its article.
func WithArticle(unit string) string {
	if unit == Unit(1) {
		return "an " + unit
	}
	return "a " + unit
}
