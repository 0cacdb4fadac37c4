package console

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/metric"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/server"
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
	if rule, err := metric.Threshold(t.Threshold); err == nil {
		all = append(all, guarantee(t, rule)...)
	}
	for _, f := range t.Schema {
		if f.Flip > 0 {
			all = append(all, flipFact(f))
		}
	}
	all = append(all,
		Fact{"Smallest batch", plural(int64(t.MinBatch), "report", "reports"), "a batch with fewer is never opened"},
		Fact{"One client sends at most", plural(int64(t.PerEpoch), "report", "reports") + " an epoch", fmt.Sprintf("and %d to one crowd; the device keeps to it", t.PerCrowd)},
	)
	kept := Fact{"Results are kept", "until removed by hand", ""}
	if t.RetentionDays > 0 {
		kept = Fact{"Results are kept", plural(int64(t.RetentionDays), "day", "days"), "then the tables are removed"}
	}
	return append(all, kept)
}

func thresholdFact(t *task.Task) Fact {
	h := t.Threshold
	sigma := strconv.FormatFloat(float64(h.SigmaMilli)/1000, 'f', -1, 64)
	switch h.Kind {
	case task.NoisyDrop:
		return Fact{"Crowd threshold", fmt.Sprint(h.T), fmt.Sprintf("a crowd goes on if so many reports are left after about %d ± %s were dropped at random", h.D, sigma)}
	case task.NoisySet:
		return Fact{"Crowd threshold", fmt.Sprintf("%s, with noise of %s", number(float64(h.T)), sigma), "a crowd above it goes on whole"}
	default:
		return Fact{"Crowd threshold", fmt.Sprint(h.T), "a crowd of at least so many goes on whole, without noise"}
	}
}

// guarantee states epsilon at a delta that the rule attains, and the delta
// below which no epsilon gets.
func guarantee(t *task.Task, rule dp.Threshold) []Fact {
	if rule.Protects() == dp.ProtectsNothing {
		return []Fact{{"Differential privacy", "none", "a threshold without noise gives no guarantee"}}
	}
	crowd := rule.Reports(uint64(max(1, t.PerCrowd)))
	all := []Fact{statement("Epsilon, for one crowd", crowd,
		"how much the reports of one client to one crowd can show in "+rule.Protects().String())}
	if n := uint64(t.PerEpoch) / uint64(max(1, t.PerCrowd)); n > 1 && n <= dp.MaxCrowds {
		if whole, err := dp.Crowds(rule, n, uint64(max(1, t.PerCrowd))); err == nil {
			all = append(all, statement("Epsilon, for one epoch", whole, fmt.Sprintf("the same for all that one client may send in an epoch, to %d crowds", n)))
		}
	}
	return all
}

// statement writes the epsilon of a curve at the first delta that is attained.
func statement(name string, c dp.Curve, meaning string) Fact {
	for _, delta := range []float64{1e-6, 1e-5, 1e-4, 1e-3, 1e-2} {
		if epsilon, err := c.Epsilon(delta); err == nil {
			return Fact{name, dp.Figure(epsilon), fmt.Sprintf("at delta %s: %s", dp.Figure(delta), meaning)}
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

// sights says what each party of a task can see.
func sights(t server.Task) []Sight {
	shufflers := len(t.Task.Hops) - 1
	var all []Sight
	for i, h := range t.Task.Hops {
		party := fmt.Sprintf("%s at %s", strings.ToUpper(h.Role.String()[:1])+h.Role.String()[1:], host(h.URL))
		if i == t.Hop {
			party += " (this server)"
		}
		switch {
		case h.Role == task.Analyzer:
			all = append(all, Sight{
				party, "the reports of large enough crowds, in random order: " + strings.Join(columns(t.Task), ", "),
				"who sent them, when, in which order; anything of smaller crowds but their number",
			})
		case i == 0 && shufflers == 1:
			all = append(all, Sight{
				party, "that a device sends, and from which address, while it sends; " + tagSight(t.Task),
				"what is in a report; it keeps no address and no time",
			})
		case i == 0:
			all = append(all, Sight{
				party, "that a device sends, and from which address, while it sends",
				"what is in a report, or which crowd it is in; it keeps no address and no time",
			})
		default:
			all = append(all, Sight{party, "a batch of reports without origin; " + tagSight(t.Task), "who sent them and what is in them"})
		}
	}
	return append(all, Sight{"You, here", "the released tables and what became of each batch", "anything that was not released"})
}

func tagSight(t *task.Task) string {
	if t.Crowd.Kind == task.Constant {
		return "all reports are one crowd"
	}
	return "a digest of each report’s crowd, with which it could confirm a guess of the value"
}

func columns(t *task.Task) []string {
	var names []string
	for _, f := range t.Schema {
		names = append(names, f.Name)
	}
	return slices.Clip(names)
}

func host(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return address
	}
	return u.Host
}
