package console

import (
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/server"
	"github.com/shoal-project/shoal/metric/cost"
	"github.com/shoal-project/shoal/metric/plan"
	"github.com/shoal-project/shoal/metric/task"
)

// privacyOf returns the privacy card of a task.
func (s *serverSource) privacyOf(t server.Task) Privacy {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.privacy[t.ID]
	if !ok {
		p = Privacy{Facts: facts(t.Task), Sees: sights(t)}
		s.privacy[t.ID] = p
	}
	return p
}

func facts(t *task.Task) []Fact {
	all := []Fact{thresholdFact(t)}
	if rule, err := t.Threshold.Rule(); err == nil {
		all = append(all, guarantee(t, rule)...)
	}
	for _, f := range t.Schema {
		if f.Flip > 0 {
			all = append(all, flipFact(f))
		}
	}
	all = append(all,
		Fact{"Smallest batch", plural(int64(t.MinBatch), "report", "reports"), "a batch with fewer is never opened"},
		Fact{"One client sends at most", plural(int64(t.PerEpoch), "report", "reports") + " " + unitWords(t), fmt.Sprintf("and %d to one crowd; the device keeps to it", t.PerCrowd)},
	)
	kept := Fact{"Results are kept", "until removed by hand", ""}
	if t.RetentionDays > 0 {
		kept = Fact{"Results are kept", plural(int64(t.RetentionDays), "day", "days"), "then the tables are removed"}
	}
	return append(all, kept)
}

// unitWords names the unit in which the reports of a client are counted.
func unitWords(t *task.Task) string {
	if n := t.Crowd.SaltEpochs; n > 1 {
		return fmt.Sprintf("in a salt window of %d epochs", n)
	}
	return "an epoch"
}

func thresholdFact(t *task.Task) Fact {
	h := t.Threshold
	sigma := strconv.FormatFloat(float64(h.SigmaMilli)/1000, 'f', -1, 64)
	switch h.Kind {
	case task.NoisyDrop:
		return Fact{"Crowd threshold", fmt.Sprint(h.T), fmt.Sprintf("a crowd goes on if so many reports are left after about %d ± %s were dropped at random; %s", h.D, sigma, dp.DropAssumption)}
	case task.NoisySet:
		return Fact{"Crowd threshold", fmt.Sprintf("%s, with noise of %s", number(float64(h.T)), sigma), "a crowd above it goes on whole; " + dp.Assumption}
	default:
		return Fact{"Crowd threshold", fmt.Sprint(h.T), "a crowd of at least so many goes on whole, without noise; " + dp.Assumption}
	}
}

// guarantee states epsilon at a delta that the rule attains, for all that is
// published of a batch.
func guarantee(t *task.Task, rule dp.Threshold) []Fact {
	if rule.Protects() == dp.ProtectsNothing {
		return []Fact{{"Differential privacy", "none", "a threshold without noise gives no guarantee"}}
	}
	if t.HasSecond() {
		return []Fact{{"Differential privacy", "none claimed", "each report is counted in two crowds, of which together none is proven"}}
	}
	unit := "one epoch"
	if n := t.Crowd.SaltEpochs; n > 1 {
		unit = fmt.Sprintf("one salt window of %d epochs", n)
	}
	var all []Fact
	crowd, err := cost.CurveOf(t, cost.PerCrowd)
	if err != nil {
		return nil
	}
	all = append(all, statement("Epsilon, for one crowd", crowd,
		"how much the reports of one client to one crowd can show in "+rule.Protects().String()+" and in the total"))
	if t.PerEpoch > t.PerCrowd {
		if whole, err := cost.CurveOf(t, cost.PerEpoch); err == nil {
			all = append(all, statement("Epsilon, for "+unit, whole, fmt.Sprintf("the same for all that one client may send in %s, at most %d reports", unit, t.PerEpoch)))
		}
	}
	if spend, err := cost.SpendOf(t, statedDelta); err == nil {
		all = append(all, sumFacts(spend)...)
	}
	return all
}

// statedDelta is the delta at which sums over time are stated, for each unit.
const statedDelta = 1e-6

// sumFacts describes what the releases of a month and of a year reveal together.
func sumFacts(spend cost.Spend) []Fact {
	var all []Fact
	for _, p := range []struct {
		days uint64
		name string
	}{{30, "Epsilon, for 30 days"}, {365, "Epsilon, for a year"}} {
		best := cost.SumOf(p.days, statedDelta, spend).Best()
		if math.IsInf(float64(best.Epsilon), 1) {
			return nil
		}
		all = append(all, Fact{p.name, dp.Figure(float64(best.Epsilon)), fmt.Sprintf("at delta %s: of all releases of this question together; %s", dp.Figure(float64(best.Delta)), dp.Assumption)})
	}
	return all
}

// statement writes the epsilon of a curve at the first delta that is attained.
func statement(name string, c dp.Curve, meaning string) Fact {
	for _, delta := range []float64{1e-6, 1e-5, 1e-4, 1e-3, 1e-2} {
		if epsilon, err := c.Epsilon(delta); err == nil {
			return Fact{name, dp.Figure(epsilon), fmt.Sprintf("at delta %s: %s; %s", dp.Figure(delta), meaning, dp.Assumption)}
		}
	}
	return Fact{name, "none", "no delta of use is attained"}
}

func flipFact(f task.Field) Fact {
	p := float64(f.Flip) / 1e6
	what, local := "of its bits are flipped before sending", dp.LocalEpsilonFlip(p)
	if f.Kind == task.Enum || f.Kind == task.List {
		what, local = "of its values are replaced at random before sending", dp.LocalEpsilonKRR(p, f.Options())
	}
	return Fact{
		"Randomised on the device: " + f.Name, strconv.FormatFloat(100*p, 'g', 4, 64) + " %",
		fmt.Sprintf("%s (local epsilon %s for each; a large one is deniability, not protection)", what, dp.Figure(local)),
	}
}

// sights returns who sees what, with the names of the parties.
func sights(t server.Task) []Sight {
	var all []Sight
	hop := 0
	for _, v := range plan.Views(t.Task) {
		switch {
		case v.Who == "device" || v.Who == "network observer":
			continue // not parties of the answer
		case v.Role != 0 && v.Role != task.Relay && hop < len(t.Task.Hops):
			all = append(all, Sight{partyName(t, hop, v.Who), v.Sees, v.Never()})
			hop++
		case v.Who == "analyst":
			all = append(all, Sight{"You, here", v.Sees, v.Never()})
		default:
			all = append(all, Sight{capital(v.Who), v.Sees, v.Never()})
		}
	}
	return all
}

// partyName names a party of the task by its role and address.
func partyName(t server.Task, hop int, role string) string {
	h, name := t.Task.Hops[hop], capital(role)
	if h.URL != "" {
		name += " at " + host(h.URL)
	}
	if hop == t.Hop {
		name += " (this server)"
	}
	return name
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

func host(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return address
	}
	return u.Host
}
