package metric

import (
	"fmt"
	"math"
	"time"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/metric/aggregate"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/vdaf"
)

// An AggregatePlan foretells one metric of the method aggregate.
type AggregatePlan struct {
	Name     string    `json:"name"`
	Question string    `json:"question"`
	Consent  string    `json:"consent"`
	Expires  time.Time `json:"expires"`

	Type     string `json:"type"`     // what one client records in an epoch
	Several  string `json:"several"`  // how several values of an epoch become one
	Nothing  string `json:"nothing"`  // how a client without a value counts
	Presence string `json:"presence"` // hidden or revealed
	VDAF     string `json:"vdaf"`
	Chunk    uint32 `json:"chunk,omitempty"` // chunk length of the proof
	Variant  string `json:"variant"`

	Report     int     `json:"report"`          // bytes of a report on the wire, without HTTP and TLS
	PerMonth   int     `json:"per_thirty_days"` // bytes of a client's reports in 30 days
	CPU        float64 `json:"client_seconds"`  // of one core, roughly, for one report
	Epoch      string  `json:"epoch"`
	MaxDelay   string  `json:"max_delay"`
	MinBatch   uint32  `json:"min_batch"`
	Retention  string  `json:"retention"`
	Aggregated int     `json:"aggregate"` // elements of the result

	Sees     []View         `json:"sees"`
	Noise    AggregateNoise `json:"noise"`
	Errors   []AggregateBar `json:"error_bars"`
	Clients  int            `json:"clients"` // for which the error bars hold
	Price    string         `json:"price_of_presence"`
	Accepted []Accepted     `json:"accepted,omitempty"`
	Warnings []string       `json:"warnings,omitempty"`
}

// AggregateNoise is what noise costs and gives, for one client that changes the
// values it records in one epoch. The guarantee is that of one aggregator's noise: it holds
// even if the other adds none.
type AggregateNoise struct {
	Mechanism   string    `json:"mechanism"`
	L1          Figure    `json:"l1_sensitivity"`
	L2          Figure    `json:"l2_sensitivity"`
	Epoch       Guarantee `json:"epoch"`
	Sums        []Sum     `json:"sums"` // of 30 days and a year
	Presence    string    `json:"participation"`
	StdDev      float64   `json:"std_dev"`   // of both aggregators' noise on an element, in its unit
	Within95    float64   `json:"within_95"` // the same noise stays below this in 95 cases of 100
	Quantum     float64   `json:"unit"`      // in which an element is counted: 1 except for gradients
	NoiseToEach string    `json:"adds"`
}

// An AggregateBar is the error of one figure of a result. Both errors are
// exceeded in 5 cases of 100, and are on top of each other.
type AggregateBar struct {
	Figure   string  `json:"figure"`
	Noise    float64 `json:"noise"`    // by the aggregators
	Sampling float64 `json:"sampling"` // at most, if the clients are a random sample of those that are asked about
}

const (
	aggregateDelta = 1e-6 // at which Gaussian noise is stated
	muchEpsilon    = 5.0  // above which the plan warns
)

func (m *Metric) aggregatePlan(t *task.Task, p Population) (AggregatePlan, error) {
	a := &t.Aggregation
	q, err := aggregate.New(a)
	if err != nil {
		return AggregatePlan{}, err
	}
	in := q.Instance()
	spend, err := SpendOf(t, aggregateDelta)
	if err != nil {
		return AggregatePlan{}, err
	}
	out := AggregatePlan{
		Name: m.Name, Question: t.Question, Consent: t.Consent, Expires: time.Unix(t.Expires, 0).UTC(),
		Type: aggregateType(a), Several: several(a), Nothing: nothing(a), Presence: a.Presence.String(),
		VDAF: in.Name(), Chunk: a.Chunk, Variant: a.Variant,
		Report: aggregate.ReportSize(in), CPU: clientSeconds(in),
		Epoch: formatDuration(int64(t.EpochSeconds)), MaxDelay: formatDuration(int64(t.MaxDelay)),
		MinBatch: t.MinBatch, Retention: formatDuration(int64(t.RetentionDays) * 86400),
		Aggregated: in.NewAggregateShare().Len(), Sees: aggregateViews(t), Noise: noiseOf(q, spend),
		Clients: p.Clients,
	}
	out.PerMonth = out.Report * int(spend.units(monthDays))
	out.Errors = aggregateBars(q, p.Clients)
	out.Price = presencePrice(t, &out, p.Clients)
	if reason := m.accepted[LooseBound]; reason != "" {
		out.Accepted = append(out.Accepted, Accepted{LooseBound, reason})
	}
	out.Warnings = aggregateWarnings(t, &out, p.Clients)
	return out, nil
}

