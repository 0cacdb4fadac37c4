package task_test

import (
	"bytes"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/golden"
	"github.com/shoal-project/shoal/metric/kind"
	"github.com/shoal-project/shoal/metric/task"
)

// aggregate returns a valid aggregate task.
func aggregate(a task.Aggregation) *task.Task {
	t := sample()
	if a.Variant == "" {
		a.Variant = "dap-18"
	}
	return &task.Task{
		Owner: t.Owner, OwnedBy: t.OwnedBy, Metric: "start.time", Question: "How long does it take to start?",
		Consent: "The program tells in which range its start lies.", Method: task.Aggregate, Aggregation: a,
		MinBatch: 1000, EpochSeconds: 86_400, MaxDelay: 7200, ClockSkew: 300, RetentionDays: 90,
		NotBefore: t.NotBefore, Expires: t.Expires,
		Hops: []task.Party{
			{Role: task.Leader, URL: "https://leader.example/dap", Identity: identity("leader").Public()},
			{Role: task.Helper, URL: "https://helper.example", Identity: identity("helper").Public()},
			{Role: task.Collector, URL: "https://collector.example", Identity: identity("collector").Public()},
		},
	}
}

// aggregates returns a task of every kind.
func aggregates() []*task.Task {
	laplace := dp.Noise{Mechanism: dp.Laplace, Num: 1, Den: 2, Sensitivity: 2}
	var out []*task.Task
	for _, a := range []task.Aggregation{
		{Kind: kind.Count{Max: 1}, Presence: kind.Revealed},
		{Kind: kind.Sum{Max: 1000}, Variant: "dap-19"},
		{Kind: kind.Mean{Max: 60, Chunk: 3}, Variant: "janus"},
		{Kind: kind.Histogram{Bounds: []int64{-5, 0, 100}, Chunk: 2}, Noise: laplace},
		{Kind: kind.Categories{Labels: []string{"a", "b c"}, Chunk: 2}},
		{Kind: kind.Multihot{Labels: []string{"x", "y", "z"}, Max: 2, Chunk: 2}},
		{Kind: kind.Vector{Length: 10, Max: 255, Chunk: 9}},
		{Kind: kind.Bounded{Length: 10, Max: 255, Chunk: 9}, Noise: dp.Noise{Mechanism: dp.Gaussian, Num: 25, Den: 2}},
		{Kind: kind.LInfGradient{Length: 4, Bound: 1.5, Bits: 8, Chunk: 6}},
		{Kind: kind.L1Gradient{Length: 4, Bound: 1.5, Bits: 8, Chunk: 9}},
	} {
		out = append(out, aggregate(a))
	}
	return out
}

// The digest of the bytes of each kind, so that a change of the format shows.
func TestGoldenAggregates(t *testing.T) {
	var ids strings.Builder
	for _, tk := range aggregates() {
		b, err := tk.Bytes()
		must(t, b, err)
		back, err := task.Parse(b)
		if !reflect.DeepEqual(must(t, back, err), tk) {
			t.Errorf("parsed %+v\nwant %+v", back, tk)
		}
		id, err := tk.ID()
		ids.WriteString(must(t, id, err).String() + " " + tk.Aggregation.Kind.String() + "\n")
	}
	golden.Equal(t, "testdata/aggregates.ids", []byte(ids.String()))
	b, err := aggregates()[3].Bytes()
	golden.Equal(t, "testdata/aggregate.bin", must(t, b, err))
}

// As TestParseIsCanonical, for the other method.
func TestParseAggregateIsCanonical(t *testing.T) {
	for _, tk := range aggregates() {
		b, err := tk.Bytes()
		must(t, b, err)
		for i := range b {
			changed := bytes.Clone(b)
			changed[i] ^= 0x80
			tk, err := task.Parse(changed)
			if err == nil {
				if again, err := tk.Bytes(); !bytes.Equal(must(t, again, err), changed) {
					t.Errorf("byte %d: parsed from another encoding than its own", i)
				}
			}
			if _, err := task.Parse(b[:i]); err == nil {
				t.Errorf("parsed %d bytes of %d", i, len(b))
			}
		}
	}
}

