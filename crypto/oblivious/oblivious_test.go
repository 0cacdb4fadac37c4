package oblivious

import (
	"bytes"
	"encoding/binary"
	"fmt"
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
		exchange(tracer{}, 0, 0, a, b, width, from, flip)
		exchangeGeneric(tracer{}, 0, 0, first, second, width, from, flip)
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