// clientSeconds estimates the time for making a report on one core of a server of
// 2023: two HPKE seals, and about 0.12 microseconds for each field element of the
// leader's share. BenchmarkMake of dap/client measures it; devices without vector
// units take several times as long.
func clientSeconds(in vdaf.Instance) float64 {
	return 200e-6 + 0.12e-6*float64(in.Sizes().LeaderShare)/16
}

func aggregateType(a *task.Aggregation) string {
	switch a.Kind {
	case task.Count:
		if a.Max == 1 {
			return "yes or no: whether it happened in the epoch"
		}
		return fmt.Sprintf("how often it happened in the epoch, up to %d", a.Max)
	case task.Sum:
		return fmt.Sprintf("a whole number from 0 to %d", a.Max)
	case task.Mean:
		return fmt.Sprintf("a whole number from 0 to %d, and whether there is one", a.Max)
	case task.Histogram:
		return fmt.Sprintf("in which of %d ranges a number lies", len(a.Bounds)+1)
	case task.Categories:
		return fmt.Sprintf("one of %d values", len(a.Labels))
	case task.Multihot:
		return fmt.Sprintf("up to %d of %d values", a.Max, len(a.Labels))
	case task.Vector:
		return fmt.Sprintf("%d whole numbers from 0 to %d each", a.Length, a.Max)
	case task.Bounded:
		return fmt.Sprintf("%d whole numbers from 0 that add up to at most %d", a.Length, a.Max)
	case task.LInfGradient:
		return fmt.Sprintf("%d numbers from -%g to %g each, in %d bits", a.Length, a.Bound, a.Bound, a.Bits)
	}
	return fmt.Sprintf("%d numbers whose absolute values add up to at most %g, in %d bits", a.Length, a.Bound, a.Bits)
}

func several(a *task.Aggregation) string {
	switch a.Kind {
	case task.Count:
		if a.Max == 1 {
			return "once is as good as often"
		}
		return "they add up, to the maximum at most"
	case task.Sum:
		return "they add up, to the maximum at most"
	case task.Mean:
		return "their mean, so that each client weighs the same"
	case task.Histogram, task.Categories:
		return "one of them, each with the same chance"
	case task.Multihot:
		return "all of them, the first ones if they are too many"
	case task.Vector, task.LInfGradient:
		return "they add up element by element, each cut to its range"
	}
	return "they add up, and shrink together to the bound"
}

func nothing(a *task.Aggregation) string {
	if a.Presence == task.Revealed {
		return "it sends no report"
	}
	switch a.Kind {
	case task.Histogram, task.Categories:
		return "a range of its own, \"no value\""
	case task.Mean:
		return "zero, with no weight"
	case task.Multihot:
		return "none of the values"
	}
	return "zero"
}

func aggregateViews(t *task.Task) []View {
	when := "that it takes part, once an epoch, whether it has anything to say or not"
	if t.Aggregation.Presence == task.Revealed {
		when = "that it had something to say in the epoch"
	}
	exact := "exactly"
	if t.Aggregation.Noise.Mechanism != dp.NoNoise {
		exact = "with both aggregators' noise"
	}
	return []View{
		{"network observer", "that an address sends a report to the leader, its one size and its time", "content"},
		{"leader", "the sender's network address, which it must not keep, and by it " + when + "; one share of each report", "any value: its shares are random numbers without the helper's"},
		{"helper", "how many reports there are, the other share of each, and the addresses that ask for its keys", "any value: its shares are random numbers without the leader's"},
		{"collector", fmt.Sprintf("the sum of each batch of at least %d reports, %s, and how many they were", t.MinBatch, exact), "any single report"},
		{"both aggregators as one", "who said what", "what was never recorded"},
	}
}

// participation is what no noise of the aggregate route covers.
const participation = "not protected: how many reports a batch has is exact, so that one report more or less shows; epsilon is about what a report says"

