package analyzer

import (
	"errors"
	"fmt"
	"runtime"
	"testing"

	"pgregory.net/rapid"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/metric/task"
)

// Cells agree with a map.
func TestCellsAgainstMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		options := rapid.IntRange(1, 60).Draw(t, "options")
		var c cells
		want := map[int]uint64{}
		for range rapid.IntRange(0, 100).Draw(t, "steps") {
			k, n := rapid.IntRange(0, options-1).Draw(t, "option"), rapid.Uint64Range(1, 9).Draw(t, "n")
			c.add(k, n, options)
			want[k] += n
		}
		for k := range options {
			if c.get(k) != want[k] {
				t.Fatalf("option %d: %d, want %d", k, c.get(k), want[k])
			}
		}
		if len(c.list) > 0 && len(c.list) > max(1, options/4) {
			t.Fatalf("a list of %d of %d options", len(c.list), options)
		}
	})
}

func enumTask(values int) *task.Task {
	f := task.Field{Name: "e", Kind: task.Enum, Flip: 10_000}
	for i := range values {
		f.Values = append(f.Values, fmt.Sprint("v", i))
	}
	return &task.Task{
		Metric: "m", Schema: task.Schema{{Name: "program", Kind: task.String, Max: 64}, f},
		Crowd: task.CrowdRule{Kind: task.Attributes, Fields: []uint8{0}, SaltEpochs: 1}, EpochSeconds: 3600,
	}
}

// 3,000 crowds of an enum of 1,000 values take some hundred bytes a crowd, not some
// hundred thousand, and their table has a row for what was shown.
func TestMemoryIsNotCrowdsTimesValues(t *testing.T) {
	l := newLayout(enumTask(1000), 1)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	c := newCounter(l, 1<<30)
	for i := range 3000 {
		rec := task.Record{fmt.Sprintf("%064d", i), "v7"}
		if _, err := c.add(rec, l.row(rec), 1); err != nil {
			t.Fatal(err)
		}
	}
	took := int64(heap()) - int64(before)
	if estimated := int64(1<<30) - c.memory; took > 3<<20 || took > 2*estimated {
		t.Errorf("%d bytes for 3,000 crowds, estimated as %d", took, estimated)
	}
	rule, err := dp.NewNaive(1)
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	if err := c.values(rule, func(r Row) error {
		rows++
		if r[len(r)-5] != int64(1) { // observed
			t.Fatalf("row %v", r)
		}
		return nil
	}); err != nil || rows != 3000 || !c.sparse() {
		t.Errorf("%d rows, %v", rows, err)
	}
	runtime.KeepAlive(c)
}

// A smaller table has all values, shown or not.
func TestValuesTableIsWhole(t *testing.T) {
	l := newLayout(enumTask(10), 1)
	c := newCounter(l, 1<<30)
	for i := range 3 {
		rec := task.Record{fmt.Sprint(i), "v7"}
		if _, err := c.add(rec, l.row(rec), 2); err != nil {
			t.Fatal(err)
		}
	}
	rule, err := dp.NewNaive(1)
	if err != nil {
		t.Fatal(err)
	}
	rows, shown := 0, int64(0)
	if err := c.values(rule, func(r Row) error {
		rows++
		shown += r[len(r)-5].(int64)
		if len(r) != len(c.valuesColumns()) || r[len(r)-6] != int64(2) {
			t.Fatalf("row %v", r)
		}
		return nil
	}); err != nil || rows != 30 || shown != 6 || c.sparse() {
		t.Errorf("%d rows with %d shown, %v", rows, shown, err)
	}
}

// The bound on memory is an error, not an end of the process.
func TestCounterIsBounded(t *testing.T) {
	l := newLayout(enumTask(10), 1)
	c := newCounter(l, 10_000)
	for i := range 1000 {
		rec := task.Record{fmt.Sprintf("%064d", i), "v7"}
		if _, err := c.add(rec, l.row(rec), 1); err != nil {
			if !errors.Is(err, errMemory) || i < 10 {
				t.Errorf("crowd %d: %v", i, err)
			}
			return
		}
	}
	t.Error("1,000 crowds in 10,000 bytes")
}
