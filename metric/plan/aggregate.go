package plan

import (
	"fmt"
	"math"
	"time"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/printable"
	"github.com/shoal-project/shoal/metric/cost"
	"github.com/shoal-project/shoal/metric/kind"
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

	Caps     Caps       `json:"caps"`
	Surround []Surround `json:"surround"`

	Sees     []View         `json:"sees"`
	Noise    AggregateNoise `json:"noise"`
	Errors   []Bar          `json:"error_bars"`
	Clients  int            `json:"clients"` // for which the error bars hold
	Price    string         `json:"price_of_presence"`
	Accepted []Accepted     `json:"accepted,omitempty"`
	Warnings []string       `json:"warnings,omitempty"`
}

// AggregateNoise is what noise costs and gives, for one client that changes the
// values it records in one epoch. The guarantee is that of one aggregator's noise: it holds
// even if the other adds none.
type AggregateNoise struct {
	Mechanism   string         `json:"mechanism"`
	L1          cost.Figure    `json:"l1_sensitivity"`
	L2          cost.Figure    `json:"l2_sensitivity"`
	Epoch       cost.Guarantee `json:"epoch"`
	Sums        []cost.Sum     `json:"sums"` // of 30 days and a year
	Presence    string         `json:"participation"`
	StdDev      float64        `json:"std_dev"`   // of both aggregators' noise on an element, in its unit
	Within95    float64        `json:"within_95"` // the same noise stays below this in 95 cases of 100
	Quantum     float64        `json:"unit"`      // in which an element is counted: 1 except for gradients
	NoiseToEach string         `json:"adds"`
}

// muchEpsilon is the epsilon above which the plan warns.
const muchEpsilon = 5.0

// Aggregate foretells a task of the method aggregate.
func Aggregate(t *task.Task, accepted []Accepted, p Population) (AggregatePlan, error) {
	if err := p.Validate(); err != nil {
		return AggregatePlan{}, err
	}
	a := &t.Aggregation
	q, err := a.Measure()
	if err != nil {
		return AggregatePlan{}, err
	}
	words, err := Of(a.Kind)
	if err != nil {
		return AggregatePlan{}, err
	}
	in := q.Instance()
	spend, err := cost.SpendOf(t, cost.Delta)
	if err != nil {
		return AggregatePlan{}, err
	}
	out := AggregatePlan{
		Name: t.Metric, Question: t.Question, Consent: t.Consent, Expires: time.Unix(t.Expires, 0).UTC(),
		Type: words.Value(), Several: words.Several(), Nothing: nothing(a, words), Presence: a.Presence.String(),
		VDAF: in.Name(), Chunk: kind.Chunk(a.Kind), Variant: a.Variant,
		Report: kind.ReportSize(in), CPU: clientSeconds(in),
		Epoch: printable.Duration(int64(t.EpochSeconds)), MaxDelay: printable.Duration(int64(t.MaxDelay)),
		MinBatch: t.MinBatch, Retention: printable.Duration(int64(t.RetentionDays) * 86400),
		Aggregated: in.NewAggregateShare().Len(), Sees: Views(t), Noise: noiseOf(q, spend),
		Clients: p.Clients, Caps: capsOf(t), Surround: surrounds(t),
	}
	out.Report += out.Caps.Bytes
	out.PerMonth = out.Report * int(spend.Units(cost.MonthDays))
	out.Errors = words.Bars(float64(a.Noise.Within95())*kind.Step(a.Kind), p.Clients)
	out.Price = presencePrice(t, &out, p.Clients)
	out.Accepted = accepted
	out.Warnings = aggregateWarnings(t, &out, words)
	return out, nil
}

// clientSeconds estimates the time for making a report on one core of a server of
// 2023: two HPKE seals, and about 0.12 microseconds for each field element of the
// leader's share. BenchmarkMake of dap/client measures it; devices without vector
// units take several times as long.
func clientSeconds(in vdaf.Instance) float64 {
	return 200e-6 + 0.12e-6*float64(in.Sizes().LeaderShare)/16
}

// nothing describes what a client without a value counts as.
func nothing(a *task.Aggregation, words Kind) string {
	if a.Presence == kind.Revealed {
		return "it sends no report"
	}
	return words.Nothing()
}

