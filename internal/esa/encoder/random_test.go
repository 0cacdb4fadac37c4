package encoder

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/shoal-project/shoal/metric/task"
)

// chiSquare fails the test if counts are not uniform: by more than five standard
// deviations of the statistic, which a fair source does once in millions of
// seeds, and whose seed is fixed.
func chiSquare(t *testing.T, what string, counts []int) {
	t.Helper()
	total := 0
	for _, n := range counts {
		total += n
	}
	expect := make([]float64, len(counts))
	for i := range expect {
		expect[i] = float64(total) / float64(len(counts))
	}
	chiSquareOf(t, what, counts, expect)
}

func chiSquareOf(t *testing.T, what string, counts []int, expect []float64) {
	t.Helper()
	x := 0.0
	for i, n := range counts {
		x += (float64(n) - expect[i]) * (float64(n) - expect[i]) / expect[i]
	}
	df := float64(len(counts) - 1)
	if x > df+5*math.Sqrt(2*df)+10 {
		t.Errorf("%s: chi-square %.1f with %.0f degrees of freedom", what, x, df)
	}
}

func TestBelowIsUniform(t *testing.T) {
	s := &source{reader: seeded(3)}
	for _, n := range []uint64{1, 2, 3, 7, 10, 24} {
		counts := make([]int, n)
		for range 10_000 * n {
			v, err := s.below(n)
			if err != nil {
				t.Fatal(err)
			}
			counts[v]++
		}
		chiSquare(t, "below", counts)
	}
}

// TestBelowRejects feeds the words around the border: of 2^64 words, 2^64 mod n
// are rejected and the others taken, so that no class is favoured.
func TestBelowRejects(t *testing.T) {
	n := uint64(3<<62 + 5) // large, so that the reject region is wide
	reject := -n % n
	words := func(w ...uint64) *source {
		b := make([]byte, 256)
		for i, v := range w {
			binary.BigEndian.PutUint64(b[8*i:], v)
		}
		return &source{rest: b, reader: iotest.ErrReader(errors.New("no more"))}
	}
	if v, err := words(0, reject-1, reject).below(n); err != nil || v != reject%n {
		t.Errorf("%d, %v: want the first word that is not rejected, %d", v, err, reject)
	}
	if v, err := words(math.MaxUint64).below(n); err != nil || v != math.MaxUint64%n {
		t.Errorf("%d, %v", v, err)
	}
}

func TestFlipIsExact(t *testing.T) {
	// Below 10^6 nearly every word is taken as it is, modulo 10^6.
	for _, p := range []uint32{0, 1, 499_999, 999_999, 1_000_000} {
		for _, v := range []uint64{0, 1, 499_998, 499_999, 999_998, 999_999} {
			b := binary.BigEndian.AppendUint64(nil, 1_000_000_000_000+v)
			s := &source{rest: b}
			want := uint64(0)
			if v < uint64(p) {
				want = 1
			}
			if got, err := s.flip(p); err != nil || got != want {
				t.Errorf("draw %d with p = %d: %d, %v", v, p, got, err)
			}
		}
	}
}

func TestSampleIsUniform(t *testing.T) {
	s := &source{reader: seeded(4)}
	// Every ordered choice of 3 out of 5: 60 of them.
	counts := make(map[[3]int]int)
	for range 60_000 {
		got, err := s.sample(5, 3)
		if err != nil || len(got) != 3 {
			t.Fatal(got, err)
		}
		counts[[3]int(got)]++
	}
	if len(counts) != 60 {
		t.Fatalf("%d choices of 60", len(counts))
	}
	var flat []int
	for choice, n := range counts {
		if choice[0] == choice[1] || choice[1] == choice[2] || choice[0] == choice[2] {
			t.Fatalf("chosen twice: %v", choice)
		}
		flat = append(flat, n)
	}
	chiSquare(t, "choices of 3 out of 5", flat)
	for _, c := range []struct{ n, most, want int }{{0, 5, 0}, {5, 0, 0}, {5, 5, 5}, {5, 9, 5}, {1 << 23, 4, 4}} {
		got, err := s.sample(c.n, c.most)
		slices.Sort(got)
		if err != nil || len(slices.Compact(got)) != c.want {
			t.Errorf("%d out of %d: %v, %v", c.most, c.n, got, err)
		}
	}
}

