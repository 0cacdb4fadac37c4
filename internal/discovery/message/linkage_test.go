package message

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/golden"
)

// The simulator asks whether messages of one person can be found among those of
// many. People have a country, habits and interests; each sends messages of one
// schema; those that no crowd covers are dropped, as the shuffler would; and an
// attacker that sees all that is left looks, for each message, for the other one
// that most likely comes from the same person.

type simulation struct {
	schema Schema
	people int
	each   int
	pages  int
	crowd  int
	habit  float64 // how often a person does what that person always does
}

// A told is a message that the attacker sees, and whose it is.
type told struct {
	person int
	values []int64 // by field
}

func (s *simulation) run(t *testing.T, seed uint64) (precision, chance float64) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 99))
	var all []told
	for person := range s.people {
		all = append(all, s.person(r, person)...)
	}
	if all = s.released(all); len(all) < 500 {
		t.Errorf("%s: only %d messages are released", s.schema.Name, len(all))
	}
	hit, pairs := 0.0, 0.0
	weights := s.weights(all)
	perPerson := map[int]int{}
	for _, m := range all {
		perPerson[m.person]++
	}
	crowds := make([]int64, len(all))
	for i := range all {
		crowds[i] = s.crowdOf(&all[i])
	}
	for i := range all {
		best, same, ties := math.Inf(-1), 0.0, 0.0
		for j := range all {
			if i == j || crowds[i] == crowds[j] {
				continue // no person reports a fact twice
			}
			score := s.score(&all[i], &all[j], weights)
			if score > best {
				best, same, ties = score, 0, 0
			}
			if score == best {
				ties++
				if all[i].person == all[j].person {
					same++
				}
			}
		}
		hit += same / ties
		pairs += float64(perPerson[all[i].person]-1) / float64(len(all)-1)
	}
	n := max(1, float64(len(all)))
	return hit / n, pairs / n
}

// person makes the messages of one person.
func (s *simulation) person(r *rand.Rand, person int) []told {
	favourite := make([]int64, len(s.schema.Fields))
	interest := r.IntN(s.pages)
	for i := range favourite {
		favourite[i] = r.Int64N(s.options(&s.schema.Fields[i]))
	}
	var out []told
	session := r.Int64N(1 << 30)
	sent := map[int64]bool{}
	for range s.each {
		if r.IntN(4) == 0 {
			session = r.Int64N(1 << 30) // another sitting
		}
		page := int64(math.Abs(r.NormFloat64()) * float64(s.pages) / 4)
		if r.IntN(3) == 0 {
			page = int64(interest)
		}
		page = min(page, int64(s.pages-1))
		if sent[page] {
			continue // a fact is reported once: the filters of the engine, and the cap of the metric
		}
		sent[page] = true
		m := told{person, make([]int64, len(s.schema.Fields))}
		for i := range m.values {
			f := &s.schema.Fields[i]
			m.values[i] = r.Int64N(s.options(f))
			switch f.Kind {
			case URL, Host, Words, Title, Masked, Language:
				m.values[i] = page
			case Country, ID:
				m.values[i] = favourite[i]
			case Time:
				m.values[i] = (session + r.Int64N(600)) / max(1, int64(f.Grain/time.Second))
			case Bucket, Choice, Engine, Number, Text:
				if r.Float64() < s.habit && f.Name != "rank" { // the rank is a habit of the engine
					m.values[i] = favourite[i]
				}
			case Day:
				m.values[i] = 0
			}
		}
		out = append(out, m)
	}
	return out
}

// options is how many values a field has in the simulation.
func (s *simulation) options(f *Field) int64 {
	switch f.Kind {
	case Bucket:
		return int64(len(f.Bounds))
	case Choice:
		return int64(len(f.Values))
	case Country:
		return 3 // those that are large enough to be reported
	case Engine:
		return 2
	case Number:
		return f.High - f.Low + 1
	case ID, Text:
		return 1 << 40
	case Nonce:
		return numbers
	}
	return 1 << 20
}

// released drops messages whose crowd is too small.
func (s *simulation) released(all []told) []told {
	people := map[int64]map[int]bool{}
	for i := range all {
		k := s.crowdOf(&all[i])
		if people[k] == nil {
			people[k] = map[int]bool{}
		}
		people[k][all[i].person] = true
	}
	var kept []told
	for i := range all {
		if len(people[s.crowdOf(&all[i])]) >= s.crowd {
			kept = append(kept, all[i])
		}
	}
	return kept
}

