package plan

import (
	"fmt"
	"strings"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/metric/kind"
	"github.com/shoal-project/shoal/metric/task"
)

// A View is what one party of a task sees, what it does not see, and on which
// assumption that rests.
type View struct {
	Who     string    `json:"who"`
	Role    task.Role `json:"-"` // of a party that the task names, else 0
	Sees    string    `json:"sees"`
	Hidden  string    `json:"hidden,omitempty"`
	Assumes string    `json:"assumes,omitempty"`
}

// Never returns what the party does not see, with the assumption.
func (v View) Never() string {
	if v.Assumes == "" || v.Hidden == "" {
		return v.Hidden
	}
	return v.Hidden + ", as long as " + v.Assumes
}

// String states the view, after the party's name.
func (v View) String() string {
	if v.Hidden == "" {
		return "sees " + v.Sees + "."
	}
	return "sees " + v.Sees + ". Does not see " + v.Never() + "."
}

// Views returns who sees what of a task: the device, a network observer, the
// parties in the order of its hops, the parties as one, and those who read the
// results. All pages, plans and documents quote it, so that a promise has one
// wording.
func Views(t *task.Task) []View {
	device := View{Who: "device", Sees: "its own data, and each report before it leaves", Hidden: "data of others"}
	analyst := View{Who: "analyst", Sees: "what is released, with its error bars", Hidden: "what is not released"}
	between := crowdViews
	if t.Method == task.Aggregate {
		between = aggregateViews
	}
	views := between(t)
	if t.Relayed() {
		views = append([]View{
			{
				Who: "network observer", Sees: "that an address sends to the relay, and the times and few fixed sizes of its messages",
				Hidden: "content, nor for whom it is", Assumes: encrypted,
			},
			{
				Who: "relay", Role: task.Relay, Sees: address + "; for which party it is, and its size, one of few",
				Hidden: "content, nor for which question it is", Assumes: alone,
			},
		}, views[1:]...)
	}
	return append(append([]View{device}, views...), analyst)
}

const (
	encrypted = "connections are encrypted"
	apart     = "no two of these organisations work together"
	halves    = "leader and helper do not work together"
	alone     = "the relay works together with none of the others, which is a promise of organisations: a task ensures only that their keys and hosts differ"
	arrival   = "the time of each report, which it must not keep"
	address   = "the sender's network address and the time of each report, which it must not keep"
)

func crowdViews(t *task.Task) []View {
	out := []View{{
		Who: "network observer", Sees: "that an address sends reports to the first shuffler, their one size and their times",
		Hidden: "content, nor which of the tasks of the same size it is", Assumes: encrypted,
	}}
	n := task.Shufflers(t.Hops)
	for i := range n {
		out = append(out, shufflerView(t, i, n))
	}
	together := "who sent what, as far as randomised response does not hide it"
	if t.Encoding.Kind == task.Quorum {
		together = fmt.Sprintf("who sent what, of values that %d reports hold or that they can guess", t.Encoding.Shares)
	}
	out = append(out, analyzerView(t))
	if t.Hardened() {
		out = append(out, View{
			Who: "randomness", Role: task.Randomness, Sees: "how many clients take part in an epoch, by their requests of one size, " + fmt.Sprint(t.Protection.Evaluations) + " each, whether they have records or not",
			Hidden: "any value, nor whether a client has one", Assumes: apart,
		})
	}
	return append(out,
		View{
			Who: "all together", Sees: together,
			Hidden: "what was never recorded: what is not in the schema, and what coarsening took away",
		},
	)
}

// shufflerView is the view of shuffler i of n.
func shufflerView(t *task.Task, i, n int) View {
	tag := "which reports are of one crowd, by a salted hash of " + crowdWords(t) + ", with which it can confirm a guess of the value"
	if t.Crowd.Kind == task.Constant {
		tag = "that all reports are of one crowd"
	}
	rest := "what the reports say beside that"
	if t.Crowd.Kind == task.Payload {
		rest = "values that it cannot guess"
	}
	if t.Hardened() {
		tag = "which reports are of one crowd, by a tag with which it cannot confirm a guess without the randomness party"
		rest = "any value"
	}
	if t.Protection.Blinded && i == n-1 {
		tag = "which reports are of one crowd, by random numbers, and so how large the crowds are; it cannot confirm a guess of the value but by reports of its own, one guess for each that the first shuffler admits"
		rest = "any value"
	}
	if t.HasSecond() {
		tag += "; of each report two, and so how often two crowds have a report in common"
	}
	v := View{Who: "shuffler", Role: task.Shuffler, Assumes: apart}
	if n > 1 {
		v.Who = fmt.Sprintf("shuffler %d", i+1)
	}
	switch first, last := i == 0, i == n-1; {
	case first && last && t.Relayed():
		v.Sees, v.Hidden = arrival+"; "+tag, "where reports come from, nor "+rest
	case first && t.Relayed():
		v.Sees, v.Hidden = arrival, "where reports come from, crowds, nor content"
	case first && last:
		v.Sees, v.Hidden = address+"; "+tag, rest
	case first:
		v.Sees, v.Hidden = address, "crowds, nor content"
	case last:
		v.Sees, v.Hidden = tag, "where reports come from, nor "+rest
	default:
		v.Sees, v.Hidden = "how many reports there are", "where they come from, crowds, nor content"
	}
	return v
}