// TestRandomisedResponse compares the outcomes for one fixed record with the
// probabilities that the task states.
func TestRandomisedResponse(t *testing.T) {
	const runs = 40_000
	schema := task.Schema{
		{Name: "b", Kind: task.Bool, Flip: 250_000},
		{Name: "e", Kind: task.Enum, Values: []string{"v", "w", "x", "y", "z"}, Flip: 500_000},
		{Name: "s", Kind: task.Set, Values: []string{"p", "q", "r"}, Flip: 100_000},
		{Name: "l", Kind: task.List, Elem: task.Enum, Max: 2, Values: []string{"v", "w"}, Flip: 400_000},
		{Name: "i", Kind: task.Int, High: 9},
	}
	e, _ := newTask(t, schema, nil)
	rnd := seeded(5)
	in := task.Record{true, "x", uint64(0b101), []task.Value{"v", "w"}, int64(3)}
	bools, enums, sets, lists := make([]int, 2), make([]int, 5), make([]int, 8), make([]int, 4)
	for range runs {
		out, err := e.randomise(in, &source{reader: rnd})
		if err != nil {
			t.Fatal(err)
		}
		if out[0].(bool) {
			bools[1]++
		} else {
			bools[0]++
		}
		enums[slices.Index(schema[1].Values, out[1].(string))]++
		sets[out[2].(uint64)]++
		l := out[3].([]task.Value)
		lists[2*slices.Index(schema[3].Values, l[0].(string))+slices.Index(schema[3].Values, l[1].(string))]++
		if out[4] != int64(3) {
			t.Fatal("an exact field has changed")
		}
	}
	chiSquareOf(t, "bool", bools, []float64{runs * .25, runs * .75})
	chiSquareOf(t, "enum", enums, []float64{runs * .1, runs * .1, runs * .6, runs * .1, runs * .1})
	var wantSets []float64
	for x := range 8 {
		p := 1.0
		for i := range 3 {
			if (x^0b101)>>i&1 == 1 {
				p *= .1
			} else {
				p *= .9
			}
		}
		wantSets = append(wantSets, runs*p)
	}
	chiSquareOf(t, "set", sets, wantSets)
	chiSquareOf(t, "list", lists, []float64{runs * .8 * .2, runs * .8 * .8, runs * .2 * .2, runs * .2 * .8})
	if in[2] != uint64(0b101) || in[3].([]task.Value)[0] != "v" {
		t.Error("the record itself has changed")
	}
}

// TestDebiasedEstimateIsUnbiased runs the way an analyzer reads flipped bits:
// from the count c among n, the truth is estimated by (c - np)/(1 - 2p).
func TestDebiasedEstimateIsUnbiased(t *testing.T) {
	const n, truth, p = 50_000, 7_000, 0.2
	schema := task.Schema{{Name: "s", Kind: task.Set, Values: []string{"a", "b"}, Flip: 200_000}}
	e, _ := newTask(t, schema, nil)
	rnd := seeded(6)
	counts := [2]float64{}
	for i := range n {
		in := uint64(0b10)
		if i < truth {
			in = 0b11
		}
		out, err := e.randomise(task.Record{in}, &source{reader: rnd})
		if err != nil {
			t.Fatal(err)
		}
		counts[0] += float64(out[0].(uint64) & 1)
		counts[1] += float64(out[0].(uint64) >> 1)
	}
	sigma := math.Sqrt(n*p*(1-p)) / (1 - 2*p)
	for i, want := range []float64{truth, n} {
		if got := (counts[i] - n*p) / (1 - 2*p); math.Abs(got-want) > 4*sigma {
			t.Errorf("bit %d: estimate %.0f, want %.0f within %.0f", i, got, want, 4*sigma)
		}
	}
}

// TestNothingWithoutRandomness covers invariant "no silent weakening": a source
// that fails, at any point, gives no fragments.
func TestNothingWithoutRandomness(t *testing.T) {
	schema := apps()
	schema[3].Flip, schema[4].Flip = 10, 10
	e, _ := newTask(t, schema, func(x *task.Task) {
		x.Fragment = task.Fragment{Kind: task.Fields}
	})
	for n := 0; n < 256; n += 17 {
		got, err := e.Encode(record(), iotest.TimeoutReader(iotest.DataErrReader(&limited{n})))
		if err == nil || got != nil {
			t.Errorf("%d random bytes: %d fragments, %v", n, len(got), err)
		}
	}
}

// limited gives n zero bytes and then fails.
type limited struct{ n int }

func (l *limited) Read(b []byte) (int, error) {
	if l.n == 0 {
		return 0, errors.New("no more randomness")
	}
	n := min(len(b), l.n)
	l.n -= n
	return n, nil
}

