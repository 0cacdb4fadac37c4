package message

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/bundle"
)

// The rules of the sanitizer, beside those of package discovery. Table
// describes each.
const (
	RuleNoindex discovery.Rule = "message.noindex"
	RuleDepth   discovery.Rule = "message.depth"
	RuleSearch  discovery.Rule = "message.search"
	RuleEngine  discovery.Rule = "message.engine"
	RuleResults discovery.Rule = "message.results"
	RuleSchema  discovery.Rule = "message.schema"
	RuleTime    discovery.Rule = "message.time"
	RuleRandom  discovery.Rule = "message.random"
	RuleCountry discovery.Rule = "message.country"
	RuleRecord  discovery.Rule = "message.record"
)

// Table lists the rules of the sanitizer, beside those of package discovery,
// which it asks again.
func Table() []discovery.RuleInfo {
	return []discovery.RuleInfo{
		{Rule: RuleDepth, Text: "the page was not reached straight from the results of a search"},
		{Rule: RuleNoindex, Text: "the anonymous page forbids indexing, by meta or header"},
		{Rule: RuleSearch, Text: "the page is a result page of a known engine: reported as a search or not at all"},
		{Rule: RuleEngine, Text: "the signed bundle does not know the engine, or finds another search in the clean URL, or has expired"},
		{Rule: RuleResults, Text: fmt.Sprintf("of the first %d results fewer than %d different ones may be reported: the words are too special; or this result may not be", maxResults, leastResults)},
		{Rule: RuleSchema, Text: "the record does not have exactly the fields and values of its schema"},
		{Rule: RuleTime, Text: "the day is not known"},
		{Rule: RuleRandom, Text: "no number can be drawn"},
		{Rule: RuleCountry, Verdict: discovery.Public, Text: fmt.Sprintf("not a refusal: the country is reported only if %d people are declared to live there, otherwise \"--\"", LeastCountry)},
		{Rule: RuleRecord, Verdict: discovery.Public, Text: "not a refusal: the record as it leaves"},
	}
}

// LeastCountry is how many people a country must have, as declared by the operator
// of the collection, before it is reported.
const LeastCountry = 10_000

// Config is what a sanitizer works with.
type Config struct {
	Rules     *discovery.Rules
	Bundle    *bundle.Bundle    // the engines that queries may name; nil: none
	Rand      io.Reader         // nil: crypto/rand
	Countries map[string]uint64 // people by country code, as declared by the operator of the collection
}

// A Sanitizer is the last gate before the outbox. It is safe for concurrent use
// if Rand is.
type Sanitizer struct {
	config Config
	bundle atomic.Pointer[bundle.Bundle]
}

// SetBundle replaces the bundle, for the messages that are checked from now on.
func (s *Sanitizer) SetBundle(b *bundle.Bundle) { s.bundle.Store(b) }

// NewSanitizer returns a sanitizer.
func NewSanitizer(c Config) (*Sanitizer, error) {
	if c.Rules == nil {
		return nil, errors.New("making a sanitizer: no rules")
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	for code := range c.Countries {
		if len(code) != 2 || strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
			return nil, fmt.Errorf("making a sanitizer: country %q: want two capital letters", code)
		}
	}
	s := &Sanitizer{config: c}
	s.bundle.Store(c.Bundle)
	return s, nil
}

// A Moment is when and where a message is made. The time is used to the day.
type Moment struct {
	Now     time.Time
	Country string // code, as the embedder knows it; empty if unknown
}

