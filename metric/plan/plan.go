package plan

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/printable"
	"github.com/shoal-project/shoal/metric/cost"
	"github.com/shoal-project/shoal/metric/task"
)

// flipScale is the scale of [task.Field.Flip].
const flipScale = 1_000_000

// A Plan forecasts what the metrics of a file will cost and reveal.
type Plan struct {
	File    string       `json:"file"`
	Owner   string       `json:"owner"`
	Metrics []MetricPlan `json:"metrics"` // of the method crowd

	Aggregates []AggregatePlan `json:"aggregates,omitempty"`

	// Sums is what all metrics together cost a client that takes part in all.
	Sums    []cost.Sum `json:"sums"`
	Assumes string     `json:"assumes"` // [dp.Assumption], of each epsilon and threshold
}

// A MetricPlan foretells one metric.
type MetricPlan struct {
	Name     string      `json:"name"`
	Question string      `json:"question"`
	Consent  string      `json:"consent"`
	Expires  time.Time   `json:"expires"`
	Fields   []FieldPlan `json:"fields"`
	Loose    float64     `json:"loose_bits"` // see [LooseBits]
	Example  Example     `json:"example"`
	Wire     Wire        `json:"wire"`
	Caps     Caps        `json:"caps"`
	Sees     []View      `json:"sees"`
	Privacy  Privacy     `json:"privacy"`
	Quorum   *QuorumPlan `json:"quorum,omitempty"`
	Accuracy Accuracy    `json:"accuracy"`
	Forecast Forecast    `json:"forecast"`
	Accepted []Accepted  `json:"accepted,omitempty"`
	Warnings []string    `json:"warnings,omitempty"`
}

// A FieldPlan describes what becomes of a field.
type FieldPlan struct {
	Name         string      `json:"name"`
	Type         string      `json:"type"`
	Crowd        bool        `json:"crowd"` // covered by the threshold
	Sensitive    bool        `json:"sensitive,omitempty"`
	Detail       bool        `json:"detail,omitempty"`     // of people who have agreed to it
	Randomised   string      `json:"randomised,omitempty"` // how, in words
	LocalEpsilon cost.Figure `json:"local_epsilon"`        // of one bit or value; null: none
	LocalWhole   cost.Figure `json:"local_epsilon_whole"`  // of the whole field
}

// Wire is what a network observer can measure. Sizes are in bytes.
type Wire struct {
	Payload   int    `json:"payload"` // the longest, before padding
	Padded    int    `json:"padded"`
	Report    int    `json:"report,omitempty"` // on the wire, without HTTP and TLS
	PerEpoch  uint32 `json:"per_epoch"`        // reports a client
	PerCrowd  uint32 `json:"per_crowd"`
	Epoch     string `json:"epoch"`
	MaxDelay  string `json:"max_delay"`
	FromEnd   bool   `json:"from_epoch_end,omitempty"` // the delay is from the epoch's end, not from the record
	MinBatch  uint32 `json:"min_batch"`
	Retention string `json:"retention"`
}

// Privacy is what one client is guaranteed, for adding or removing all that it
// sends, against anyone with what is published: the crowds, and the noised total
// of each batch.
type Privacy struct {
	Threshold string          `json:"threshold"`
	Assumes   string          `json:"assumes"`         // what threshold and epsilons rest on
	Total     string          `json:"total,omitempty"` // how the minimum is decided and the total published
	Protects  string          `json:"protects"`
	Noise     bool            `json:"noise"`
	Unit      string          `json:"unit"` // in which caps are counted and the guarantee holds
	Declared  *cost.Guarantee `json:"declared,omitempty"`
	Covers    cost.Scope      `json:"covers,omitempty"`
	Computed  cost.Figure     `json:"computed_delta"` // at the declared epsilon
	Floor     cost.Figure     `json:"floor_delta"`    // of one crowd, at any epsilon
	Crowds    uint64          `json:"crowds"`         // that one client can be in, a unit
	PerCrowd  cost.Guarantee  `json:"per_crowd"`      // what it sends to one of them
	Exact     cost.Guarantee  `json:"per_unit_exact"` // all that it sends, by privacy loss distributions
	Sums      []cost.Sum      `json:"sums"`           // of 30 days and a year
}

// Accuracy is the error bars that a result will carry.
type Accuracy struct {
	CountBias   float64       `json:"count_bias"`    // mean number of reports dropped of a crowd; added back
	CountStdDev float64       `json:"count_std_dev"` // of a released crowd's count
	Fields      []FieldErrors `json:"fields,omitempty"`
}