func noiseOf(q *aggregate.Question, spend Spend) AggregateNoise {
	a := q.Aggregation()
	l1, l2, _ := vdaf.Sensitivity(q.Instance())
	step := q.Step()
	out := AggregateNoise{
		Mechanism: a.Noise.String(), L1: Figure(float64(l1)), L2: Figure(l2), Sums: sums(spend), Presence: participation,
		Epoch:  Guarantee{Figure(spend.Point.Epsilon), Figure(spend.Point.Delta)},
		StdDev: math.Sqrt(a.Noise.Variance(2)) * step, Within95: float64(a.Noise.Within95()) * step, Quantum: step,
		NoiseToEach: "nothing",
	}
	if a.Noise.Mechanism != dp.NoNoise {
		out.NoiseToEach = "leader and helper each, on their own, to every element, before the collector gets it"
	}
	return out
}

// aggregateBars states the errors of the figures of a result of n clients.
func aggregateBars(q *aggregate.Question, n int) []AggregateBar {
	a := q.Aggregation()
	wide := float64(a.Noise.Within95()) * q.Step()
	clients := float64(n)
	// The greatest deviation of a value in [0, top] is top/2.
	sample := func(top float64) float64 { return 1.96 * math.Sqrt(clients) * top / 2 }
	top := float64(a.Max)
	switch a.Kind {
	case task.Count:
		if a.Max == 1 {
			return []AggregateBar{{"the number of clients that say yes", wide, sample(1)}}
		}
		return []AggregateBar{{"the count", wide, sample(top)}, {"the count for one client", wide / clients, sample(top) / clients}}
	case task.Sum:
		return []AggregateBar{{"the sum", wide, sample(top)}, {"the sum for one client", wide / clients, sample(top) / clients}}
	case task.Mean:
		mean := func(share float64) AggregateBar {
			// As in aggregate.Result, for a mean in the middle of the range.
			c := clients * share
			return AggregateBar{
				fmt.Sprintf("the mean, if %g %% have a value", share*100),
				wide / c * math.Hypot(1, 0.5), 1.96 * top / 2 / math.Sqrt(c),
			}
		}
		return []AggregateBar{mean(1), mean(0.1), {"the number of clients that have a value", wide / top, sample(1)}}
	case task.Histogram, task.Categories:
		return []AggregateBar{{"the number of clients in each range", wide, sample(1)}}
	case task.Multihot:
		return []AggregateBar{{"the number of clients with each value", wide, sample(1)}}
	case task.Vector, task.Bounded:
		return []AggregateBar{{"each element of the sum", wide, sample(top)}, {"each element for one client", wide / clients, sample(top) / clients}}
	}
	if a.Kind == task.L1Gradient {
		wide *= math.Sqrt2 // an element is the difference of two
	}
	return []AggregateBar{
		{"each element of the sum", wide, sample(2 * a.Bound)},
		{"each element of the mean", wide / clients, sample(2*a.Bound) / clients},
	}
}

// presencePrice describes what hiding presence costs, or what revealing it does.
func presencePrice(t *task.Task, p *AggregatePlan, clients int) string {
	if t.Aggregation.Presence == task.Revealed {
		return "That a report exists is data, and nothing hides it: the leader, and an observer of the network, learns of each address in which epochs it had something to say. No noise covers that, and the number of reports is exact. Hidden, every client would send one report an epoch instead."
	}
	return fmt.Sprintf("Hidden costs one report an epoch of every client: %s for %d clients, whether or not they have something to say. Revealed would send only the reports of those that have, and tell the leader and the network who they are, epoch by epoch.", bytesText(float64(p.Report)*float64(clients)), clients)
}

func aggregateWarnings(t *task.Task, p *AggregatePlan, clients int) []string {
	var out []string
	a := &t.Aggregation
	if a.Noise.Mechanism == dp.NoNoise {
		out = append(out, "There is no noise. The collector gets exact sums: anyone with the values of all clients but one learns the value of that one.")
	}
	if eps := float64(p.Noise.Epoch.Epsilon); eps > muchEpsilon && !math.IsInf(eps, 1) {
		out = append(out, fmt.Sprintf("An epsilon of %s for one epoch is deniability rather than privacy: a result can be up to %s times as likely for what one client said as for anything else.", dp.Figure(eps), dp.Figure(math.Exp(eps))))
	}
	if clients < int(t.MinBatch) {
		out = append(out, fmt.Sprintf("This population sends %d reports an epoch at most, fewer than min_batch: no batch could be collected.", clients))
	}
	bar := p.Errors[0]
	if full := float64(max(1, a.Max)) * float64(clients); a.Kind != task.Mean && a.Bound == 0 && bar.Noise > 0.1*full {
		out = append(out, fmt.Sprintf("Noise moves %s by up to %.4g, more than a tenth of the most that %d clients can add up to: ask more clients, or raise epsilon.", bar.Figure, bar.Noise, clients))
	}
	if a.Bits > 0 {
		out = append(out, fmt.Sprintf("Quantisation moves each element of the mean by up to %.3g, on top.", quantisation(a)))
	}
	return append(out, "A valid report is one within the bounds; that it is true, nobody proves. Nobody sees one client's value unless leader and helper are one, or work together.")
}

