//go:build oblivioustrace

package oblivious

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// A trace is what an observer sees of a run.
type trace []string

func (tr *trace) tracer() tracer {
	return tracer{func(operation byte, address int) {
		*tr = append(*tr, fmt.Sprintf("%c%d", operation, address))
	}}
}

// TestTracesOfCompactAndShuffle holds the traces of two inputs of one shape, whose
// rows, marks and seeds differ, against each other, in memory and in storage. Threat: a
// machine whose memory addresses and disk are watched.
func TestTracesOfCompactAndShuffle(t *testing.T) {
	for _, n := range []int{1, 2, 17, 100, 300, 1<<10 + 13} {
		for _, memory := range []int64{0, 256} {
			var traces [2]trace
			for k := range traces {
				r := rand.New(seeded(byte(k)))
				marks := make([]byte, 2*n+8)
				for i := range marks {
					marks[i] = byte(r.IntN(2+k*5) & 1)
				}
				seed := seedOf(seeded(byte(40 + k)))
				if memory > 0 {
					table, _ := sealedNumbered(t, n, 8, memory)
					table.trace = traces[k].tracer()
					run(t, table.Rows(), marks, seed, table)
					continue
				}
				table := numbered(t, n, 8)
				table.trace = traces[k].tracer()
				run(t, n, marks, seed, table)
			}
			if !slices.Equal(traces[0], traces[1]) {
				t.Errorf("%d rows, memory %d: the traces of two inputs differ", n, memory)
			}
			if n > 1 && len(traces[0]) < 4*n {
				t.Errorf("%d rows: only %d accesses were traced", n, len(traces[0]))
			}
		}
	}
}

// run compacts by n of the marks, and shuffles.
func run(t *testing.T, n int, marks []byte, seed [SeedSize]byte, table interface {
	Compact([]byte, int) (int, error)
	Shuffle([SeedSize]byte, int) error
},
) {
	t.Helper()
	if _, err := table.Compact(marks[:n], 1); err != nil {
		t.Fatal(err)
	}
	if err := table.Shuffle(seed, 1); err != nil {
		t.Fatal(err)
	}
}

// leakyCompact moves marked rows to the front as a program does that does not care who
// watches: it touches a row only if it is marked.
func leakyCompact(t *Table, marks []byte) {
	front := 0
	for i, m := range marks {
		t.trace.at(traceMark, i)
		if m == 1 {
			t.exchange(front, i, 1, 0, 0)
			front++
		}
	}
}

// TestTracerSees shows that accesses that depend on data, as leakyCompact has them, are
// seen: in rows, and in each of the helpers through which the package reaches memory.
func TestTracerSees(t *testing.T) {
	var traces [2]trace
	for k := range traces {
		table := numbered(t, 100, 8)
		table.trace = traces[k].tracer()
		marks := make([]byte, 100)
		for i := range marks {
			marks[i] = byte(i >> k & 1)
		}
		leakyCompact(table, marks)
	}
	if slices.Equal(traces[0], traces[1]) {
		t.Error("an access that depends on marks is not seen")
	}
	for name, access := range map[string]func(tr tracer, secret int){
		"exchange": func(tr tracer, secret int) {
			table := numbered(t, 10, 8)
			table.trace = tr
			table.exchange(0, 5, secret, 0, 0)
		},
		"between": func(tr tracer, secret int) {
			c := compaction{trace: tr, counts: make([]uint32, 10)}
			c.between(0, secret)
		},
		"compare": func(tr tracer, secret int) {
			ordered{trace: tr}.compare(key{row: 1}, key{row: uint32(secret)})
		},
		"block": func(tr tracer, secret int) {
			table, _ := sealedNumbered(t, 100, 8, 256)
			table.trace = tr
			table.load(secret*table.block, table.block, 1)
		},
		"visit": func(tr tracer, secret int) {
			table := numbered(t, 10, 8)
			table.trace = tr
			_ = table.visit(secret, 1, false, func(int, []uint64) error { return nil })
		},
		"decide": func(tr tracer, secret int) {
			keys := make([]key, 3)
			keys[0].row, keys[2].row = uint32(secret-1), 2
			ordered{tr, keys}.decide(nil, 1)
		},
	} {
		var traces [2]trace
		for k := range traces {
			access(traces[k].tracer(), k+1)
		}
		if slices.Equal(traces[0], traces[1]) {
			t.Errorf("%s: an access that depends on data is not seen", name)
		}
	}
}

// TestTraceOfThreshold relabels crowds and keys so that their order stays: the traces
// are equal, in memory and in storage. With other crowds, all but the sort and what
// follows its order is equal.
func TestTraceOfThreshold(t *testing.T) {
	const n = 600
	r := rand.New(seeded(8))
	crowds, keys := make([]int, n), r.Perm(n)
	for i := range crowds {
		crowds[i] = r.IntN(9)
	}
	observe := func(memory int64, label func(crowd int) uint64, keyOf func(key int) uint64) trace {
		var tr trace
		var rows [][]byte
		for i, c := range crowds {
			row := crowdRow(i, 1)
			for k := range 8 {
				row[k], row[TagSize+k] = byte(label(c)>>(56-8*k)), byte(keyOf(keys[i])>>(56-8*k))
			}
			rows = append(rows, row)
		}
		b := batchOf(t, rows, setting{1, memory}, newStorage(n))
		if b.table != nil {
			b.table.trace = tr.tracer()
		} else {
			b.sealed.trace = tr.tracer()
		}
		keep := func(_ *[TagSize]byte, n uint64) uint64 { return n - 3 }
		if _, err := b.Threshold([SeedSize]byte{5}, Rules{Keep: keep}); err != nil {
			t.Fatal(err)
		}
		return tr
	}
	for _, memory := range []int64{0, 2 << 10} {
		first := observe(memory, func(c int) uint64 { return uint64(c) * 7 }, func(k int) uint64 { return uint64(k) })
		relabelled := observe(memory, func(c int) uint64 { return 1<<40 + uint64(c)*uint64(c) }, func(k int) uint64 { return uint64(k) << 30 })
		if !slices.Equal(first, relabelled) {
			t.Error("keys of the same order have different traces")
		}
		reversed := observe(memory, func(c int) uint64 { return 100 - uint64(c) }, func(k int) uint64 { return uint64(k) })
		if slices.Equal(first, reversed) {
			t.Error("keys of another order have the same trace: nothing of the sort is traced")
		}
		if !slices.Equal(withoutSort(first), withoutSort(reversed)) {
			t.Error("outside of the sort the traces of two inputs differ")
		}
	}
}

// withoutSort leaves out the comparisons, and where marks go, which is the order.
func withoutSort(tr trace) trace {
	sorted := false
	return slices.DeleteFunc(slices.Clone(tr), func(s string) bool {
		if s[0] == traceCompare {
			sorted = true
			return true
		}
		return sorted && s[0] == traceCount
	})
}