// FieldErrors are the standard deviations, due to randomised response, of the
// estimated number of records that have one bit or value of a field.
type FieldErrors struct {
	Name     string  `json:"name"`
	At100    float64 `json:"at_100"`  // records in the crowd
	At1000   float64 `json:"at_1000"` // records in the crowd
	PerValue string  `json:"per"`     // "bit" or "value"
}

// Accepted is a risk that the file takes on, and why.
type Accepted struct {
	Risk   string `json:"risk"`
	Reason string `json:"reason"`
}

// Notes are what the author of a metric adds to its task, for the plan.
type Notes struct {
	Sensitive []bool         // by field of the schema
	Example   []any          // what an app might record, by field, before coarsening; nil: made up
	Declared  *cost.Declared // what is promised; nil if nothing is
	Accepted  []Accepted
}

// Crowd foretells a task of the method crowd.
func Crowd(t *task.Task, n Notes, p Population) (MetricPlan, error) {
	if err := p.Validate(); err != nil {
		return MetricPlan{}, err
	}
	rule, err := t.Threshold.Rule()
	if err != nil {
		return MetricPlan{}, err
	}
	example, err := exampleFor(t, n.Example)
	if err != nil {
		return MetricPlan{}, err
	}
	privacy, err := privacyOf(t, rule, n.Declared)
	if err != nil {
		return MetricPlan{}, err
	}
	out := MetricPlan{
		Name: t.Metric, Question: t.Question, Consent: t.Consent, Expires: time.Unix(t.Expires, 0).UTC(),
		Fields: fieldPlans(t, n.Sensitive), Loose: LooseBits(t), Example: example, Wire: wireOf(t, p), Caps: capsOf(t),
		Sees: Views(t), Privacy: privacy, Quorum: quorumOf(t), Accuracy: accuracyOf(t, rule), Forecast: foretell(t, rule, p),
		Accepted: n.Accepted,
	}
	out.Warnings = warnings(t, &out)
	return out, nil
}

func wireOf(t *task.Task, p Population) Wire {
	w := Wire{
		Payload: t.MaxPayload(), Padded: int(t.PayloadSize), PerEpoch: t.PerEpoch, PerCrowd: t.PerCrowd,
		Epoch: printable.Duration(int64(t.EpochSeconds)), MaxDelay: printable.Duration(int64(t.MaxDelay)), FromEnd: t.Relayed() || t.Hardened(),
		MinBatch: t.MinBatch, Retention: printable.Duration(int64(t.RetentionDays) * 86400),
	}
	if p.ReportSize != nil {
		w.Report = p.ReportSize(t)
	}
	return w
}

func fieldPlans(t *task.Task, sensitive []bool) []FieldPlan {
	var out []FieldPlan
	for i := range t.Schema {
		f := &t.Schema[i]
		x := FieldPlan{
			Name: f.Name, Type: typeText(f), Sensitive: sensitive[i], Detail: slices.Contains(t.Protection.Detail, uint8(i)),
			Crowd: t.Crowd.Kind == task.Payload || slices.Contains(t.Crowd.Fields, uint8(i)) || slices.Contains(t.Protection.Second.Fields, uint8(i)),
		}
		x.Randomised, x.LocalEpsilon, x.LocalWhole = local(f)
		out = append(out, x)
	}
	return out
}

// local returns what randomised response does to a field.
func local(f *task.Field) (string, cost.Figure, cost.Figure) {
	if f.Flip == 0 {
		return "", cost.Figure(math.Inf(1)), cost.Figure(math.Inf(1))
	}
	p := float64(f.Flip) / flipScale
	switch f.Kind {
	case task.Set:
		unit := dp.LocalEpsilonFlip(p)
		return fmt.Sprintf("each bit flipped with probability %g", p), cost.Figure(unit), cost.Figure(float64(len(f.Values)) * unit)
	case task.Bool:
		unit := cost.Figure(dp.LocalEpsilonFlip(p))
		return fmt.Sprintf("flipped with probability %g", p), unit, unit
	case task.List:
		unit := cost.Figure(dp.LocalEpsilonKRR(p, uint64(len(f.Values))))
		return fmt.Sprintf("each element replaced by a random one with probability %g", p), unit, cost.Figure(math.Inf(1))
	}
	unit := cost.Figure(dp.LocalEpsilonKRR(p, uint64(len(f.Values))))
	return fmt.Sprintf("replaced by a random value with probability %g", p), unit, unit
}

