package oblivious

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func seeded(n byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{n}) }

func seedOf(r *rand.ChaCha8) (seed [SeedSize]byte) {
	r.Read(seed[:])
	return seed
}

// numbered returns a table whose rows begin with their number and go on with bytes
// that follow from it.
func numbered(t testing.TB, rows, size int) *Table {
	t.Helper()
	table, err := NewTable(rows, size)
	if err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		if err := table.Set(i, numberedRow(i, size)); err != nil {
			t.Fatal(err)
		}
	}
	return table
}

func numberedRow(i, size int) []byte {
	row := make([]byte, max(size, 4))
	binary.LittleEndian.PutUint32(row, uint32(i))
	for j := 4; j < size; j++ {
		row[j] = byte(i*31 + j)
	}
	return row[:size]
}

// numbers returns the numbers of the rows in their order, and fails if a row is
// not whole.
func numbers(t testing.TB, table *Table) []int {
	t.Helper()
	result := make([]int, table.Rows())
	for i := range result {
		row, err := table.Append(nil, i)
		if err != nil {
			t.Fatal(err)
		}
		result[i] = int(binary.LittleEndian.Uint32(row))
		if want := numberedRow(result[i], table.Size()); !bytes.Equal(row, want) {
			t.Fatalf("row %d is %x, want %x", i, row, want)
		}
	}
	return result
}

func TestTable(t *testing.T) {
	for _, size := range []int{4, 7, 8, 31, 32, 33, 200} {
		table := numbered(t, 5, size)
		if got := numbers(t, table); !slices.Equal(got, []int{0, 1, 2, 3, 4}) {
			t.Errorf("rows of %d bytes: %v", size, got)
		}
	}
	for _, c := range []struct {
		rows, size int
		want       string
	}{{-1, 8, "-1 rows"}, {1 << 31, 8, "2147483648 rows"}, {1, 0, "0 bytes"}, {1, 1<<20 + 1, "1048577 bytes"}} {
		if _, err := NewTable(c.rows, c.size); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("NewTable(%d, %d): %v", c.rows, c.size, err)
		}
	}
	table := numbered(t, 2, 8)
	for _, err := range []error{table.Set(2, make([]byte, 8)), table.Set(-1, make([]byte, 8)), table.Set(0, make([]byte, 7))} {
		if err == nil {
			t.Error("a row that does not fit was set")
		}
	}
	if _, err := table.Append(nil, 2); err == nil {
		t.Error("row 2 of 2 was read")
	}
}

// TestExchange compares the vector form with the one in Go.
func TestExchange(t *testing.T) {
	r := rand.New(seeded(1))
	for range 300 {
		rows, width := 1+r.IntN(9), vectorWords*(1+r.IntN(8))
		first, second := make([]uint64, rows*width), make([]uint64, rows*width)
		for i := range first {
			first[i], second[i] = r.Uint64(), r.Uint64()
		}
		from, flip := uint64(r.IntN(rows+2)), -uint64(r.IntN(2))
		a, b := slices.Clone(first), slices.Clone(second)
		exchange(a, b, width, from, flip)
		exchangeGeneric(first, second, width, from, flip)
		if !slices.Equal(a, first) || !slices.Equal(b, second) {
			t.Fatalf("%d rows of %d words from %d, flip %x: the two forms differ", rows, width, from, flip)
		}
	}
}

// TestCompact covers every choice of marks of up to ten rows, and random ones.
func TestCompact(t *testing.T) {
	for n := range 11 {
		for choice := range 1 << n {
			marks := make([]byte, n)
			for i := range marks {
				marks[i] = byte(choice >> i & 1)
			}
			checkCompact(t, n, marks, 1)
		}
	}
	r := rand.New(seeded(2))
	for _, n := range []int{11, 64, 1000, 4097, 3*parallelRows + 17} {
		for _, workers := range []int{1, 3} {
			share := r.Float64()
			marks := make([]byte, n)
			for i := range marks {
				if r.Float64() < share {
					marks[i] = 1
				}
			}
			checkCompact(t, n, marks, workers)
		}
	}
}

func checkCompact(t *testing.T, n int, marks []byte, workers int) {
	t.Helper()
	table := numbered(t, n, 8)
	got, err := table.Compact(marks, workers)
	if err != nil {
		t.Fatal(err)
	}
	var want []int
	for i, m := range marks {
		if m == 1 {
			want = append(want, i)
		}
	}
	all := numbers(t, table)
	front := slices.Sorted(slices.Values(all[:got]))
	if !slices.Equal(front, want) {
		t.Fatalf("marks %v: rows %v are at the front, want %v", marks, front, want)
	}
	slices.Sort(all)
	for i := range all {
		if all[i] != i {
			t.Fatalf("marks %v: row %d is lost", marks, i)
		}
	}
}