// Check judges a message again in all of its parts and returns its record. If
// the decision is not discovery.Public, nothing may leave and the record is
// empty. The trace has every rule that was asked.
func (s *Sanitizer) Check(m Message, at Moment) (Record, discovery.Decision) {
	g := &gate{Sanitizer: s, rules: s.bundle.Load(), now: at.Now}
	schema := m.Schema()
	fields := m.fill(g)
	if g.refused {
		return Record{}, g.decision()
	}
	if err := conforms(&schema, fields); err != nil {
		g.refuse(RuleSchema, schema.Name, err.Error())
		return Record{}, g.decision()
	}
	if at.Now.IsZero() {
		g.refuse(RuleTime, "", "the day is not known")
		return Record{}, g.decision()
	}
	number, err := s.number()
	if err != nil {
		g.refuse(RuleRandom, "", err.Error())
		return Record{}, g.decision()
	}
	r := Record{
		Name: schema.Name, Version: schema.Version, Fields: fields, AntiDuplicate: number,
		Day: at.Now.UTC().Format(time.DateOnly), Country: g.country(at.Country),
	}
	text, err := r.JSON()
	if err != nil {
		g.refuse(RuleSchema, schema.Name, err.Error())
		return Record{}, g.decision()
	}
	g.pass(RuleRecord, string(text))
	d := g.decision()
	d.Text = string(text)
	return r, d
}

// numbers is how many anti-duplicate numbers there are.
const numbers = 10_000_000

// number draws an anti-duplicate number, each with the same probability.
func (s *Sanitizer) number() (uint32, error) {
	const fair = 1<<32 - 1<<32%numbers
	for {
		var b [4]byte
		if _, err := io.ReadFull(s.config.Rand, b[:]); err != nil {
			return 0, fmt.Errorf("drawing a number: %w", err)
		}
		if n := binary.BigEndian.Uint32(b[:]); uint64(n) < fair {
			return n % numbers, nil
		}
	}
}

// conforms checks that a record has exactly the fields of its schema.
func conforms(s *Schema, fields map[string]any) error {
	n := 0
	for i := range s.Fields {
		f := &s.Fields[i]
		if f.enveloped() {
			continue
		}
		v, ok := fields[f.Name]
		if !ok {
			return fmt.Errorf("field %q is missing", f.Name)
		}
		if err := f.holds(v); err != nil {
			return err
		}
		n++
	}
	if n != len(fields) {
		return errors.New("a field that the schema does not have")
	}
	return nil
}

// A gate is one message that is being judged.
type gate struct {
	*Sanitizer
	rules   *bundle.Bundle // nil: none
	now     time.Time
	trace   []discovery.Step
	level   discovery.Strictness
	refused bool
}

// pass records in the trace that a rule was applied and found nothing. It does nothing
// after a refusal.
func (g *gate) pass(rule discovery.Rule, input string) {
	if g.refused {
		return
	}
	g.trace = append(g.trace, discovery.Step{Rule: rule, Input: input, Verdict: discovery.Public})
}

func (g *gate) refuse(rule discovery.Rule, input, found string) {
	if g.refused {
		return
	}
	g.refused = true
	g.trace = append(g.trace, discovery.Step{Rule: rule, Input: input, Found: found, Verdict: discovery.Private})
}

// take adds the trace of a decision, and refuses unless it is public.
func (g *gate) take(d discovery.Decision) string {
	if g.refused {
		return ""
	}
	steps := d.Trace
	if d.Verdict != discovery.Public {
		steps = slices.Clone(d.Trace)
		last := &steps[len(steps)-1]
		last.Verdict = discovery.Private // a masked page makes no message
		g.refused = true
	}
	g.trace = append(g.trace, steps...)
	return d.Text
}

func (g *gate) decision() discovery.Decision {
	d := discovery.Decision{Verdict: discovery.Public, Strictness: g.level, Trace: g.trace}
	if g.refused {
		d.Verdict, d.Rule = discovery.Private, g.trace[len(g.trace)-1].Rule
	}
	return d
}

// country returns what is reported of the country.
func (g *gate) country(code string) string {
	if n := g.config.Countries[code]; n < LeastCountry {
		g.pass(RuleCountry, "not told: fewer people are declared than a crowd needs")
		return "--"
	}
	g.pass(RuleCountry, code)
	return code
}