// typeText describes in words what a field may hold.
func typeText(f *task.Field) string {
	switch f.Kind {
	case task.String:
		return fmt.Sprintf("text of at most %d bytes", f.Max)
	case task.Enum:
		return fmt.Sprintf("one of %d values", len(f.Values))
	case task.Int:
		return intText(f)
	case task.Bool:
		return "yes or no"
	case task.Set:
		return fmt.Sprintf("any of %d values", len(f.Values))
	}
	switch f.Elem {
	case task.String:
		return fmt.Sprintf("list of at most %d texts of at most %d bytes", f.Max, f.MaxStr)
	case task.Int:
		return fmt.Sprintf("list of at most %d of: %s", f.Max, intText(f))
	}
	return fmt.Sprintf("list of at most %d out of %d values", f.Max, len(f.Values))
}

func intText(f *task.Field) string {
	if len(f.Buckets) == 0 {
		return fmt.Sprintf("whole number from %d to %d, exact", f.Low, f.High)
	}
	return fmt.Sprintf("number from %d to %d in %d buckets", f.Low, f.High, len(f.Buckets))
}

// privacyOf computes the guarantees.
func privacyOf(t *task.Task, rule dp.Threshold, declared *cost.Declared) (Privacy, error) {
	crowds, _ := cost.Budget(t, cost.PerEpoch)
	out := Privacy{
		Threshold: t.Threshold.String(), Assumes: dp.Assumptions(rule), Protects: rule.Protects().String(),
		Noise: t.Threshold.Kind != task.Naive, Crowds: crowds, Unit: cost.Unit(t.Crowd.SaltEpochs),
	}
	none := cost.Guarantee{Epsilon: cost.Figure(math.Inf(1)), Delta: 1}
	out.PerCrowd, out.Exact, out.Floor = none, none, 1
	spend, err := Spend(t, declared)
	if err != nil {
		return Privacy{}, err
	}
	out.Sums = cost.Sums(spend)
	if !out.Noise {
		return out, nil
	}
	if out.Total, err = totalText(t); err != nil {
		return Privacy{}, err
	}
	if t.HasSecond() { // see cost.CurveOf
		out.Protects = dp.ProtectsNothing.String()
		return out, nil
	}
	one, err := cost.CurveOf(t, cost.PerCrowd)
	if err != nil {
		return Privacy{}, err
	}
	out.Floor = cost.Figure(one.Floor())
	whole, err := cost.CurveOf(t, cost.PerEpoch)
	if err != nil {
		return Privacy{}, err
	}
	delta := deltaFor(declared, one, out.Crowds)
	each := delta / float64(out.Crowds)
	if eps, err := one.Epsilon(each); err == nil {
		out.PerCrowd = cost.Guarantee{Epsilon: cost.Figure(eps), Delta: cost.Figure(each)}
	}
	if eps, err := whole.Epsilon(delta); err == nil {
		out.Exact = cost.Guarantee{Epsilon: cost.Figure(eps), Delta: cost.Figure(delta)}
	}
	if d := declared; d != nil {
		out.Declared, out.Covers = &cost.Guarantee{Epsilon: cost.Figure(d.Epsilon), Delta: cost.Figure(d.Delta)}, d.Covers
		curve := whole
		if d.Covers == cost.PerCrowd {
			curve = one
		}
		out.Computed = cost.Figure(curve.Delta(d.Epsilon))
	}
	return out, nil
}

// totalText describes how the minimum is decided and what is published of the total.
func totalText(t *task.Task) (string, error) {
	total, err := cost.Total(t)
	if err != nil || total == nil {
		return "", err
	}
	return fmt.Sprintf("%v: a batch of %d reports is released in 19 cases of 20; their number is told to within %d in 95 cases of 100; what was suppressed and dropped is not told",
		total, surely(total), total.Within95()), nil
}

// surely is the number of reports of which a batch is released with a
// probability of 0.95.
func surely(total *dp.Total) uint64 {
	low, high := uint64(0), uint64(1)
	for total.Survival(high) < 0.95 {
		low, high = high, 2*high
	}
	for high-low > 1 {
		if mid := low + (high-low)/2; total.Survival(mid) < 0.95 {
			low = mid
		} else {
			high = mid
		}
	}
	return high
}

// Spend is [cost.SpendOf] at the delta at which the plan states the task.
func Spend(t *task.Task, declared *cost.Declared) (cost.Spend, error) {
	if t.Method == task.Aggregate {
		return cost.SpendOf(t, cost.Delta)
	}
	one, err := cost.CurveOf(t, cost.PerCrowd)
	if err != nil {
		return cost.Spend{}, err
	}
	crowds, _ := cost.Budget(t, cost.PerEpoch)
	return cost.SpendOf(t, deltaFor(declared, one, crowds))
}

