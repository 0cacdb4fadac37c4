package task_test

import (
	"bytes"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/dp"
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
		{Kind: task.Count, Max: 1, Presence: task.Revealed},
		{Kind: task.Sum, Max: 1000, Variant: "dap-19"},
		{Kind: task.Mean, Max: 60, Chunk: 3, Variant: "janus"},
		{Kind: task.Histogram, Bounds: []int64{-5, 0, 100}, Chunk: 2, Noise: laplace},
		{Kind: task.Categories, Labels: []string{"a", "b c"}, Chunk: 2},
		{Kind: task.Multihot, Labels: []string{"x", "y", "z"}, Max: 2, Chunk: 2},
		{Kind: task.Vector, Length: 10, Max: 255, Chunk: 9},
		{Kind: task.Bounded, Length: 10, Max: 255, Chunk: 9, Noise: dp.Noise{Mechanism: dp.Gaussian, Num: 25, Den: 2}},
		{Kind: task.LInfGradient, Length: 4, Bound: 1.5, Bits: 8, Chunk: 6},
		{Kind: task.L1Gradient, Length: 4, Bound: 1.5, Bits: 8, Chunk: 9},
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
	golden(t, "aggregates.ids", []byte(ids.String()))
	b, err := aggregates()[3].Bytes()
	golden(t, "aggregate.bin", must(t, b, err))
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
	kinds := func(k task.AggregateKind) *task.Task { return aggregates()[slices.Index(task.Kinds(), k)] }
	for _, tt := range []struct {
		kind   task.AggregateKind
		change func(*task.Task)
		want   string
	}{
		{task.Count, func(t *task.Task) { t.Aggregation.Kind = 11 }, "unknown kind 11"},
		{task.Count, func(t *task.Task) { t.Aggregation.Presence = 2 }, "presence 2"},
		{task.Count, func(t *task.Task) { t.Aggregation.Variant = "dap-17" }, "dap-17"},
		{task.Count, func(t *task.Task) { t.Aggregation.Noise.Mechanism = 7 }, "mechanism 7"},
		{task.Count, func(t *task.Task) { t.Aggregation.Max = 0 }, "maximum 0"},
		{task.Count, func(t *task.Task) { t.Aggregation.Chunk = 1 }, "does not use"},
		{task.Count, func(t *task.Task) { t.Aggregation.Bound = math.Copysign(0, -1) }, "does not use"},
		{task.Sum, func(t *task.Task) { t.Aggregation.Length = 1 }, "does not use"},
		{task.Mean, func(t *task.Task) { t.Aggregation.Chunk = 0 }, "chunk length 0"},
		{task.Histogram, func(t *task.Task) { t.Aggregation.Bounds = nil }, "0 bounds"},
		{task.Histogram, func(t *task.Task) { t.Aggregation.Bounds = []int64{1, 1} }, "does not come after"},
		{task.Categories, func(t *task.Task) { t.Aggregation.Labels = []string{"a"} }, "1 labels"},
		{task.Categories, func(t *task.Task) { t.Aggregation.Labels = []string{"a", "a"} }, "stands twice"},
		{task.Categories, func(t *task.Task) { t.Aggregation.Labels[0] = "a\x1b" }, "control"},
		{task.Multihot, func(t *task.Task) { t.Aggregation.Max = 4 }, "4 labels of 3"},
		{task.Vector, func(t *task.Task) { t.Aggregation.Length = 1<<20 + 1 }, "length"},
		{task.LInfGradient, func(t *task.Task) { t.Aggregation.Bound = math.NaN() }, "positive number"},
		{task.LInfGradient, func(t *task.Task) { t.Aggregation.Bound = math.Inf(1) }, "positive number"},
		{task.L1Gradient, func(t *task.Task) { t.Aggregation.Bits = 33 }, "33 bits"},
		{task.Count, func(t *task.Task) { t.Schema = sample().Schema }, "method crowd"},
		{task.Count, func(t *task.Task) { t.PerEpoch = 1 }, "method crowd"},
		{task.Count, func(t *task.Task) { t.Crowd.Fields = []uint8{0} }, "method crowd"},
		{task.Count, func(t *task.Task) { t.MinBatch = 0 }, "smallest batch"},
		{task.Count, func(t *task.Task) { t.MaxDelay = 32*86_400 + 1 }, "32 epochs"},
		{task.Count, func(t *task.Task) { t.Hops = t.Hops[:2] }, "leader, helper and collector"},
		{task.Count, func(t *task.Task) { t.Hops[0], t.Hops[1] = t.Hops[1], t.Hops[0] }, "party 1 is a helper"},
		{task.Count, func(t *task.Task) { t.Hops[1].Identity = t.Hops[0].Identity }, "different organisations"},
		{task.Count, func(t *task.Task) { t.Hops[1].URL = t.Hops[0].URL }, "different organisations"},
		{task.Count, func(t *task.Task) { t.Hops[2].Identity = t.Hops[0].Identity }, "one of its own"},
		{task.Count, func(t *task.Task) { t.Hops[1].URL = "" }, "helper"},
		{task.Count, func(t *task.Task) { t.Hops[2].URL = "http://x.example" }, "collector"},
		{task.Count, func(t *task.Task) { t.Expires = t.NotBefore }, "no epoch fits"},
	} {
		tk := kinds(tt.kind)
		tt.change(tk)
		if err := tk.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("want an error with %q, got %v", tt.want, err)
		}
	}
	silent := kinds(task.Count)
	silent.Hops[2].URL = ""
	if err := silent.Validate(); err != nil {
		t.Errorf("a collector without URL: %v", err)
	}
}