func analyzerView(t *task.Task) View {
	fields := strings.Join(fieldNames(t), ", ")
	v := View{
		Who: "analyzer", Role: task.Analyzer, Sees: "the reports of crowds that pass the threshold, as a table of " + fields,
		Hidden:  "where they come from, their order, their time within the epoch, nor any report of a crowd that does not pass",
		Assumes: apart,
	}
	if t.Encoding.Kind != task.Quorum {
		return v
	}
	n := t.Encoding.Shares
	if t.Hardened() {
		v.Sees = fmt.Sprintf("the records of crowds that pass the threshold and in which %d clients or more are, as a table of %s; of other crowds that reach it, how many reports they have", n, fields)
		v.Hidden += fmt.Sprintf(", nor a value of which fewer than %d clients have reports, which it cannot confirm by a guess without the randomness party", n)
		return v
	}
	v.Sees = fmt.Sprintf("the values that %d reports or more hold, of crowds that pass the threshold, as a table of %s; of other reports that reach it, ciphertexts: which are equal, and whether a guess is right",
		n, fields)
	v.Hidden += fmt.Sprintf(", nor a value that fewer than %d hold and that it cannot guess", n)
	return v
}

func aggregateViews(t *task.Task) []View {
	when := "that it takes part, once an epoch, whether it has anything to say or not"
	if t.Aggregation.Presence == kind.Revealed {
		when = "that it had something to say in the epoch"
	}
	sender, value, keys, together := "the sender's network address, which it must not keep, and by it "+when, "any value", ", and the addresses that ask for its keys", "who said what"
	if t.Relayed() {
		sender, value, keys, together = arrival, "where reports come from, nor any value", "", "what single reports say, not where they come from"
	}
	exact, single := "exactly", "any single report"
	if t.Aggregation.Noise.Mechanism != dp.NoNoise {
		exact, single = "with both aggregators' noise", "any single report, nor the exact sums"
	}
	return []View{
		{
			Who: "network observer", Sees: "that an address sends a report to the leader, its one size and its time",
			Hidden: "content", Assumes: encrypted,
		},
		{
			Who: "leader", Role: task.Leader, Sees: sender + "; one share of each report",
			Hidden: value + ": its shares are random numbers without the helper's", Assumes: halves,
		},
		{
			Who: "helper", Role: task.Helper, Sees: "how many reports there are, the other share of each" + keys,
			Hidden: "any value: its shares are random numbers without the leader's", Assumes: halves,
		},
		{
			Who: "collector", Role: task.Collector, Sees: fmt.Sprintf("the sum of each batch of at least %d reports, %s, and how many they were", t.MinBatch, exact),
			Hidden: single, Assumes: halves,
		},
		{
			Who: "leader and helper together", Sees: together, Hidden: "what was never recorded",
		},
	}
}

func crowdWords(t *task.Task) string {
	if t.Crowd.Kind == task.Payload {
		return "the whole report"
	}
	var names []string
	for _, i := range t.Crowd.Fields {
		names = append(names, t.Schema[i].Name)
	}
	switch t.Protection.Second.Kind {
	case task.OfElements:
		return "each element of " + strings.Join(names, " and ")
	case task.OfFields:
		var second []string
		for _, i := range t.Protection.Second.Fields {
			second = append(second, t.Schema[i].Name)
		}
		return strings.Join(names, " and ") + ", and by one of " + strings.Join(second, " and ")
	}
	return strings.Join(names, " and ")
}

func fieldNames(t *task.Task) []string {
	var out []string
	for _, f := range t.Schema {
		out = append(out, f.Name)
	}
	return out
}