func TestCompactRefuses(t *testing.T) {
	table := numbered(t, 3, 8)
	if _, err := table.Compact([]byte{1, 0}, 1); err == nil || !strings.Contains(err.Error(), "2 marks for 3 rows") {
		t.Errorf("two marks: %v", err)
	}
	if _, err := table.Compact([]byte{1, 2, 0}, 1); err == nil {
		t.Error("a mark of 2")
	}
}

// chiSquare fails unless orders of n rows are equally frequent: for the 23 and 119
// degrees of freedom of 4 and 5 rows the limits are exceeded with a probability of
// 1e-9. The seed is fixed.
func chiSquare(t *testing.T, n int, limit float64, order func() []int) {
	t.Helper()
	cells := 1
	for i := range n {
		cells *= i + 1
	}
	runs := 400 * cells
	counts := map[string]int{}
	for range runs {
		counts[fmt.Sprint(order())]++
	}
	if len(counts) != cells {
		t.Fatalf("%d orders of %d rows, want %d", len(counts), n, cells)
	}
	sum, expected := 0.0, float64(runs)/float64(cells)
	for _, c := range counts {
		sum += (float64(c) - expected) * (float64(c) - expected) / expected
	}
	if sum > limit {
		t.Errorf("chi-square of the orders of %d rows is %.1f, want below %.1f", n, sum, limit)
	}
}

func TestShuffleIsUniform(t *testing.T) {
	r := seeded(3)
	for n, limit := range map[int]float64{4: 85, 5: 230} {
		chiSquare(t, n, limit, func() []int {
			table := numbered(t, n, 8)
			if err := table.Shuffle(seedOf(r), 1); err != nil {
				t.Fatal(err)
			}
			return numbers(t, table)
		})
	}
}

// TestShuffle covers sizes around the limits of blocks and workers: no row is lost,
// any number of workers gives one result, and another seed another.
func TestShuffle(t *testing.T) {
	r := seeded(4)
	for _, n := range []int{0, 1, 2, 3, 7, blockRows - 1, blockRows, blockRows + 1, 3*blockRows + 5, 2*parallelRows + 3} {
		seed := seedOf(r)
		one, four, other := numbered(t, n, 12), numbered(t, n, 12), numbered(t, n, 12)
		for table, workers := range map[*Table]int{one: 1, four: 4} {
			if err := table.Shuffle(seed, workers); err != nil {
				t.Fatal(err)
			}
		}
		if err := other.Shuffle(seedOf(r), 1); err != nil {
			t.Fatal(err)
		}
		got := numbers(t, one)
		if !slices.Equal(got, numbers(t, four)) {
			t.Errorf("%d rows: four workers give another order than one", n)
		}
		if n > 20 && slices.Equal(got, numbers(t, other)) {
			t.Errorf("%d rows: two seeds give one order", n)
		}
		slices.Sort(got)
		for i := range got {
			if got[i] != i {
				t.Fatalf("%d rows: row %d is lost", n, i)
			}
		}
	}
}

// TestMarker shows that each choice of rows is as frequent as any other.
func TestMarker(t *testing.T) {
	const n, runs = 6, 40000
	r := seeded(5)
	counts := map[string]int{}
	random := make([]byte, n*markSize)
	for range runs {
		r.Read(random)
		var marks [n]uint32
		m := marker{left: n / 2}
		m.mark(marks[:], random, n)
		if marks[n-1] != n/2 || m.left != 0 {
			t.Fatalf("%d of %d rows are marked", marks[n-1], n)
		}
		counts[fmt.Sprint(marks)]++
	}
	const choices = 20
	sum, expected := 0.0, float64(runs)/choices
	for _, c := range counts {
		sum += (float64(c) - expected) * (float64(c) - expected) / expected
	}
	// 19 degrees of freedom: exceeded with a probability of 1e-9.
	if len(counts) != choices || sum > 77 {
		t.Errorf("%d choices, chi-square %.1f; want %d, below 77", len(counts), sum, choices)
	}
}

