package simulate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	crand "crypto/rand"

	"github.com/shoal-project/shoal/cmd/shoal/internal/parties"
	"github.com/shoal-project/shoal/internal/dap/collector"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/metric"
	"github.com/shoal-project/shoal/metric/task"
)

// TestEveryKind answers one question of each kind that a file can hold, and holds
// the answers against the truth. The intervals that are not exact hold with 95 %;
// there are 15 rows or more, of which fewer than a third hold with a probability
// below 1e-9. 200 people are 6 standard deviations more than a batch needs: one is
// destroyed with a probability below 1e-9. Without noise everything must be exact.
func TestEveryKind(t *testing.T) {
	now := time.Date(2027, 3, 4, 5, 6, 7, 0, time.UTC)
	f, err := metric.LoadSimulated("testdata/kinds.yaml", now)
	if err != nil {
		t.Fatal(err)
	}
	given, err := os.ReadFile("testdata/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	v, err := ReadValues("values.yaml", given)
	if err != nil {
		t.Fatal(err)
	}
	if v, err = v.Complete(f); err != nil {
		t.Fatal(err)
	}
	if short := Shortages(f, v, 200); len(short) > 0 {
		t.Fatalf("too few people: %v", short)
	}
	s, err := Run(t.Context(), Config{File: f, Values: v, People: 200, Seed: 7, Dir: t.TempDir(), Now: now, Rand: crand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if len(s.Answers) != len(f.Metrics) {
		t.Fatalf("%d answers to %d questions", len(s.Answers), len(f.Metrics))
	}
	rows, inside := 0, 0
	for _, a := range s.Answers {
		if !a.Released || len(a.Rows) == 0 {
			t.Errorf("%s: released %v with %d rows: %s", a.Metric, a.Released, len(a.Rows), a.Reason)
		}
		if strings.HasPrefix(a.Metric, task.RehearsalPrefix) {
			t.Errorf("%s: the mark is shown as a part of the name", a.Metric)
		}
		if a.Method == "aggregate" && !strings.HasPrefix(a.Metric, "noised") {
			for _, r := range a.Rows {
				// Gradients are rounded to steps of the bound, by each person.
				if math.Abs(r.Estimate-r.True) > 1e-6*math.Abs(r.True)+1e-6 && !strings.HasPrefix(a.Metric, "gradient") {
					t.Errorf("%s: %s is %g, in truth %g", a.Metric, r.Label, r.Estimate, r.True)
				}
			}
			continue
		}
		rows += len(a.Rows)
		inside += a.Inside
	}
	// Which crowds are released is random: about 15 rows, of which an interval holds
	// the truth with 95 %. Fewer than 8, or a third, do not happen by chance.
	if rows < 8 || 3*inside < rows {
		t.Errorf("%d of %d intervals hold the truth", inside, rows)
	}
	for _, a := range s.Answers {
		for _, o := range s.questions {
			if o.metric.Name == a.Metric && a.Epoch.Add(time.Duration(o.task.EpochSeconds)*time.Second).After(now) {
				t.Errorf("%s: the epoch from %s is not over at %s", a.Metric, a.Epoch, now)
			}
		}
	}
	released, err := s.parties.Results().Released().Released(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range released {
		if !task.IsRehearsal(b.Metric) {
			t.Errorf("a released batch is called %s", b.Metric)
		}
	}
	var text strings.Builder
	for _, a := range s.Answers {
		if err := a.WriteText(&text); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"in truth", "intervals hold the truth", "people went beyond the bounds", "people had nothing to say"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the text does not say %q:\n%s", want, text.String())
		}
	}
}

// TestSpecs: an error in a distribution is reported with the value and the limit.
func TestSpecs(t *testing.T) {
	text := &task.Field{Name: "program", Kind: task.String, Max: 4}
	enum := &task.Field{Name: "theme", Kind: task.Enum, Values: []string{"dark", "light"}}
	number := &task.Field{Name: "size", Kind: task.Int, Low: 0, High: 100}
	set := &task.Field{Name: "apis", Kind: task.Set, Values: []string{"a", "b"}}
	flag := &task.Field{Name: "on", Kind: task.Bool}
	list := &task.Field{Name: "seen", Kind: task.List, Elem: task.Int, Max: 4, Low: 0, High: 100}
	for _, c := range []struct {
		f          *task.Field
		spec, want string
	}{
		{text, "constant abcde", `value "abcde" has 5 bytes, the record takes 4`},
		{text, "zipf 100000", "100000 different values do not fit into 4 bytes"},
		{text, "normal 1 2", "normal has no meaning for text; want one of"},
		{text, "zipf", "zipf: 0 numbers, want 1 to 2"},
		{enum, "weights dark=1, grey=2", `"grey" is not one of the values`},
		{enum, "weights dark=0", "all weights are 0"},
		{enum, "weights dark", `"dark": want value=weight`},
		{number, "constant 101", "101 is not from 0 to 100"},
		{number, "constant many", `"many" is not a number`},
		{number, "uniform 5 2", "5 is above 2"},
		{number, "normal 5 -2", "deviation -2 is below 0"},
		{number, "1 to 3 of uniform", "a length has a meaning for lists only"},
		{set, "each 2", "2 is not a probability from 0 to 1"},
		{set, "chances a=3", "3 is not a probability from 0 to 1"},
		{set, "chances c=0.3", `"c" is not one of the values`},
		{flag, "each 0.3", "each has no meaning for yes or no; want one of"},
		{list, "1 to 5 of uniform", "5 elements, the record takes 4"},
		{list, "3 to 1 of uniform", "3 to 1 is not a range of lengths"},
		{list, "1 to 2 of 1 to 2 of uniform", "a list of lists"},
		{number, "gauss 3 4", `unknown distribution "gauss"`},
		{number, "normal NaN 3", `"NaN" is not a number from -1e15 to 1e15`},
	} {
		s, err := parseSpec(c.spec)
		if err == nil {
			_, err = drawField(c.f, s)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.spec, err, c.want)
		}
	}
}

// TestDraws: what is drawn follows the distribution, and the same seed gives the same.
func TestDraws(t *testing.T) {
	field := &task.Field{Name: "theme", Kind: task.Enum, Values: []string{"dark", "light", "grey"}}
	counts := func(seed uint64) map[any]int {
		s, err := parseSpec("weights dark=3, light=1")
		if err != nil {
			t.Fatal(err)
		}
		d, err := drawField(field, s)
		if err != nil {
			t.Fatal(err)
		}
		r, n := rand.New(rand.NewPCG(seed, 0)), map[any]int{}
		for range 4000 {
			n[d(r)]++
		}
		return n
	}
	n := counts(1)
	if n["grey"] != 0 || n["dark"] < 2800 || n["dark"] > 3200 {
		t.Errorf("drawn: %v", n)
	}
	if !reflect.DeepEqual(n, counts(1)) || reflect.DeepEqual(n, counts(2)) {
		t.Error("a seed does not decide what is drawn")
	}
}

// TestDefaults: what is printed by --show-values is read again, and is complete.
func TestDefaults(t *testing.T) {
	now := time.Date(2027, 3, 4, 0, 0, 0, 0, time.UTC)
	for _, name := range []string{"aggregate.yaml", "metrics.yaml"} {
		f, err := metric.Load(filepath.Join("../../../../docs/examples", name), now)
		if err != nil {
			t.Fatal(err)
		}
		v, err := Values{}.Complete(f)
		if err != nil {
			t.Fatal(err)
		}
		text, err := v.Text()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ReadValues(name, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if again, err = again.Complete(f); err != nil || !reflect.DeepEqual(again, v) {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
	}
}

// FuzzSpec: no distribution makes the reader or the drawing panic.
func FuzzSpec(f *testing.F) {
	for _, s := range []string{"chance 0.3", "1 to 5 of zipf 100 1.1", "weights a=1, b=2", "elements 1, 2", "uniform", "normal 1e15 1e15"} {
		f.Add(s)
	}
	fields := []*task.Field{
		{Name: "a", Kind: task.String, Max: 9},
		{Name: "b", Kind: task.Enum, Values: []string{"a", "b"}},
		{Name: "c", Kind: task.Int, Low: -5, High: 100},
		{Name: "d", Kind: task.Bool},
		{Name: "e", Kind: task.Set, Values: []string{"a", "b"}},
		{Name: "f", Kind: task.List, Elem: task.String, Max: 3, MaxStr: 9},
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseSpec(text)
		if err != nil || len(s.numbers) > 2 {
			return
		}
		for _, field := range fields {
			if d, err := drawField(field, s); err == nil {
				d(rand.New(rand.NewPCG(1, 2)))
			}
		}
	})
}

// TestSend answers rehearsals at servers that run; what they release is marked and
// is the truth. A bundle that people answer is refused before anything is sent.
func TestSend(t *testing.T) {
	const text = `
version: 1
owner: Example
metrics:
  sum: {method: aggregate, question: q, consent: c, type: sum, max: 90, example: 9, noise: none, min_batch: 100, epoch: 7d, expires: 2100-01-01}
`
	now := time.Date(2027, 3, 4, 5, 6, 0, 0, time.UTC)
	f, err := metric.Read("metrics.yaml", []byte(text), now)
	if err != nil {
		t.Fatal(err)
	}
	v, err := Values{}.Complete(f)
	if err != nil {
		t.Fatal(err)
	}
	start := func(questions *metric.File) (*parties.Parties, SendConfig) {
		p, err := parties.Start(t.Context(), parties.Config{
			Dir: t.TempDir(), Start: now, Rand: crand.Reader, Aggregates: true,
			Questions: func([]task.Party) (*metric.File, error) { return questions, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		return p, SendConfig{
			Bundle: p.Bundle, File: f, Values: v, People: 120, Seed: 1, Clock: p.Clock, Progress: func(string, int, int) {},
			Forward: func(ctx context.Context, at time.Time) error {
				p.Clock.Forward(at)
				return p.Tick(ctx)
			},
		}
	}
	_, real := start(f)
	if _, err := Send(t.Context(), real); !errors.Is(err, errReal) {
		t.Errorf("a question of people: %v", err)
	}
	p, c := start(f.Rehearsal(5 * time.Minute))
	sent, err := Send(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if len(sent) != 1 || sent[0].Metric != "rehearsal.sum" || sent[0].Reports != 120 || len(sent[0].Truth) != 1 {
		t.Fatalf("sent %+v", sent)
	}
	for range 60 {
		p.Clock.Advance(time.Minute)
		if err := p.Tick(t.Context()); err != nil {
			t.Log(err) // what cannot go on yet is tried again
		}
	}
	entries, err := p.Results().Aggregates().Entries(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(entries, func(e collector.Entry) bool { return e.Manifest.Start.Equal(sent[0].Epoch) })
	if i < 0 || !entries[i].Manifest.Rehearsal || entries[i].Manifest.Metric != "rehearsal.sum" {
		t.Fatalf("released %+v", entries)
	}
	var out bytes.Buffer
	err = release.Export(t.Context(), p.Results().Released(), &out, release.CSV, release.Query{Metric: "rehearsal.sum"})
	if want := fmt.Sprintf(",120,%.0f,", sent[0].Truth[0].True); err != nil || !strings.Contains(out.String(), want) || !strings.Contains(out.String(), ",true\n") {
		t.Errorf("exported %q, %v, want %s and the mark", out.String(), err, want)
	}
}