// crowdOf names the crowd of a message by what is in its fields. Title, language
// and the like follow from the page.
func (s *simulation) crowdOf(m *told) int64 {
	crowd := int64(0)
	for i := range s.schema.Fields {
		if slices.Contains(s.schema.Crowd, s.schema.Fields[i].Name) {
			crowd = crowd*1_000_003 + m.values[i]
		}
	}
	return crowd
}

// weights returns how much it means that two messages agree in a value: the less
// common the value, the more.
func (s *simulation) weights(all []told) []map[int64]float64 {
	out := make([]map[int64]float64, len(s.schema.Fields))
	for i := range out {
		counts := map[int64]float64{}
		for _, m := range all {
			counts[m.values[i]]++
		}
		for v, n := range counts {
			counts[v] = math.Log(float64(len(all)) / n)
		}
		out[i] = counts
	}
	return out
}

func (s *simulation) score(a, b *told, weights []map[int64]float64) float64 {
	total := 0.0
	for i := range s.schema.Fields {
		f := &s.schema.Fields[i]
		switch f.Kind {
		case URL, Host, Words, Title, Masked, Language:
			continue // that two messages are about one thing speaks against one person
		case Time:
			near := math.Abs(float64(a.values[i]-b.values[i])) * f.Grain.Seconds()
			total += max(0, 12-math.Log(1+near))
			continue
		}
		if a.values[i] == b.values[i] {
			total += weights[i][a.values[i]]
		}
	}
	return total
}

// TestLinkage: an attacker finds the other messages of a person little better
// than chance in our schemas, and easily in those that the linter refuses. The
// table is in internal/discovery/testdata/figures.md.
func TestLinkage(t *testing.T) {
	var table strings.Builder
	table.WriteString("| messages | another one of the same person is found | by chance |\n|---|---:|---:|\n")
	run := func(name string, s Schema) float64 {
		sim := simulation{schema: s, people: 300, each: 12, pages: 12, crowd: 20, habit: 0.5}
		got, chance := sim.run(t, 7)
		fmt.Fprintf(&table, "| %s | %.1f %% | %.1f %% |\n", name, 100*got, 100*chance)
		return got
	}
	worst := 0.0
	for _, s := range append(Schemas(), badQuery(), audience()) {
		got := run("`"+s.Name+"`", s)
		worst = max(worst, got)
		if got > 0.05 {
			t.Errorf("%s: an attacker finds another message of the same person in %.1f %% of cases", s.Name, 100*got)
		}
	}
	with := func(fields ...Field) Schema {
		s := pageSchema()
		s.Fields = append(s.Fields, fields...)
		return s
	}
	// What made the page message reveal so little.
	var counters []Field
	for _, name := range []string{"scrolls", "mouse", "links", "keys"} {
		counters = append(counters, Field{Name: name, Kind: Bucket, Bounds: []int64{0, 1, 5}})
	}
	if got := run("`page` with four counters of three buckets", with(counters...)); got < 2*worst {
		t.Errorf("with four counters more an attacker finds %.1f %%", 100*got)
	}
	for _, refused := range []struct {
		name  string
		field Field
	}{
		{"a number of 31 bits that a person repeats half of the time", Field{Name: "height", Kind: Number, High: 1 << 30}},
		{"free text that a person repeats half of the time", Field{Name: "comment", Kind: Text}},
		{"the time to the second", Field{Name: "at", Kind: Time, Grain: time.Second}},
		{"an identifier", Field{Name: "profile", Kind: ID}},
	} {
		s := with(refused.field)
		if !slices.ContainsFunc(Lint(s), func(f Finding) bool { return f.Refused }) {
			t.Errorf("%s is not refused", refused.name)
		}
		if got := run("`page` with "+refused.name, s); got < 6*worst {
			t.Errorf("with %s an attacker finds only %.1f %%: the simulation shows nothing", refused.name, 100*got)
		}
	}
	golden.Sections(t, "../testdata/figures.md", map[string]string{"linkage": table.String()})
}