// deltaFor chooses the delta, for all of a client's crowds together, at which
// epsilon is stated: the declared one, else 10^-6 a crowd, or the next round
// figure above what no epsilon can undercut.
func deltaFor(declared *cost.Declared, one dp.Curve, crowds uint64) float64 {
	if declared != nil && declared.Covers == cost.PerEpoch {
		return declared.Delta
	}
	if declared != nil {
		return declared.Delta * float64(crowds)
	}
	for scale := 1e-6; scale < 1; scale *= 10 {
		for _, digit := range []float64{1, 2, 5} {
			if _, err := one.Epsilon(digit * scale); err == nil {
				return digit * scale * float64(crowds)
			}
		}
	}
	return 1
}

// accuracyOf computes the error bars.
func accuracyOf(t *task.Task, rule dp.Threshold) Accuracy {
	out := Accuracy{CountBias: rule.Bias(), CountStdDev: rule.StdDev()}
	for i := range t.Schema {
		f := &t.Schema[i]
		if f.Flip == 0 {
			continue
		}
		x := FieldErrors{Name: f.Name, PerValue: "value", At100: errorOf(f, 100), At1000: errorOf(f, 1000)}
		if f.Kind == task.Set || f.Kind == task.Bool {
			x.PerValue = "bit"
		}
		out.Fields = append(out.Fields, x)
	}
	return out
}

// errorOf is the standard deviation of the estimated number of n records that
// have a rare bit or value, once randomised response is inverted.
func errorOf(f *task.Field, n float64) float64 {
	p := float64(f.Flip) / flipScale
	if f.Kind == task.Set || f.Kind == task.Bool {
		return math.Sqrt(n*p*(1-p)) / (1 - 2*p)
	}
	q := p / float64(len(f.Values)) // chance of the value where another was true
	return math.Sqrt(n*q*(1-q)) / (1 - p)
}

// promiseOfRelay is what a plan says of each task with a relay.
const promiseOfRelay = "That the relay is an organisation of its own is a promise. With it, any other party could join addresses to reports; the task ensures only that its key and host are no other party's."

func warnings(t *task.Task, p *MetricPlan) []string {
	var out []string
	switch {
	case task.Shufflers(t.Hops) != 1 || t.Crowd.Kind == task.Constant:
	case t.Relayed():
		out = append(out, "A single shuffler sees a hash of the crowd value and can confirm guesses of it, but not whose it is.")
	default:
		out = append(out, "A single shuffler sees the sender's address beside a hash of the crowd value and can confirm guesses of it. Two shufflers of different organisations, or a relay, stand between.")
	}
	if !p.Privacy.Noise {
		out = append(out, "There is no noise. Exact counts are released, and one more report can be told from one less: this is no differential privacy.")
	}
	if p.Privacy.Noise && math.IsInf(float64(p.Privacy.Exact.Epsilon), 1) {
		out = append(out, "No epsilon holds at this delta for all that a client sends in "+cost.WithArticle(cost.Unit(t.Crowd.SaltEpochs))+".")
	}
	if t.HasDetail() {
		out = append(out, fmt.Sprintf("Detail is sent by those who have agreed to it, in reports of the same size. Of a crowd with fewer than %d such reports the analyzer publishes none of it; that rule has no noise.", t.Threshold.T))
	}
	if t.HasSecond() {
		out = append(out, "Each report is counted in two crowds, and goes on if it stays in both. No epsilon is proven for that, and none is claimed. The forecast counts the first crowd alone.")
	}
	if t.Crowd.SaltEpochs > 1 {
		out = append(out, fmt.Sprintf("Crowd tags keep their salt for %d epochs: a shuffler can tell which crowds of these are the same, and their batches may be merged. A client counts what it sends over all of them.", t.Crowd.SaltEpochs))
	}
	if t.Encoding.Kind == task.Quorum && t.Crowd.Kind == task.Constant {
		out = append(out, "The forecast counts reports of the one crowd. Those whose value fewer than the quorum hold stay unreadable, and are not in the table.")
	}
	if p.Forecast.BelowMinBatch {
		out = append(out, fmt.Sprintf("This population sends %.0f reports an epoch, fewer than min_batch: every batch would be destroyed unread.", p.Forecast.Reports))
	}
	first := "first party"
	if t.Relayed() {
		first = "relay"
		out = append(out, promiseOfRelay)
	}
	return append(out, "Reports are sent because something happened; that one was sent is not hidden from the "+first+", only what it says.")
}
