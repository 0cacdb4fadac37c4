package metric

import (
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// A Risk is something that the check refuses unless the file accepts it, by
// this name and with a reason.
type Risk string

// The risks.
const (
	FreeText       Risk = "free text outside the crowd"
	ExactNumbers   Risk = "exact numbers outside the crowd"
	RareMixtures   Risk = "rare combinations outside the crowd"
	GuessableCrowd Risk = "a single shuffler can confirm guesses"

	GuessableQuorum Risk = "the analyzer can confirm guesses"

	LooseBound Risk = "a bound far above what is ordinary"
)

func risks() []Risk {
	return []Risk{FreeText, ExactNumbers, RareMixtures, GuessableCrowd, GuessableQuorum, LooseBound}
}

// leastReason is how many bytes a reason has at least.
const leastReason = 20

// accept reads entries "<risk>: because <reason>".
func (r *reader) accept(m *Metric, n ast.Node) {
	entries, ok := r.sequence(n, "accept")
	if !ok {
		return
	}
	var known []string
	for _, k := range risks() {
		known = append(known, string(k))
	}
	for _, e := range entries {
		s, ok := acceptText(e)
		risk, reason, found := strings.Cut(s, ": because ")
		switch {
		case !ok || !found:
			r.fail(e, `accept: %s; want "<risk>: because <reason>", with the risk one of: %s`, describe(e), strings.Join(known, "; "))
		case !slices.Contains(risks(), Risk(risk)):
			r.fail(e, "accept: unknown risk %q; %s", risk, hint(risk, known))
		case len(strings.TrimSpace(reason)) < leastReason:
			r.fail(e, "accept: %q: give a reason of %d characters at least; people will read it in the plan", risk, leastReason)
		case m.accepted[Risk(risk)] != "":
			r.fail(e, "accept: %q stands twice", risk)
		default:
			m.accepted[Risk(risk)] = strings.TrimSpace(reason)
		}
	}
}

// acceptText returns an entry as text, also if its colon made it a mapping.
func acceptText(n ast.Node) (string, bool) {
	if s, ok := plainText(n); ok {
		return s, true
	}
	m, ok := n.(ast.MapNode)
	if !ok {
		return "", false
	}
	it := m.MapRange()
	if !it.Next() {
		return "", false
	}
	key, ok1 := plainText(it.Key())
	value, ok2 := plainText(it.Value())
	return key + ": " + value, ok1 && ok2 && !it.Next()
}