// crowdTable returns a table whose row i is of the crowd of crowds[i]; crowd -1 does
// not count.
func crowdTable(t testing.TB, crowds []int, key byte) *Table {
	t.Helper()
	const size = TagSize + 8
	table, err := NewTable(len(crowds), size)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range crowds {
		row := make([]byte, size)
		copy(row, tagOf(c, key))
		binary.LittleEndian.PutUint32(row[TagSize:], uint32(i))
		binary.LittleEndian.PutUint32(row[TagSize+4:], uint32(c))
		if err := table.Set(i, row); err != nil {
			t.Fatal(err)
		}
	}
	return table
}

func tagOf(crowd int, key byte) []byte {
	tag := make([]byte, TagSize)
	rand.NewChaCha8([32]byte{key, byte(crowd), byte(crowd >> 8), byte(crowd >> 16)}).Read(tag)
	return tag
}

// dropOf is a drop that differs between crowds.
func dropOf(tag *[TagSize]byte) uint32 { return uint32(tag[3] & 7) }

func validRow(row []byte) byte {
	return byte(^nonzero(uint64(^binary.LittleEndian.Uint32(row[TagSize+4:])))&1) ^ 1
}

// TestThreshold compares with counting in a map.
func TestThreshold(t *testing.T) {
	r := rand.New(seeded(6))
	for _, n := range []int{0, 1, 2, 100, 5000, 2*parallelRows + 9} {
		crowds := make([]int, n)
		for i := range crowds {
			crowds[i] = int(r.ExpFloat64()*float64(n)/300) - 1
		}
		var order []uint32
		for _, workers := range []int{1, 4} {
			table := crowdTable(t, crowds, 9)
			const least = 20
			kept, err := table.Threshold([SeedSize]byte{byte(n)}, Rules{Min: least, Drop: dropOf, Valid: validRow}, workers)
			if err != nil {
				t.Fatal(err)
			}
			got, rows := checkKept(t, table, kept)
			if want := keptByMap(crowds, least); !equalCounts(got, want) {
				t.Fatalf("%d rows, %d workers: kept %v, want %v", n, workers, got, want)
			}
			if workers > 1 && !slices.Equal(rows, order) {
				t.Errorf("%d rows: four workers keep other rows, or in another order, than one", n)
			}
			order = rows
		}
	}
}

func checkKept(t *testing.T, table *Table, kept int) (map[int]int, []uint32) {
	t.Helper()
	counts, seen, order := map[int]int{}, map[uint32]bool{}, []uint32{}
	for i := range kept {
		row, err := table.Append(nil, i)
		if err != nil {
			t.Fatal(err)
		}
		n := binary.LittleEndian.Uint32(row[TagSize:])
		if seen[n] {
			t.Fatalf("row %d is there twice", n)
		}
		seen[n] = true
		order = append(order, n)
		counts[int(int32(binary.LittleEndian.Uint32(row[TagSize+4:])))]++
	}
	return counts, order
}

func keptByMap(crowds []int, least int) map[int]int {
	sizes := map[int]int{}
	for _, c := range crowds {
		sizes[c]++
	}
	want := map[int]int{}
	for c, n := range sizes {
		drop := int(dropOf((*[TagSize]byte)(tagOf(c, 9))))
		if c >= 0 && n-drop >= least {
			want[c] = n - drop
		}
	}
	return want
}

func equalCounts(a, b map[int]int) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return true
}

// TestThresholdDropsAtRandom shows that the rows of a crowd are kept equally often,
// and in any order.
func TestThresholdDropsAtRandom(t *testing.T) {
	const n, runs = 8, 4000
	r := seeded(7)
	kept, first := [n]int{}, [n]int{}
	for range runs {
		table := crowdTable(t, make([]int, n), 9)
		got, err := table.Threshold(seedOf(r), Rules{Min: 1, Drop: func(*[TagSize]byte) uint32 { return n / 2 }}, 1)
		if err != nil || got != n/2 {
			t.Fatal(got, err)
		}
		_, rows := checkKept(t, table, got)
		for _, row := range rows {
			kept[row]++
		}
		first[rows[0]]++
	}
	// Six and a half standard deviations: one of 16 figures exceeds them with a
	// probability below 1e-8. The seed is fixed.
	for i := range n {
		if d := kept[i] - runs/2; d*d > 43*runs/4 {
			t.Errorf("row %d was kept %d times of %d, want about half", i, kept[i], runs)
		}
		if d := first[i] - runs/n; d*d > 43*runs*(n-1)/(n*n) {
			t.Errorf("row %d was first %d times of %d, want an eighth", i, first[i], runs)
		}
	}
}

