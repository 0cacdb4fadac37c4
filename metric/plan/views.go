package plan

import (
	"fmt"
	"strings"

	"github.com/shoal-project/shoal/metric/task"
)

// A View is what one party sees, and what it cannot.
type View struct {
	Who    string `json:"who"`
	Sees   string `json:"sees"`
	Hidden string `json:"hidden"`
}

// views says what each party sees.
func views(t *task.Task) []View {
	tag := "which reports are of one crowd, by a salted hash of " + crowdWords(t) + "; whoever guesses the value can compute the hash"
	if t.Crowd.Kind == task.Constant {
		tag = "that all reports are of one crowd"
	}
	address := "the sender's network address and the time of each report, which it must not keep"
	out := []View{{
		Who: "network observer", Sees: "that an address sends reports to the first shuffler, their one size and their times",
		Hidden: "content, nor which of the tasks of the same size it is",
	}}
	n := task.Shufflers(t.Hops)
	rest := "what the reports say beside that"
	if t.Crowd.Kind == task.Payload {
		rest = "values that it cannot guess"
	}
	for i := range n {
		v := View{Who: "shuffler"}
		if n > 1 {
			v.Who = fmt.Sprintf("shuffler %d", i+1)
		}
		first, last := i == 0, i == n-1
		switch {
		case first && last:
			v.Sees, v.Hidden = address+"; "+tag, rest
		case first:
			v.Sees, v.Hidden = address, "crowds, nor content"
		case last:
			v.Sees, v.Hidden = tag, "where reports come from, nor "+rest
		default:
			v.Sees, v.Hidden = "how many reports there are", "where they come from, crowds, nor content"
		}
		out = append(out, v)
	}
	together := "who sent what, as far as randomised response does not hide it"
	if t.Encoding.Kind == task.Quorum {
		together = fmt.Sprintf("who sent what, of values that %d reports hold or that they can guess", t.Encoding.Shares)
	}
	return append(
		out,
		analyzerView(t),
		View{
			Who: "all together", Sees: together,
			Hidden: "what was never recorded: what is not in the schema, and what coarsening took away",
		},
	)
}

// analyzerView says what the analyzer sees of a task.
func analyzerView(t *task.Task) View {
	table := "the reports of crowds that pass the threshold, as a table of " + strings.Join(fieldNames(t), ", ")
	v := View{Who: "analyzer", Sees: table, Hidden: "where they come from, their order, their time within the epoch, nor any report of a crowd that does not pass"}
	if t.Encoding.Kind != task.Quorum {
		return v
	}
	n := t.Encoding.Shares
	v.Sees = fmt.Sprintf("the values that %d reports or more hold, of crowds that pass the threshold, as a table of %s; of other reports that reach it, ciphertexts: which are equal, and whether a guess is right",
		n, strings.Join(fieldNames(t), ", "))
	v.Hidden += fmt.Sprintf(", nor a value that fewer than %d hold and that it cannot guess", n)
	return v
}

func crowdWords(t *task.Task) string {
	if t.Crowd.Kind == task.Payload {
		return "the whole report"
	}
	var names []string
	for _, i := range t.Crowd.Fields {
		names = append(names, t.Schema[i].Name)
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
