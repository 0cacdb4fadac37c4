package encoder

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/metric/task"
)

const testEpoch task.Epoch = 20_000

// apps is a schema with one field of each kind.
func apps() task.Schema {
	return task.Schema{
		{Name: "app", Kind: task.String, Max: 20},
		{Name: "os", Kind: task.Enum, Values: []string{"linux", "darwin", "windows"}},
		{Name: "size", Kind: task.Int, Low: 0, High: 1000, Buckets: []int64{0, 10, 100}},
		{Name: "crashed", Kind: task.Bool},
		{Name: "apis", Kind: task.Set, Values: []string{"net", "files", "threads", "time", "math"}},
		{Name: "seen", Kind: task.List, Elem: task.Int, Max: 8, Low: 0, High: 99},
	}
}

func record() map[string]any {
	return map[string]any{
		"app": "cat", "os": "linux", "size": 57, "crashed": false,
		"apis": []string{"files", "math"}, "seen": []int{1, 2, 3, 4, 5},
	}
}

// newTask returns a task over the schema; change alters it before it is used.
func newTask(t testing.TB, schema task.Schema, change func(*task.Task)) (*Encoder, *task.Task) {
	t.Helper()
	rnd := rand.NewChaCha8([32]byte{2})
	x := &task.Task{
		OwnedBy: "Example", Metric: "apps", Question: "Which?", Method: task.Crowd, Schema: schema,
		Crowd: task.CrowdRule{Kind: task.Payload, SaltEpochs: 1}, MinBatch: 1,
		Threshold:    task.Threshold{Kind: task.Naive, T: 10},
		EpochSeconds: 86400, PerEpoch: 1000, PerCrowd: 1, Expires: 30_000 * 86400,
	}
	for i, role := range []task.Role{task.Shuffler, task.Analyzer} {
		x.Hops = append(x.Hops, task.Party{Role: role, URL: "https://" + string(rune('a'+i)) + ".example", Identity: identity(t, rnd).Public()})
	}
	x.Owner = identity(t, rnd).Public()
	if change != nil {
		change(x)
	}
	var err error
	if x.PayloadSize, err = task.SizeClass(x.MaxContent()); err != nil {
		t.Fatal(err)
	}
	id, err := x.ID()
	if err != nil {
		t.Fatal(err)
	}
	e, err := New(x, id)
	if err != nil {
		t.Fatal(err)
	}
	return e, x
}

func identity(t testing.TB, rnd *rand.ChaCha8) task.IdentityKey {
	t.Helper()
	k, err := task.GenerateIdentityKey(rnd)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func seeded(seed byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{seed}) }

func decode(t testing.TB, x *task.Task, f Fragment) task.Record {
	t.Helper()
	r, err := x.Decode(f.Payload)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestEncodeAndOpen(t *testing.T) {
	e, x := newTask(t, apps(), nil)
	from := x.Start(testEpoch)
	var private []*esa.PrivateKey
	var keys []task.Key
	for range x.Hops {
		k, err := esa.GenerateKey(esa.X25519, from, from.Add(24*time.Hour), seeded(9))
		if err != nil {
			t.Fatal(err)
		}
		private, keys = append(private, k), append(keys, k.Public())
	}
	fragments, err := e.Encode(record(), seeded(1))
	if err != nil || len(fragments) != 1 {
		t.Fatalf("%d fragments, %v", len(fragments), err)
	}
	layer, err := e.Seal(fragments[0], testEpoch, keys)
	if err != nil {
		t.Fatal(err)
	}
	for i := range x.Hops {
		o, err := esa.NewOpener(x, mustID(t, x), i, private[i])
		if err != nil {
			t.Fatal(err)
		}
		l, err := o.Open(layer, testEpoch)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 && l.Crowd != e.Tag(fragments[0], testEpoch) {
			t.Error("the shuffler reads another crowd")
		}
		layer = l.Next
	}
	got, err := x.Decode(layer)
	if err != nil {
		t.Fatal(err)
	}
	want := task.Record{"cat", "linux", int64(10), false, uint64(0b10010), []task.Value{int64(1), int64(2), int64(3), int64(4), int64(5)}}
	for i := range want {
		if l, ok := want[i].([]task.Value); ok {
			if !slices.Equal(got[i].([]task.Value), l) {
				t.Errorf("field %d: %v, want %v", i, got[i], l)
			}
		} else if got[i] != want[i] {
			t.Errorf("field %d: %v, want %v", i, got[i], want[i])
		}
	}
	d, err := e.Describe(layer)
	if s := `app="cat", os="linux", size=10 to 99, crashed=false, apis={"files", "math"}, seen=[1, 2, 3, 4, 5]`; err != nil || d.String() != s {
		t.Errorf("described as %s, %v", d, err)
	}
	if err := e.task.Validate(); err != nil || strings.Contains(d.String(), "\x1b") {
		t.Error(err)
	}
}

func mustID(t testing.TB, x *task.Task) task.ID {
	t.Helper()
	id, err := x.ID()
	if err != nil {
		t.Fatal(err)
	}
	return id
}
