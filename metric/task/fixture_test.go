package task_test

import (
	"bytes"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/shoal-project/shoal/metric/task"
)

// identity returns a key that depends on its name alone.
func identity(name string) task.IdentityKey {
	seed := sha256.Sum256([]byte(name))
	key, err := task.GenerateIdentityKey(bytes.NewReader(seed[:]))
	if err != nil {
		panic(err)
	}
	return key
}

// start is when the tasks of these tests begin.
var start = time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)

// sample returns a valid task with a field of every kind.
func sample() *task.Task {
	return &task.Task{
		Owner:    identity("owner").Public(),
		OwnedBy:  "Example Organisation",
		Metric:   "crash.signature",
		Question: "Where does the program crash?",
		Consent:  "When the program crashes, it tells where.\nNever who you are.",
		Method:   task.Crowd,
		Schema: task.Schema{
			{Name: "program", Kind: task.String, Max: 64},
			{Name: "signal", Kind: task.Enum, Values: []string{"segv", "abort", "bus"}, Flip: 100_000},
			{Name: "uptime", Kind: task.Int, Low: 0, High: 86_400, Buckets: []int64{0, 60, 3600}},
			{Name: "threads", Kind: task.Int, Low: -3, High: 300},
			{Name: "first", Kind: task.Bool, Flip: 1000},
			{Name: "uses", Kind: task.Set, Values: []string{"net", "gpu", "disk"}, Flip: 100},
			{Name: "frames", Kind: task.List, Elem: task.String, Max: 4, MaxStr: 32},
			{Name: "modules", Kind: task.List, Elem: task.Enum, Max: 3, Values: []string{"core", "ui"}},
			{Name: "sizes", Kind: task.List, Elem: task.Int, Max: 2, Low: 0, High: 1000, Buckets: []int64{0, 10, 100}},
		},
		Crowd:         task.CrowdRule{Kind: task.Attributes, Fields: []uint8{0, 1}, SaltEpochs: 1},
		Threshold:     task.Threshold{Kind: task.NoisyDrop, T: 20, D: 12, SigmaMilli: 2000},
		MinBatch:      1000,
		EpochSeconds:  86_400,
		MaxDelay:      3600,
		ClockSkew:     300,
		PerEpoch:      10,
		PerCrowd:      1,
		PayloadSize:   256,
		Extensions:    []uint16{1, 7},
		RetentionDays: 90,
		NotBefore:     start.Unix(),
		Expires:       start.AddDate(1, 0, 0).Unix(),
		Hops: []task.Party{
			{Role: task.Shuffler, URL: "https://shuffler.example", Identity: identity("shuffler").Public()},
			{Role: task.Analyzer, URL: "https://analyzer.example/shoal", Identity: identity("analyzer").Public()},
		},
	}
}

func sampleRecord() task.Record {
	return task.Record{
		"editor", "abort", int64(60), int64(297), true, uint64(5),
		[]task.Value{"main", "draw"},
		[]task.Value{"ui"},
		[]task.Value{int64(10), int64(0)},
	}
}

// list returns a valid task that sends a list in parts.
func list(f task.Fragment) *task.Task {
	t := sample()
	t.Schema = task.Schema{
		{Name: "country", Kind: task.Enum, Values: []string{"here", "there"}},
		{Name: "films", Kind: task.List, Elem: task.String, Max: 5, MaxStr: 20},
	}
	f.Field, f.Keep = 1, []uint8{0}
	t.Fragment = f
	t.Crowd = task.CrowdRule{Kind: task.Payload, SaltEpochs: 1}
	t.PayloadSize = 128
	return t
}

// bits returns a valid task that sends a set of ten in chunks of four.
func bits() *task.Task {
	t := sample()
	t.Schema = task.Schema{
		{Name: "page", Kind: task.String, Max: 40},
		{Name: "done", Kind: task.Set, Values: []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}},
	}
	t.Fragment = task.Fragment{Kind: task.Bits, Field: 1, M: 4, Keep: []uint8{0}}
	t.Crowd = task.CrowdRule{Kind: task.Attributes, Fields: []uint8{0, 1}, SaltEpochs: 2}
	t.PayloadSize = 64
	return t
}

// fields returns a valid task that sends field by field.
func fields() *task.Task {
	t := sample()
	t.Fragment = task.Fragment{Kind: task.Fields, Keep: []uint8{0, 1}}
	t.PayloadSize = 512
	return t
}

func keyConfig(name string, role task.Role) *task.KeyConfig {
	day := start.AddDate(0, 0, 1)
	x, p := sha256.Sum256([]byte(name)), bytes.Repeat([]byte{4}, 65)
	return &task.KeyConfig{
		Role:     role,
		Identity: identity(name).Public(),
		Keys: []task.Key{
			task.NewKey(0x7777, []byte("a mechanism of the future"), start, day),
			task.NewKey(task.KEMP256, p, start, day),
			task.NewKey(task.KEMX25519, x[:], start, day.AddDate(0, 0, 1)),
		},
		PolicyDigest: sha256.Sum256([]byte("policy")),
		NotBefore:    start.Unix(),
		NotAfter:     day.AddDate(0, 0, 1).Unix(),
	}
}

// must returns v; err fails the test.
func must[T any](t *testing.T, v T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return v
}
