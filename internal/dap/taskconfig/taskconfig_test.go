package taskconfig_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/dap/taskconfig"
	"github.com/shoal-project/shoal/metric/kind"
	"github.com/shoal-project/shoal/metric/task"
)

func identity(name string) task.IdentityKey {
	seed := sha256.Sum256([]byte(name))
	key, err := task.GenerateIdentityKey(bytes.NewReader(seed[:]))
	if err != nil {
		panic(err)
	}
	return key
}

func shoalTask(t testing.TB, a task.Aggregation) *task.Task {
	t.Helper()
	a, err := task.WithChunk(a)
	if err != nil {
		t.Fatal(err)
	}
	return &task.Task{
		Owner: identity("owner").Public(), OwnedBy: "Example", Metric: "start.time", Question: "How long?",
		Method: task.Aggregate, Aggregation: a,
		MinBatch: 1000, EpochSeconds: 86_400, MaxDelay: 7200, ClockSkew: 300,
		NotBefore: 20_000 * 86_400, Expires: 20_030*86_400 + 5,
		Hops: []task.Party{
			{Role: task.Leader, URL: "https://leader.example/dap", Identity: identity("leader").Public()},
			{Role: task.Helper, URL: "https://helper.example", Identity: identity("helper").Public()},
			{Role: task.Collector, Identity: identity("collector").Public()},
		},
	}
}

func made(t testing.TB, s *task.Task) *dap.Task {
	t.Helper()
	id, err := s.ID()
	if err != nil {
		t.Fatal(err)
	}
	d, err := taskconfig.New(s, id)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// By hand, field by field as the draft's «Task Configuration» lists them: a task
// derives the same bytes in every version, or clients and aggregators part.
func TestConfigurationBytes(t *testing.T) {
	s := shoalTask(t, task.Aggregation{
		Kind: kind.Histogram{Bounds: []int64{10, 100, 1000}}, Variant: "dap-18", Noise: dp.Noise{Mechanism: dp.Laplace, Num: 1, Den: 2, Sensitivity: 2},
	})
	id, err := s.ID()
	if err != nil {
		t.Fatal(err)
	}
	want := "20" + hex.EncodeToString(id[:]) + // task_info
		"001a" + hex.EncodeToString([]byte("https://leader.example/dap")) +
		"0016" + hex.EncodeToString([]byte("https://helper.example")) +
		"0000000000015180" + // time_precision
		"00000000000003e8" + // min_batch_size
		"01" + "0000" + // time-interval
		"00000004" + "0008" + "00000005" + "00000002" + // histogram of 4 buckets and "no value", chunk length
		"0029" + // extensions
		"0001" + "0010" + "0000000000004e20" + "000000000000001e" + // task_interval
		"ff53" + "0011" + "01" + "00000001" + "00000002" + "0000000000000002" // noise
	d := made(t, s)
	if got := hex.EncodeToString(d.Bytes()); got != want {
		t.Errorf("configuration\n%s, want\n%s", got, want)
	}
	if d.ID() != dap.TaskprovID(d.Bytes()) {
		t.Error("the task ID is not the taskprov ID")
	}
	if got, ok := d.Config().ShoalTask(); !ok || got != id {
		t.Error("the Shoal task is not found in the configuration")
	}
	if d.Noise() != s.Aggregation.Noise {
		t.Errorf("noise %v", d.Noise())
	}
}

// Epochs are the units of time: what the task covers is what the interval holds.
func TestEpochsAreTimes(t *testing.T) {
	s := shoalTask(t, task.Aggregation{Kind: kind.Count{Max: 1}, Variant: "dap-19"})
	d := made(t, s)
	i, ok := d.Interval()
	if !ok || d.Variant().String() != "dap-19" {
		t.Fatalf("%v, %v", i, d.Variant())
	}
	for e := task.Epoch(19_990); e < 20_040; e++ {
		if s.Covers(e) != i.Contains(dap.Time(e)) {
			t.Errorf("epoch %d: covered %v, in the interval %v", e, s.Covers(e), i.Contains(dap.Time(e)))
		}
		at := s.Start(e).Add(5 * time.Hour)
		if got, err := d.Config().TimePrecision.Time(at); err != nil || got != dap.Time(s.EpochAt(at)) {
			t.Errorf("epoch %d has time %d", e, got)
		}
	}
	if g := taskconfig.Grace(s); !s.Closes(20_000).Equal(s.Start(20_001).Add(g)) {
		t.Errorf("grace %v", g)
	}
}

func TestEveryKindInEveryVariant(t *testing.T) {
	seen := map[dap.TaskID]string{}
	for _, variant := range task.Variants() {
		for _, a := range []task.Aggregation{
			{Kind: kind.Count{Max: 1}},
			{Kind: kind.Count{Max: 9}},
			{Kind: kind.Sum{Max: 9}},
			{Kind: kind.Mean{Max: 9}},
			{Kind: kind.Histogram{Bounds: []int64{5}}},
			{Kind: kind.Categories{Labels: []string{"a", "b"}}},
			{Kind: kind.Categories{Labels: []string{"a", "c"}}},
			{Kind: kind.Categories{Labels: []string{"a", "b"}}, Presence: kind.Revealed},
			{Kind: kind.Multihot{Labels: []string{"a", "b"}, Max: 1}},
			{Kind: kind.Vector{Length: 3, Max: 9}},
			{Kind: kind.Bounded{Length: 3, Max: 9}},
			{Kind: kind.LInfGradient{Length: 3, Bound: 1, Bits: 8}},
			{Kind: kind.L1Gradient{Length: 3, Bound: 1, Bits: 8}},
		} {
			a.Variant = variant
			d := made(t, shoalTask(t, a))
			name := fmt.Sprint(variant, a)
			if other, twice := seen[d.ID()]; twice {
				t.Errorf("%s has the DAP task of %s", name, other)
			}
			seen[d.ID()] = name
		}
	}
	crowd := &task.Task{Metric: "m", Method: task.Crowd}
	if _, err := taskconfig.New(crowd, task.ID{}); err == nil {
		t.Error("a crowd task has a DAP task")
	}
}

func TestCollectorKey(t *testing.T) {
	now := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	public := sha256.Sum256([]byte("x"))
	c := &task.KeyConfig{
		Role: task.Collector, Identity: identity("collector").Public(),
		Keys:      []task.Key{task.NewKey(task.KEMX25519, public[:], now, now.Add(time.Hour))},
		NotBefore: now.Unix(), NotAfter: now.Add(time.Hour).Unix(),
	}
	signed, err := task.SignKeyConfig(c, identity("collector"))
	if err != nil {
		t.Fatal(err)
	}
	opened, err := task.OpenKeyConfig(signed, c.Identity, task.Collector, now)
	if err != nil {
		t.Fatal(err)
	}
	config, err := taskconfig.CollectorKey(opened, now)
	if err != nil || config.Validate() != nil || !slices.Equal(config.PublicKey, public[:]) || byte(config.ID) != c.Keys[0].ID[0] {
		t.Errorf("%+v, %v", config, err)
	}
	if _, err := taskconfig.CollectorKey(opened, now.Add(2*time.Hour)); err == nil {
		t.Error("a key past its time is used")
	}
	c.Role = task.Leader
	if _, err := taskconfig.CollectorKey(c, now); err == nil {
		t.Error("a leader's key is taken for the collector's")
	}
}