// quantisation is the greatest error of an element of the mean.
func quantisation(a *task.Aggregation) float64 {
	if a.Kind == task.L1Gradient {
		return a.Bound * (math.Exp2(-float64(a.Bits)) + math.Exp2(-40))
	}
	return a.Bound / (math.Exp2(float64(a.Bits)) - 1)
}

func bytesText(n float64) string {
	for _, u := range []struct {
		size float64
		word string
	}{{1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}} {
		if n >= u.size {
			return fmt.Sprintf("%.3g %s", n/u.size, u.word)
		}
	}
	return fmt.Sprintf("%.0f bytes", n)
}

func (p *AggregatePlan) write(w *writer) {
	w.heading(p.Name)
	w.item("question", p.Question)
	w.item("consent", p.Consent)
	w.item("until", p.Expires.Format("2006-01-02"))
	w.head("What leaves the device")
	w.item("says", p.Type)
	w.item("several in an epoch", p.Several)
	w.item("nothing to say", p.Nothing)
	w.item("report", fmt.Sprintf("%d bytes on the wire, whatever it says; %s a client in 30 days; about %.2g ms of one core to make on a desktop, more on a phone", p.Report, bytesText(float64(p.PerMonth)), p.CPU*1000))
	who := "each client that takes part sends exactly one"
	if p.Presence == task.Revealed.String() {
		who = "each client that has something to say sends one"
	}
	w.item("pace", fmt.Sprintf("%s for each epoch of %s, alone, at a random time up to %s after it; it is %s, split in two shares by %s (%s); batches below %d reports are never collected; tables kept for %s",
		who, p.Epoch, p.MaxDelay, "encrypted to leader and helper", p.VDAF, p.Variant, p.MinBatch, p.Retention))
	w.head("Presence: " + p.Presence)
	w.item("price", p.Price)
	w.head("Who sees what")
	for _, v := range p.Sees {
		w.item(v.Who, "sees "+v.Sees+". Does not see "+v.Hidden+".")
	}
	p.writeNoise(w)
	w.head(fmt.Sprintf("Error bars (95 %%), for %d clients", p.Clients))
	for _, b := range p.Errors {
		w.item("figure", fmt.Sprintf("%s: noise %s, sampling at most %s", b.Figure, amount(b.Noise), amount(b.Sampling)))
	}
	for _, a := range p.Accepted {
		w.item("accepted", string(a.Risk)+": because "+a.Reason)
	}
	for _, x := range p.Warnings {
		w.item("mind", x)
	}
}

// amount writes an error in three digits, or all before the point.
func amount(x float64) string {
	switch {
	case x == 0:
		return "none"
	case x >= 1000:
		return fmt.Sprintf("%.0f", x)
	}
	return fmt.Sprintf("%.3g", x)
}

func (p *AggregatePlan) writeNoise(w *writer) {
	n := &p.Noise
	w.head("Privacy of one client, against anyone with the results")
	w.item("noise", n.Mechanism)
	w.item("added by", n.NoiseToEach)
	w.item("one client", fmt.Sprintf("changes the result by up to %s in all elements together, %s in length", figure(n.L1), figure(n.L2)))
	if math.IsInf(float64(n.Epoch.Epsilon), 1) {
		w.item("epsilon", "none")
		return
	}
	w.item("one epoch", n.Epoch.text()+", by the noise of one aggregator alone; "+dp.Assumption)
	for _, sum := range n.Sums {
		w.item(periodText(sum.Days), sum.text()+"; "+dp.Assumption)
	}
	w.item("participation", n.Presence)
}
