package discovery

import (
	"fmt"
	"log/slog"
)

// A Verdict is how much of something may leave the device. The zero verdict
// is Private.
type Verdict uint8

// The verdicts, the strictest first.
const (
	Private Verdict = iota // nothing may leave
	Mask                   // only Decision.Text, which for a URL is "scheme://host/ (PROTECTED)"
	Public                 // the rules of this package have nothing against it
)

func (v Verdict) String() string {
	switch v {
	case Public:
		return "public"
	case Mask:
		return "mask"
	}
	return "private"
}

// A Step is one rule that was asked: what it looked at, what it found, and the
// verdict it alone would give (Public if it has nothing against it).
type Step struct {
	Rule    Rule
	Input   string // what the rule looked at: part of what is private
	Found   string // what it found there; empty if nothing
	Verdict Verdict
}

// A Decision is a verdict with its reasons. Its fields hold what was decided
// on, so they are as private as that: show them to the person, do not log
// them. In logs and with %v a Decision shows verdict and rule only.
type Decision struct {
	Verdict    Verdict
	Rule       Rule       // the rule that decided; RuleNone if the verdict is Public
	Text       string     // what may leave: the clean URL, the masked URL, the query, the title, or nothing
	Strictness Strictness // what the rules were applied with
	Trace      []Step     // every rule that was asked, in order; the last one decided
}

// Why returns the step that decided; of a public decision, the last step.
func (d Decision) Why() Step {
	if len(d.Trace) == 0 {
		return Step{}
	}
	return d.Trace[len(d.Trace)-1]
}

func (d Decision) String() string {
	if d.Rule == RuleNone {
		return d.Verdict.String()
	}
	return fmt.Sprintf("%s: %s", d.Verdict, d.Rule)
}

// GoString is String, so that %#v shows nothing private.
func (d Decision) GoString() string { return d.String() }

// Format writes String whatever the verb.
func (d Decision) Format(s fmt.State, _ rune) { fmt.Fprint(s, d.String()) }

// LogValue is String.
func (d Decision) LogValue() slog.Value { return slog.StringValue(d.String()) }