func TestThresholdRefuses(t *testing.T) {
	if _, err := numbered(t, 2, 8).Threshold([SeedSize]byte{}, Rules{Drop: dropOf}, 1); err == nil || !strings.Contains(err.Error(), "8 bytes") {
		t.Errorf("rows without room for a tag: %v", err)
	}
	if _, err := numbered(t, 2, 32).Threshold([SeedSize]byte{}, Rules{}, 1); err == nil || !strings.Contains(err.Error(), "drop") {
		t.Errorf("rules without a drop: %v", err)
	}
}

// A trace is what an observer sees of a run, as far as it goes through Table.
type trace []string

func (tr *trace) record(operation byte, a, b, rows int) {
	*tr = append(*tr, fmt.Sprintf("%c%d,%d,%d", operation, a, b, rows))
}

// TestTracesOfCompactAndShuffle holds the traces of two inputs of one shape, whose
// rows and marks differ, against each other. Threat: a machine whose memory
// addresses are watched.
func TestTracesOfCompactAndShuffle(t *testing.T) {
	for _, n := range []int{1, 2, 17, 100, 1 << 10, 1<<10 + 13} {
		var traces [2]trace
		for k := range traces {
			r := rand.New(seeded(byte(k)))
			table := numbered(t, n, 8)
			table.trace = traces[k].record
			marks := make([]byte, n)
			for i := range marks {
				marks[i] = byte(bits.OnesCount32(r.Uint32()) >> 4 & 1)
			}
			if _, err := table.Compact(marks, 1); err != nil {
				t.Fatal(err)
			}
			if err := table.Shuffle(seedOf(seeded(byte(40+k))), 1); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(traces[0], traces[1]) {
			t.Errorf("%d rows: the traces of two inputs differ", n)
		}
		if n > 1 && len(traces[0]) == 0 {
			t.Error("nothing was traced")
		}
	}
}

// TestTraceOfThreshold relabels the crowds so that keys keep their order: the traces
// are equal; and takes all crowds away, after which all but the sort is equal, up to
// the number of rows that are kept.
func TestTraceOfThreshold(t *testing.T) {
	const n = 600
	r := rand.New(seeded(8))
	crowds := make([]int, n)
	for i := range crowds {
		crowds[i] = r.IntN(9)
	}
	run := func(label func(crowd int) uint64) trace {
		var tr trace
		table, err := NewTable(n, TagSize+8)
		if err != nil {
			t.Fatal(err)
		}
		table.trace = tr.record
		for i, c := range crowds {
			row := make([]byte, table.Size())
			binary.LittleEndian.PutUint64(row, label(c))
			if err := table.Set(i, row); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := table.Threshold([SeedSize]byte{5}, Rules{Min: 10, Drop: func(*[TagSize]byte) uint32 { return 3 }}, 1); err != nil {
			t.Fatal(err)
		}
		return tr
	}
	first := run(func(c int) uint64 { return uint64(c) * 7 })
	if relabelled := run(func(c int) uint64 { return 1<<40 + uint64(c)*uint64(c) }); !slices.Equal(first, relabelled) {
		t.Error("keys of the same order have different traces")
	}
	reversed := run(func(c int) uint64 { return 100 - uint64(c) })
	if slices.Equal(first, reversed) {
		t.Error("keys of another order have the same trace: nothing of the sort is traced")
	}
	if !slices.Equal(withoutSort(first), withoutSort(reversed)) {
		t.Error("outside of the sort the traces of two inputs differ")
	}
}

func withoutSort(tr trace) trace {
	return slices.DeleteFunc(slices.Clone(tr), func(s string) bool {
		return s[0] == traceCompare || s[0] == traceMove
	})
}

// FuzzThreshold compares with counting in a map, for any crowds.
func FuzzThreshold(f *testing.F) {
	f.Add([]byte{1, 1, 1, 2, 2, 3}, byte(2))
	f.Fuzz(func(t *testing.T, labels []byte, least byte) {
		if len(labels) > 500 {
			return
		}
		crowds := make([]int, len(labels))
		for i, l := range labels {
			crowds[i] = int(l)
		}
		table := crowdTable(t, crowds, 9)
		kept, err := table.Threshold([SeedSize]byte{least}, Rules{Min: uint32(least) + 1, Drop: dropOf}, 1)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := checkKept(t, table, kept)
		if want := keptByMap(crowds, int(least)+1); !equalCounts(got, want) {
			t.Errorf("kept %v, want %v", got, want)
		}
	})
}