func TestLocalEpsilon(t *testing.T) {
	inf := math.Inf(1)
	close := func(a, b float64) bool { return a == b || math.Abs(a-b) < 1e-9 }
	schema := task.Schema{
		{Name: "app", Kind: task.String, Max: 9},
		{Name: "apis", Kind: task.Set, Values: []string{"a", "b", "c", "d"}, Flip: 100},
		{Name: "seen", Kind: task.List, Elem: task.Enum, Max: 5, Values: []string{"x", "y", "z"}, Flip: 100_000},
		{Name: "on", Kind: task.Bool, Flip: 250_000},
		{Name: "one", Kind: task.Int, Low: 5, High: 9, Buckets: []int64{5}},
	}
	bit, element := math.Log(.9999/.0001), math.Log(1+3*.9/.1)
	for _, c := range []struct {
		name             string
		keep             task.Fragment
		fields           []int
		record, fragment float64
	}{
		{"a record with an exact field", task.Fragment{}, []int{0, 1}, inf, inf},
		{"a set", task.Fragment{}, []int{1}, 4 * bit, 4 * bit}, // 36.8: the Perms pipeline of the Prochlo paper, section 5.3
		{"chunks of a set", task.Fragment{Kind: task.Bits, M: 2}, []int{1}, 4 * bit, 2 * bit},
		{"chunks beside an exact field", task.Fragment{Kind: task.Bits, M: 2, Field: 1, Keep: []uint8{0}}, []int{0, 1}, inf, inf},
		{"fields apart", task.Fragment{Kind: task.Fields}, []int{1, 3, 4}, 4*bit + math.Log(3), 4 * bit},
		{"pairs", task.Fragment{Kind: task.Pairs}, []int{2}, inf, 2 * element},
		{"tuples beside a bool", task.Fragment{Kind: task.Tuples, M: 3, Keep: []uint8{1}}, []int{2, 3}, inf, 3*element + math.Log(3)},
		{"a list", task.Fragment{}, []int{2}, inf, inf},
		{"one possible value", task.Fragment{}, []int{4}, 0, 0},
	} {
		var s task.Schema
		for _, i := range c.fields {
			s = append(s, schema[i])
		}
		e, _ := newTask(t, s, func(x *task.Task) { x.Fragment = c.keep; x.Crowd.Kind = task.Constant })
		got := e.LocalEpsilon()
		if !close(got.Record, c.record) || !close(got.Fragment, c.fragment) {
			t.Errorf("%s: record %v, fragment %v, want %v and %v", c.name, got.Record, got.Fragment, c.record, c.fragment)
		}
	}
	// Ten per cent replacement over M movies (Prochlo paper, section 5.5): far from the 2.2 of binary randomised response.
	for m, want := range map[int]float64{200: 7.50, 2000: 9.80, 18000: 12.0} {
		values := make([]string, m)
		for i := range values {
			values[i] = string(rune('a'+i%26)) + string(rune('0'+i/26%1000+1000))
		}
		f := task.Field{Kind: task.Enum, Values: values, Flip: 100_000}
		if got := unitEpsilon(&f); math.Abs(got-want) > .006 {
			t.Errorf("%d movies: %v, want %v", m, got, want)
		}
	}
}

// TestLocalEpsilonIsTheTruth computes the ratio of the outcomes' exact
// probabilities for all pairs of records of a small schema.
func TestLocalEpsilonIsTheTruth(t *testing.T) {
	schema := task.Schema{
		{Name: "e", Kind: task.Enum, Values: []string{"x", "y", "z"}, Flip: 300_000},
		{Name: "s", Kind: task.Set, Values: []string{"p", "q"}, Flip: 50_000},
	}
	e, _ := newTask(t, schema, nil)
	enum := func(in, out int) float64 {
		if in == out {
			return .7 + .3/3
		}
		return .3 / 3
	}
	set := func(in, out int) float64 {
		p := 1.0
		for i := range 2 {
			if (in^out)>>i&1 == 1 {
				p *= .05
			} else {
				p *= .95
			}
		}
		return p
	}
	worst := 0.0
	for a := range 12 {
		for b := range 12 {
			for out := range 12 {
				pa, pb := enum(a%3, out%3)*set(a/3, out/3), enum(b%3, out%3)*set(b/3, out/3)
				worst = max(worst, math.Log(pa/pb))
			}
		}
	}
	if got := e.LocalEpsilon().Record; math.Abs(got-worst) > 1e-9 {
		t.Errorf("local epsilon %v, but the worst ratio is e^%v", got, worst)
	}
}