// participation is what no noise of the aggregate route covers.
const participation = "not protected: how many reports a batch has is exact, so that one report more or less shows; epsilon is about what a report says"

func noiseOf(q *kind.Measure, spend cost.Spend) AggregateNoise {
	noise := q.Noise()
	l1, l2, _ := vdaf.Sensitivity(q.Instance())
	step := kind.Step(q.Kind())
	out := AggregateNoise{
		Mechanism: noise.String(), L1: cost.Figure(float64(l1)), L2: cost.Figure(l2), Sums: cost.Sums(spend), Presence: participation,
		Epoch:  cost.Guarantee{Epsilon: cost.Figure(spend.Point.Epsilon), Delta: cost.Figure(spend.Point.Delta)},
		StdDev: math.Sqrt(noise.Variance(2)) * step, Within95: float64(noise.Within95()) * step, Quantum: step,
		NoiseToEach: "nothing",
	}
	if noise.Mechanism != dp.NoNoise {
		out.NoiseToEach = "leader and helper each, on their own, to every element, before the collector gets it"
	}
	return out
}

// presencePrice describes what hiding presence costs, or what revealing it does.
func presencePrice(t *task.Task, p *AggregatePlan, clients int) string {
	if t.Aggregation.Presence == kind.Revealed {
		return "That a report exists is data, and nothing hides it: the leader, and an observer of the network, learns of each address in which epochs it had something to say. No noise covers that, and the number of reports is exact. Hidden, every client would send one report an epoch instead."
	}
	return fmt.Sprintf("Hidden costs one report an epoch of every client: %s for %d clients, whether or not they have something to say. Revealed would send only the reports of those that have, and tell the leader and the network who they are, epoch by epoch.", bytesText(float64(p.Report)*float64(clients)), clients)
}

func aggregateWarnings(t *task.Task, p *AggregatePlan, words Kind) []string {
	var out []string
	a, clients := &t.Aggregation, p.Clients
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
	if bar.Noise > 0.1*words.Most()*float64(clients) && words.Most() > 0 {
		out = append(out, fmt.Sprintf("Noise moves %s by up to %.4g, more than a tenth of the most that %d clients can add up to: ask more clients, or raise epsilon.", bar.Figure, bar.Noise, clients))
	}
	if q := words.Quantisation(); q > 0 {
		out = append(out, fmt.Sprintf("Quantisation moves each element of the mean by up to %.3g, on top.", q))
	}
	if t.Relayed() {
		out = append(out, promiseOfRelay)
	}
	return append(out, "A valid report is one within the bounds; that it is true, nobody proves. Nobody sees one client's value unless leader and helper are one, or work together.")
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
	if p.Presence == kind.Revealed.String() {
		who = "each client that has something to say sends one"
	}
	w.item("pace", fmt.Sprintf("%s for each epoch of %s, alone, at a random time up to %s after it; it is %s, split in two shares by %s (%s); batches below %d reports are never collected; tables kept for %s",
		who, p.Epoch, p.MaxDelay, "encrypted to leader and helper", p.VDAF, p.Variant, p.MinBatch, p.Retention))
	w.item("caps", p.Caps.String())
	w.item("surrounded", surroundText(p.Surround, p.Caps.Enforced))
	w.head("Presence: " + p.Presence)
	w.item("price", p.Price)
	w.head("Who sees what")
	for _, v := range p.Sees {
		w.item(v.Who, v.String())
	}
	p.writeNoise(w)
	w.head(fmt.Sprintf("Error bars (95 %%), for %d clients", p.Clients))
	for _, b := range p.Errors {
		w.item("figure", fmt.Sprintf("%s: noise %s, sampling at most %s", b.Figure, amount(b.Noise), amount(b.Sampling)))
	}
	for _, a := range p.Accepted {
		w.item("accepted", a.Risk+": because "+a.Reason)
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
	w.item("one client", fmt.Sprintf("changes the result by up to %v in all elements together, %v in length", n.L1, n.L2))
	if math.IsInf(float64(n.Epoch.Epsilon), 1) {
		w.item("epsilon", "none")
		return
	}
	w.item("one epoch", n.Epoch.String()+", by the noise of one aggregator alone; "+dp.Assumption)
	for _, sum := range n.Sums {
		w.item(sum.Period(), sum.String()+"; "+dp.Assumption)
	}
	w.item("participation", n.Presence)
}
