package bridge

import (
	"encoding/json"
	"time"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/lifecycle"
)

// A Trace is a decision of the engine as it is written in JSON.
type Trace struct {
	At       time.Time `json:"at"`
	Stage    string    `json:"stage"`
	Outcome  string    `json:"outcome"`
	URL      string    `json:"url,omitempty"` // or the words of a search
	Reason   string    `json:"reason,omitempty"`
	Decision *Decision `json:"decision,omitempty"` // of the rules, if they were asked
}

// A Decision is a discovery.Decision as it is written in JSON.
type Decision struct {
	Verdict    string `json:"verdict"`
	Rule       string `json:"rule,omitempty"`   // that decided against
	Leaves     string `json:"leaves,omitempty"` // what may leave
	Strictness string `json:"strictness"`
	Trace      []Step `json:"trace"`
}

// A Step is one rule of a trace.
type Step struct {
	Rule    string `json:"rule"`
	Input   string `json:"input"`
	Found   string `json:"found,omitempty"`
	Verdict string `json:"verdict"`
}

// DecisionOf returns the JSON form of a decision.
func DecisionOf(d discovery.Decision) Decision {
	out := Decision{Verdict: d.Verdict.String(), Rule: string(d.Rule), Leaves: d.Text, Strictness: d.Strictness.String(), Trace: []Step{}}
	for _, s := range d.Trace {
		out.Trace = append(out.Trace, Step{string(s.Rule), s.Input, s.Found, s.Verdict.String()})
	}
	return out
}

// TraceOf returns the JSON form of a trace.
func TraceOf(t lifecycle.Trace) Trace {
	out := Trace{At: t.At, Stage: string(t.Stage), Outcome: string(t.Outcome), URL: t.URL, Reason: t.Reason}
	if len(t.Decision.Trace) > 0 {
		d := DecisionOf(t.Decision)
		out.Decision = &d
	}
	return out
}

// TraceLine returns a trace as one line of JSON, without its end.
func TraceLine(t lifecycle.Trace) []byte {
	line, err := json.Marshal(TraceOf(t))
	if err != nil { // strings and a time in range always marshal
		return []byte("{}")
	}
	return line
}