func TestValidateRefusesAggregates(t *testing.T) {
	kinds := func(k kind.Kind) *task.Task { return aggregates()[kind.Number(k)-1] }
	for _, tt := range []struct {
		kind   kind.Kind
		change func(*task.Task)
		want   string
	}{
		{kind.Count{}, func(t *task.Task) { t.Aggregation.Kind = nil }, "no kind"},
		{kind.Count{}, func(t *task.Task) { t.Aggregation.Presence = 2 }, "presence 2"},
		{kind.Count{}, func(t *task.Task) { t.Aggregation.Variant = "dap-17" }, "dap-17"},
		{kind.Count{}, func(t *task.Task) { t.Aggregation.Noise.Mechanism = 7 }, "mechanism 7"},
		{kind.Count{}, func(t *task.Task) { t.Aggregation.Kind = kind.Count{} }, "maximum 0"},
		{kind.Mean{}, func(t *task.Task) { t.Aggregation.Kind = kind.Mean{Max: 60} }, "chunk length 0"},
		{kind.Histogram{}, func(t *task.Task) { t.Aggregation.Kind = kind.Histogram{Chunk: 2} }, "0 bounds"},
		{kind.Histogram{}, func(t *task.Task) { t.Aggregation.Kind = kind.Histogram{Bounds: []int64{1, 1}, Chunk: 2} }, "does not come after"},
		{kind.Categories{}, func(t *task.Task) { t.Aggregation.Kind = kind.Categories{Labels: []string{"a"}, Chunk: 2} }, "1 labels"},
		{kind.Categories{}, func(t *task.Task) { t.Aggregation.Kind = kind.Categories{Labels: []string{"a", "a"}, Chunk: 2} }, "stands twice"},
		{kind.Categories{}, func(t *task.Task) { t.Aggregation.Kind = kind.Categories{Labels: []string{"a\x1b", "b"}, Chunk: 2} }, "control"},
		{kind.Multihot{}, func(t *task.Task) {
			t.Aggregation.Kind = kind.Multihot{Labels: []string{"x", "y", "z"}, Max: 4, Chunk: 2}
		}, "4 labels of 3"},
		{kind.Vector{}, func(t *task.Task) { t.Aggregation.Kind = kind.Vector{Length: 1<<20 + 1, Max: 255, Chunk: 9} }, "length"},
		{kind.LInfGradient{}, func(t *task.Task) {
			t.Aggregation.Kind = kind.LInfGradient{Length: 4, Bound: math.NaN(), Bits: 8, Chunk: 6}
		}, "positive number"},
		{kind.LInfGradient{}, func(t *task.Task) {
			t.Aggregation.Kind = kind.LInfGradient{Length: 4, Bound: math.Inf(1), Bits: 8, Chunk: 6}
		}, "positive number"},
		{kind.L1Gradient{}, func(t *task.Task) { t.Aggregation.Kind = kind.L1Gradient{Length: 4, Bound: 1.5, Bits: 33, Chunk: 9} }, "33 bits"},
		{kind.Count{}, func(t *task.Task) { t.Schema = sample().Schema }, "method crowd"},
		{kind.Count{}, func(t *task.Task) { t.PerEpoch = 1 }, "method crowd"},
		{kind.Count{}, func(t *task.Task) { t.Crowd.Fields = []uint8{0} }, "method crowd"},
		{kind.Count{}, func(t *task.Task) { t.MinBatch = 0 }, "smallest batch"},
		{kind.Count{}, func(t *task.Task) { t.MaxDelay = 32*86_400 + 1 }, "32 epochs"},
		{kind.Count{}, func(t *task.Task) { t.Hops = t.Hops[:2] }, "leader, helper and collector"},
		{kind.Count{}, func(t *task.Task) { t.Hops[0], t.Hops[1] = t.Hops[1], t.Hops[0] }, "party 1 is a helper"},
		{kind.Count{}, func(t *task.Task) { t.Hops[1].Identity = t.Hops[0].Identity }, "different organisations"},
		{kind.Count{}, func(t *task.Task) { t.Hops[1].URL = t.Hops[0].URL }, "different organisations"},
		{kind.Count{}, func(t *task.Task) { t.Hops[2].Identity = t.Hops[0].Identity }, "one of its own"},
		{kind.Count{}, func(t *task.Task) { t.Hops[1].URL = "" }, "helper"},
		{kind.Count{}, func(t *task.Task) { t.Hops[2].URL = "http://x.example" }, "collector"},
		{kind.Count{}, func(t *task.Task) { t.Expires = t.NotBefore }, "no epoch fits"},
	} {
		tk := kinds(tt.kind)
		tt.change(tk)
		if err := tk.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("want an error with %q, got %v", tt.want, err)
		}
	}
	silent := kinds(kind.Count{})
	silent.Hops[2].URL = ""
	if err := silent.Validate(); err != nil {
		t.Errorf("a collector without URL: %v", err)
	}
}

// A number that no kind has, and settings that a kind does not have, exist in bytes
// only.
func TestParseRefusesUnknownSettings(t *testing.T) {
	b, err := aggregates()[0].Bytes()
	must(t, b, err)
	// Where the settings of a count are: its number is before the presence, the rest
	// behind the variant.
	at := bytes.Index(b, []byte("\x06dap-18"))
	number, settings := at-1-4-4-8-2, at+7
	for _, tt := range []struct {
		name string
		at   int
		to   byte
		want string
	}{
		{"kind", number, 250, "unknown kind 250"},
		{"kind 0", number, 0, "unknown kind 0"},
		{"length", settings + 8 + 3, 1, "does not use"},
		{"bound -0", settings + 8 + 4 + 3 + 2, 0x80, "does not use"},
		{"bits", settings + 8 + 4 + 3 + 2 + 8, 1, "does not use"},
		{"chunk", settings + 8 + 4 + 3 + 2 + 8 + 1 + 3, 1, "does not use"},
	} {
		changed := bytes.Clone(b)
		changed[tt.at] = tt.to
		if _, err := task.Parse(changed); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: want an error with %q, got %v", tt.name, tt.want, err)
		}
	}
}
