package shoal

import (
	"bytes"
	"testing"

	"github.com/shoal-project/shoal/metric/aggregate"
	"github.com/shoal-project/shoal/metric/task"
)

// Whatever is in an entry of the outbox, it is read as what it writes, or
// refused.
func FuzzAccumulated(f *testing.F) {
	a := task.Aggregation{Kind: task.Multihot, Labels: []string{"a", "b", "c"}, Max: 2, Variant: "dap-18"}
	a, err := aggregate.WithChunk(a)
	if err != nil {
		f.Fatal(err)
	}
	q, err := aggregate.New(&a)
	if err != nil {
		f.Fatal(err)
	}
	m := &metric{task: &task.Task{Aggregation: a}, question: q}
	g, err := m.begin(bytes.NewReader(bytes.Repeat([]byte{7}, 16)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(m.report(g).Record)
	if err := g.tally.Observe("b", nil); err != nil {
		f.Fatal(err)
	}
	f.Add(m.report(g).Record)
	f.Add([]byte{accumulatedVersion})
	f.Fuzz(func(t *testing.T, record []byte) {
		g, err := parseAccumulated(q, record)
		if err != nil {
			return
		}
		if again := m.report(g).Record; !bytes.Equal(again, record) {
			t.Fatalf("%x is read, and written as %x", record, again)
		}
	})
}
