package kind_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/metric/kind"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/vdaf"
)

func question(t testing.TB, a task.Aggregation) *kind.Measure {
	t.Helper()
	a, err := task.WithChunk(a)
	if err != nil {
		t.Fatal(err)
	}
	q, err := a.Measure()
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func questions(t testing.TB) map[string]*kind.Measure {
	t.Helper()
	out := map[string]*kind.Measure{}
	for name, a := range map[string]task.Aggregation{
		"count":      {Kind: kind.Count{Max: 1}},
		"count5":     {Kind: kind.Count{Max: 5}},
		"sum":        {Kind: kind.Sum{Max: 1000}},
		"mean":       {Kind: kind.Mean{Max: 100}},
		"histogram":  {Kind: kind.Histogram{Bounds: []int64{-10, 0, 10}}},
		"revealed":   {Kind: kind.Histogram{Bounds: []int64{-10, 0, 10}}, Presence: kind.Revealed},
		"categories": {Kind: kind.Categories{Labels: []string{"red", "green", "blue"}}},
		"multihot":   {Kind: kind.Multihot{Labels: []string{"a", "b", "c", "d"}, Max: 2}},
		"vector":     {Kind: kind.Vector{Length: 3, Max: 10}},
		"bounded":    {Kind: kind.Bounded{Length: 3, Max: 10}},
		"linf":       {Kind: kind.LInfGradient{Length: 3, Bound: 2, Bits: 16}},
		"l1":         {Kind: kind.L1Gradient{Length: 3, Bound: 2, Bits: 16}},
	} {
		out[name] = question(t, a)
	}
	return out
}

// collect runs the reports of all tallies through both aggregators, as
// adversarial verifiers do, and returns their aggregate shares.
func collect(t testing.TB, q *kind.Measure, tallies ...*kind.Tally) [][]byte {
	t.Helper()
	key, ctx := &vdaf.VerifyKey{1}, []byte("test")
	in := q.Instance()
	leader, err := in.NewVerifier(key, ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	helper, err := in.NewVerifier(key, ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	sums := []*vdaf.AggregateShare{in.NewAggregateShare(), in.NewAggregateShare()}
	for i, tally := range tallies {
		nonce := vdaf.Nonce{byte(i), byte(i >> 8)}
		sharded, err := tally.Shard(rand.Reader, ctx, nonce)
		if err != nil {
			t.Fatal(err)
		}
		report := func(i int) *vdaf.Report {
			return &vdaf.Report{Nonce: nonce, PublicShare: sharded.PublicShare, InputShare: sharded.InputShares[i]}
		}
		state, toHelper, err := leader.LeaderInit(report(0))
		if err != nil {
			t.Fatal(err)
		}
		helperOut, toLeader, err := helper.HelperInit(report(1), toHelper)
		if err != nil {
			t.Fatalf("%s: %v", tally, err)
		}
		leaderOut, err := leader.LeaderFinish(state, toLeader)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(sums[0].Add(leaderOut), sums[1].Add(helperOut)); err != nil {
			t.Fatal(err)
		}
	}
	return [][]byte{sums[0].Bytes(), sums[1].Bytes()}
}

// say records v as an app would.
func say(t testing.TB, tally *kind.Tally, v any) {
	t.Helper()
	var err error
	switch x := v.(type) {
	case count:
		err = tally.Add(int64(x))
	case []int, []float64:
		err = tally.Vector(v)
	default:
		err = tally.Observe(v, rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
}

type count int64

// Each question from the values of apps to the result, over clients that record several
// values, one value, and none.
func TestFromValuesToResult(t *testing.T) {
	qs := questions(t)
	for _, tt := range []struct {
		name     string
		clients  [][]any
		want     string  // rows
		answered float64 // -1: not reported
	}{
		{"count", [][]any{{count(1)}, {count(1), count(1), count(7)}, {}, {count(0)}}, "count 2", -1},
		{"count5", [][]any{{count(1), count(3)}, {count(9)}, {}}, "count 9", -1},
		{"sum", [][]any{{count(400), count(500)}, {count(math.MaxInt64), count(math.MaxInt64), count(math.MaxInt64)}, {}}, "sum 1900", -1},
		{"mean", [][]any{{10, 22}, {uint8(50)}, {1000}, {-5}, {}}, "mean 41.5", 4}, // 16, 50, 100, 0
		{"histogram", [][]any{{-11}, {-10}, {0}, {9.9}, {10}, {math.Inf(1)}, {}, {}}, "below -10 1, -10 to -1 1, 0 to 9 2, 10 and above 2", 6},
		{"revealed", [][]any{{-11}, {5}}, "below -10 1, -10 to -1 0, 0 to 9 1, 10 and above 0", -1},
		{"categories", [][]any{{"red"}, {"red", "red"}, {"blue"}, {}}, "red 2, green 0, blue 1", 3},
		{"multihot", [][]any{{"a", []string{"a", "d"}}, {[]string{"b", "a", "c"}}, {}}, "a 2, b 1, c 0, d 1", -1},
		{"vector", [][]any{{[]int{1, 2, 3}, []int{1, 0, 9}}, {[]int{10, 0, 0}}, {}}, "0 12, 1 2, 2 10", -1},
		{"bounded", [][]any{{[]int{1, 2, 3}}, {[]int{20, 0, 20}}, {}}, "0 6, 1 2, 2 8", -1},
		{"linf", [][]any{{[]float64{1, -5, 0.25}, []float64{0.5, 0, 0}}, {[]float64{-2, 1, 0}}}, "0 -0.5, 1 -1, 2 0.25", -1},
		{"l1", [][]any{{[]float64{1, -1, 0}}, {[]float64{4, 0, 4}}, {}}, "0 2, 1 -1, 2 1", -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := qs[tt.name]
			var tallies []*kind.Tally
			for _, values := range tt.clients {
				tally := q.Empty()
				for _, v := range values {
					say(t, tally, v)
					back, err := q.Parse(tally.Bytes())
					if err != nil || !bytes.Equal(back.Bytes(), tally.Bytes()) {
						t.Fatalf("the tally is not read back: %v", err)
					}
					tally = back
				}
				tallies = append(tallies, tally)
			}
			r, err := q.Result(collect(t, q, tallies...), uint64(len(tallies)))
			if err != nil {
				t.Fatal(err)
			}
			var rows []string
			for _, row := range r.Rows {
				rows = append(rows, fmt.Sprintf("%s %.4g", row.Label, math.Round(row.Estimate*1000)/1000))
				if row.StdDev != 0 || row.Low != row.Estimate || row.High != row.Estimate {
					t.Errorf("%+v: an interval without noise", row)
				}
			}
			if got := strings.Join(rows, ", "); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			if tt.answered >= 0 && (r.Answered == nil || r.Answered.Estimate != tt.answered) || tt.answered < 0 && r.Answered != nil {
				t.Errorf("answered %v, want %v", r.Answered, tt.answered)
			}
		})
	}
}

func TestClippingIsCounted(t *testing.T) {
	qs := questions(t)
	for name, values := range map[string][]any{ // one in bounds, two not
		"count5":   {count(5), count(1), count(1)},
		"mean":     {100, 101, -1},
		"multihot": {[]string{"a", "b"}, "c", "d"},
		"vector":   {[]int{0, 10, 0}, []int{0, 1, 0}, []int{0, 1, 0}},
		"bounded":  {[]int{0, 10, 0}, []int{1, 0, 0}, []int{0, 1, 0}},
		"linf":     {[]float64{0, 2, 0}, []float64{0, 1, 0}, []float64{0, 1, 0}},
		"l1":       {[]float64{0, 2, 0}, []float64{1, 0, 0}, []float64{0, 1, 0}},
	} {
		tally := qs[name].Empty()
		for _, v := range values {
			say(t, tally, v)
		}
		if times, clipped := tally.Said(); times != 3 || clipped != 2 {
			t.Errorf("%s: %d of %d were clipped, want 2 of 3", name, clipped, times)
		}
	}
	tally := qs["count"].Empty()
	for range 3 {
		say(t, tally, count(1))
	}
	once := tally.Bytes()
	say(t, tally, count(1))
	if times, clipped := tally.Said(); times != 1 || clipped != 0 || !bytes.Equal(once, tally.Bytes()) {
		t.Errorf("counting once more, where once is as good as often: %d times, %d clipped", times, clipped)
	}
	tally = qs["multihot"].Empty()
	say(t, tally, []string{})
	say(t, tally, "a")
	once = tally.Bytes()
	say(t, tally, "a")
	if times, _ := tally.Said(); times != 2 || !bytes.Equal(once, tally.Bytes()) {
		t.Errorf("a label that is known: %d times", times)
	}
}

func TestMisuse(t *testing.T) {
	qs := questions(t)
	calls := map[string]func(*kind.Tally) error{
		"add":           func(t *kind.Tally) error { return t.Add(1) },
		"add negative":  func(t *kind.Tally) error { return t.Add(-1) },
		"number":        func(t *kind.Tally) error { return t.Observe(3, rand.Reader) },
		"text":          func(t *kind.Tally) error { return t.Observe("red", rand.Reader) },
		"label":         func(t *kind.Tally) error { return t.Observe("a", rand.Reader) },
		"nothing":       func(t *kind.Tally) error { return t.Observe(nil, rand.Reader) },
		"not a number":  func(t *kind.Tally) error { return t.Observe(math.NaN(), rand.Reader) },
		"ints":          func(t *kind.Tally) error { return t.Vector([]int{1, 2, 3}) },
		"negative ints": func(t *kind.Tally) error { return t.Vector([]int{1, -2, 3}) },
		"short":         func(t *kind.Tally) error { return t.Vector([]int{1, 2}) },
		"no numbers":    func(t *kind.Tally) error { return t.Vector([]float64{1, math.NaN(), 2}) },
		"strings":       func(t *kind.Tally) error { return t.Vector([]string{"1", "2", "3"}) },
	}
	allowed := map[string]string{
		"count": "add", "count5": "add", "sum": "add", "mean": "number", "histogram": "number", "revealed": "number",
		"categories": "text", "multihot": "label", "vector": "ints", "bounded": "ints", "linf": "ints, negative ints", "l1": "ints, negative ints",
	}
	for name, q := range qs {
		for call, f := range calls {
			tally := q.Empty()
			before := tally.Bytes()
			err := f(tally)
			if want := slices.Contains(strings.Split(allowed[name], ", "), call); want != (err == nil) {
				t.Errorf("%s: %s: %v", name, call, err)
			}
			if err != nil && !errors.Is(err, kind.ErrUse) {
				t.Errorf("%s: %s: %v is not ErrUse", name, call, err)
			}
			if err != nil && !bytes.Equal(before, tally.Bytes()) {
				t.Errorf("%s: %s: the tally changed", name, call)
			}
		}
	}
	broken := errors.New("broken")
	if err := qs["histogram"].Empty().Observe(1, iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("%v, want the reader's error", err)
	}
}

// A histogram keeps each of a client's values with the same chance.
func TestOneValueIsKeptFairly(t *testing.T) {
	q := questions(t)["categories"]
	kept := map[string]int{}
	const rounds = 3000
	for range rounds {
		tally := q.Empty()
		for _, l := range []string{"red", "green", "blue", "red"} {
			say(t, tally, l)
		}
		word, _, _ := strings.Cut(tally.String(), ",")
		kept[word]++
	}
	for word, want := range map[string]float64{"red": rounds / 2, "green": rounds / 4, "blue": rounds / 4} {
		if got := float64(kept[word]); math.Abs(got-want) > 5*math.Sqrt(want) {
			t.Errorf("%s was kept %v times of %d, want about %v", word, got, rounds, want)
		}
	}
}

// Whatever values an app records, both aggregators accept the report.
func TestAnyTallyIsInBounds(t *testing.T) {
	qs := questions(t)
	names := []string{"mean", "sum", "vector", "bounded", "linf", "l1", "multihot"}
	rapid.Check(t, func(rt *rapid.T) {
		name := rapid.SampledFrom(names).Draw(rt, "question")
		tally := qs[name].Empty()
		for range rapid.IntRange(0, 4).Draw(rt, "calls") {
			switch name {
			case "sum":
				say(t, tally, count(rapid.Int64Range(0, math.MaxInt64).Draw(rt, "n")))
			case "mean":
				say(t, tally, rapid.Int64().Draw(rt, "n"))
			case "vector", "bounded":
				say(t, tally, rapid.SliceOfN(rapid.OneOf(rapid.IntRange(0, 12), rapid.IntRange(0, math.MaxInt)), 3, 3).Draw(rt, "v"))
			case "linf", "l1":
				say(t, tally, rapid.SliceOfN(rapid.OneOf(rapid.Float64Range(-1, 1), rapid.Float64Range(-1e300, 1e300)), 3, 3).Draw(rt, "v"))
			case "multihot":
				say(t, tally, rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d"}), 0, 4).Draw(rt, "labels"))
			}
		}
		collect(t, qs[name], tally)
	})
}

// With noise the error bars are those that the noise makes.
func TestErrorBars(t *testing.T) {
	noise := dp.Noise{Mechanism: dp.Laplace, Num: 1, Den: 2, Sensitivity: 200}
	q := question(t, task.Aggregation{Kind: kind.Mean{Max: 100}, Noise: noise})
	const rounds = 2000
	inside := 0
	random := dp.NewStream(dp.Seed{1}, "error bars", nil)
	var tallies []*kind.Tally
	for i := range 200 {
		tally := q.Empty()
		if i < 150 {
			say(t, tally, 40)
		}
		tallies = append(tallies, tally)
	}
	clean := collect(t, q, tallies...)
	for range rounds {
		var shares [][]byte
		for _, b := range clean {
			share, err := q.Instance().ParseAggregateShare(b)
			if err != nil {
				t.Fatal(err)
			}
			values := make([]int64, share.Len())
			if err := noise.Draw(random, values); err != nil {
				t.Fatal(err)
			}
			for i, n := range values {
				if err := share.AddNoise(i, n); err != nil {
					t.Fatal(err)
				}
			}
			shares = append(shares, share.Bytes())
		}
		r, err := q.Result(shares, 200)
		if err != nil {
			t.Fatal(err)
		}
		if r.Rows[0].Low <= 40 && 40 <= r.Rows[0].High {
			inside++
		}
	}
	if share := float64(inside) / rounds; share < 0.934 || share > 0.98 { // Fieller's is a little wide, see TestCoverageOfMeans
		t.Errorf("%.3f of the estimates lie within the error bars, want about 0.95", share)
	}
}

func TestChunkOfAnotherVersion(t *testing.T) {
	a, err := task.WithChunk(task.Aggregation{Kind: kind.L1Gradient{Length: 3, Bound: 2, Bits: 16}})
	if err != nil {
		t.Fatal(err)
	}
	g := a.Kind.(kind.L1Gradient)
	g.Chunk++
	a.Kind = g
	if _, err := a.Measure(); err == nil || !strings.Contains(err.Error(), "chunk length") {
		t.Errorf("%v", err)
	}
	other := task.Aggregation{Kind: kind.Vector{Length: 3, Max: 10, Chunk: 5}}
	if q, err := other.Measure(); err != nil || kind.Chunk(q.Kind()) != 5 {
		t.Errorf("a vector with another chunk length than the best: %v", err)
	}
}

func FuzzParseTally(f *testing.F) {
	for i, q := range []string{"sum", "multihot", "categories", "linf"} {
		f.Add(byte(i), questions(f)[q].Empty().Bytes())
	}
	names := []string{"sum", "multihot", "categories", "linf", "mean", "bounded", "l1", "histogram"}
	qs := questions(f)
	f.Fuzz(func(t *testing.T, which byte, b []byte) {
		q := qs[names[int(which)%len(names)]]
		tally, err := q.Parse(b)
		if err != nil {
			return
		}
		if !bytes.Equal(tally.Bytes(), b) {
			t.Fatalf("%x is read as %x", b, tally.Bytes())
		}
		_ = tally.String()
		collect(t, q, tally)
	})
}
