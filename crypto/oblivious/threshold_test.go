package oblivious

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// testRow is the size of a row of these tests: the head, a number, a crowd.
const testRow = HeadSize + 8

// crowdRow is row i of a crowd; one of crowd -1 does not count.
func crowdRow(i, crowd int) []byte {
	row := make([]byte, testRow)
	copy(row, tagOf(crowd))
	key := rand.NewChaCha8([32]byte{1, byte(i), byte(i >> 8), byte(i >> 16)})
	key.Read(row[TagSize : TagSize+KeySize])
	if crowd >= 0 {
		row[HeadSize-1] = 1
	}
	binary.LittleEndian.PutUint32(row[HeadSize:], uint32(i))
	binary.LittleEndian.PutUint32(row[HeadSize+4:], uint32(crowd))
	return row
}

func tagOf(crowd int) []byte {
	tag := make([]byte, TagSize)
	rand.NewChaCha8([32]byte{2, byte(crowd), byte(crowd >> 8), byte(crowd >> 16)}).Read(tag)
	return tag
}

// crowdRows returns a row for each crowd of crowds.
func crowdRows(crowds []int) [][]byte {
	var rows [][]byte
	for i, c := range crowds {
		rows = append(rows, crowdRow(i, c))
	}
	return rows
}

// inStorage is a storage of a fixed size, which workers may use at once. It may be
// changed before a number of blocks have been read.
type inStorage struct {
	bytes  []byte
	reads  atomic.Int64
	change func(reads int64, b []byte)
	fail   func(reads int64) error
}

func (m *inStorage) WriteAt(b []byte, at int64) (int, error) {
	if int(at)+len(b) > len(m.bytes) {
		return 0, errors.New("beyond the storage")
	}
	return copy(m.bytes[at:], b), nil
}

func (m *inStorage) ReadAt(b []byte, at int64) (int, error) {
	n := m.reads.Add(1)
	if m.fail != nil {
		if err := m.fail(n); err != nil {
			return 0, err
		}
	}
	if m.change != nil {
		m.change(n, m.bytes)
	}
	return copy(b, m.bytes[at:]), nil
}

// A setting is where the rows of a batch are: memory for rows besides that for keys, or
// 0 for as much as is needed.
type setting struct {
	workers int
	memory  int64
}

// batchOf returns a batch of rows.
func batchOf(t testing.TB, rows [][]byte, p setting, storage *inStorage) *Batch {
	t.Helper()
	config := BatchConfig{Rows: len(rows), Size: testRow, Memory: int64(len(rows)) * (memoryPerRow + 64), Workers: p.workers}
	b, err := NewBatch(config)
	if p.memory > 0 && err == nil {
		b = &Batch{config: config}
		b.sealed, err = NewSealedTable(storage, len(rows), testRow, p.memory, [SeedSize]byte{77})
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if err := b.Add(row); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func newStorage(rows int) *inStorage { return &inStorage{bytes: make([]byte, rows*200+1<<16)} }

// keepOf is a rule with a drop that differs between crowds.
func keepOf(least uint64) func(*[TagSize]byte, uint64) uint64 {
	return func(tag *[TagSize]byte, n uint64) uint64 {
		left := n - uint64(tag[3]&7)
		return left &^ less(n, uint64(tag[3]&7)) &^ less(left, least)
	}
}

// keptByMap applies keepOf by counting in a map: it returns the numbers of the rows
// that are kept, of each crowd those with the greatest keys.
func keptByMap(rows [][]byte, least uint64) (kept []int, distinct int) {
	crowds := map[string][]string{}
	seen := map[string]bool{}
	for _, row := range rows {
		head := string(row[:HeadSize-1])
		if row[HeadSize-1] == 1 && !seen[head] {
			seen[head] = true
			distinct++
			crowds[head[:TagSize]] = append(crowds[head[:TagSize]], string(row[TagSize:]))
		}
	}
	for tag, all := range crowds {
		slices.Sort(all)
		n := keepOf(least)((*[TagSize]byte)([]byte(tag)), uint64(len(all)))
		for _, row := range all[len(all)-int(n):] {
			kept = append(kept, int(binary.LittleEndian.Uint32([]byte(row[KeySize+1:]))))
		}
	}
	slices.Sort(kept)
	return kept, distinct
}

// keptOf returns the numbers of the rows that a batch has kept, in their order.
func keptOf(t testing.TB, b *Batch) []int {
	t.Helper()
	kept := []int{}
	err := b.Each(func(row []byte) error {
		i, c := binary.LittleEndian.Uint32(row[HeadSize:]), binary.LittleEndian.Uint32(row[HeadSize+4:])
		if !bytes.Equal(row, crowdRow(int(i), int(int32(c)))) {
			t.Errorf("row %d of crowd %d is not whole", i, int32(c))
		}
		kept = append(kept, int(i))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return kept
}

// TestThreshold compares with counting in a map: in memory and in storage, in parts of
// all sizes, by one worker and by four. Rows that are there twice count once.
func TestThreshold(t *testing.T) {
	r := rand.New(seeded(6))
	const least = 20
	for _, n := range []int{0, 1, 2, 100, 1000, 2*parallelRows + 9} {
		crowds := make([]int, n)
		for i := range crowds {
			crowds[i] = int(r.ExpFloat64()*float64(n)/300) - 1
		}
		rows := crowdRows(crowds)
		for i := range n / 50 {
			rows[i*7%n] = rows[i*11%n]
		}
		want, distinct := keptByMap(rows, least)
		orders := map[int64][]int{}
		for _, p := range []setting{{1, 0}, {4, 0}, {1, 1 << 10}, {3, 1 << 10}, {1, 1 << 14}, {4, 1 << 18}} {
			if int64(n)*64 <= p.memory || int64(n) > 4*p.memory && p.memory > 0 {
				continue
			}
			b := batchOf(t, rows, p, newStorage(n))
			asked := uint64(0)
			outcome, err := b.Threshold([SeedSize]byte{byte(n)}, Rules{
				Keep: keepOf(least), Enough: func(n uint64) bool { asked = n; return true },
			})
			if err != nil {
				t.Fatal(err)
			}
			order := keptOf(t, b)
			got := slices.Sorted(slices.Values(order))
			if !slices.Equal(got, want) || asked != uint64(distinct) || outcome.Kept != len(want) || !outcome.Enough {
				t.Fatalf("%d rows, %+v: kept %d of %d (%+v), want %d of %d", n, p, len(got), asked, outcome, len(want), distinct)
			}
			if before, ok := orders[p.memory]; ok && !slices.Equal(order, before) {
				t.Errorf("%d rows, %+v: another order than by one worker", n, p)
			}
			orders[p.memory] = order
			if len(order) > 20 && slices.IsSorted(order) {
				t.Errorf("%d rows, %+v: nothing was shuffled", n, p)
			}
		}
	}
}

// TestSame compares keys that differ in few bits: of two words each counts, whatever
// the other is.
func TestSame(t *testing.T) {
	for i := range 2 {
		for _, other := range []uint64{0, 1, 1 << 63, ^uint64(0)} {
			for bit := range 64 {
				a, b := key{row: 1}, key{row: 2, valid: 1}
				a.tag[1-i], b.tag[1-i], a.key[1-i], b.key[1-i] = other, other, other, other
				if a.sameCrowd(&b) != ^uint64(0) || a.sameKey(&b) != ^uint64(0) {
					t.Fatalf("keys of words %x are different", other)
				}
				b.tag[i], b.key[i] = 1<<bit, 1<<bit
				if a.sameCrowd(&b) != 0 || a.sameKey(&b) != 0 {
					t.Fatalf("bit %d of word %d is overlooked beside %x", bit, i, other)
				}
				if a.less(&b) != ^uint64(0) || b.less(&a) != 0 {
					t.Fatalf("bit %d of word %d decides nothing", bit, i)
				}
			}
		}
	}
}

// TestThresholdRules covers rules that are not there, and a batch that is too small.
func TestThresholdRules(t *testing.T) {
	rows := crowdRows([]int{3, 3, 3, -1, 4})
	for _, p := range []setting{{1, 0}, {1, 256}} {
		b := batchOf(t, rows, p, newStorage(5))
		if outcome, err := b.Threshold([SeedSize]byte{1}, Rules{}); err != nil || outcome != (Outcome{Enough: true, Kept: 4}) || len(keptOf(t, b)) != 4 {
			t.Errorf("without rules: %+v, %v", outcome, err)
		}
		b = batchOf(t, rows, p, newStorage(5))
		outcome, err := b.Threshold([SeedSize]byte{1}, Rules{Enough: func(n uint64) bool { return n >= 5 }})
		if err != nil || outcome != (Outcome{}) || len(keptOf(t, b)) != 0 {
			t.Errorf("4 rows of at least 5: %+v, %v", outcome, err)
		}
		b = batchOf(t, rows, p, newStorage(5))
		err = b.Void(func(row int) byte { return byte(row & 1) }) // of those that count, the second
		if outcome, err2 := b.Threshold([SeedSize]byte{1}, Rules{}); err != nil || err2 != nil || outcome.Kept != 3 || slices.Contains(keptOf(t, b), 1) {
			t.Errorf("with a void row: %+v, %v, %v", outcome, err, err2)
		}
	}
}

// TestThresholdKeepsAtRandom shows that the rows of a crowd are kept equally often,
// and in any order, where their keys are random.
func TestThresholdKeepsAtRandom(t *testing.T) {
	const n, runs = 8, 4000
	r := seeded(7)
	kept, first := [n]int{}, [n]int{}
	for range runs {
		rows := crowdRows(make([]int, n))
		for _, row := range rows {
			r.Read(row[TagSize : TagSize+KeySize])
		}
		table, err := NewTable(n, testRow)
		if err != nil {
			t.Fatal(err)
		}
		for i, row := range rows {
			if err := table.Set(i, row); err != nil {
				t.Fatal(err)
			}
		}
		got, err := table.Threshold(seedOf(r), Rules{Keep: func(*[TagSize]byte, uint64) uint64 { return n / 2 }}, 1)
		if err != nil || got.Kept != n/2 {
			t.Fatal(got, err)
		}
		for i := range got.Kept {
			row, err := table.Append(nil, i)
			if err != nil {
				t.Fatal(err)
			}
			number := binary.LittleEndian.Uint32(row[HeadSize:])
			kept[number]++
			if i == 0 {
				first[number]++
			}
		}
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

func TestBatchRefuses(t *testing.T) {
	if _, err := numbered(t, 2, 32).Threshold([SeedSize]byte{}, Rules{}, 1); err == nil || !strings.Contains(err.Error(), "32 bytes") {
		t.Errorf("rows without room for a head: %v", err)
	}
	asked := 0
	config := BatchConfig{
		Rows: 1000, Size: testRow, Memory: 1000*memoryPerRow + 1<<14, Rand: seeded(1),
		Storage: func() (Storage, error) { asked++; return newStorage(1000), nil },
	}
	if b, err := NewBatch(config); err != nil || b.sealed == nil || asked != 1 {
		t.Errorf("enough memory: %v", err)
	}
	config.Memory = 1000 * (memoryPerRow + 64)
	if b, err := NewBatch(config); err != nil || b.table == nil || asked != 1 {
		t.Errorf("enough memory for all: %v", err)
	}
	config.Memory--
	for want, change := range map[string]func(c *BatchConfig){
		"need at least 8458733 bytes": func(c *BatchConfig) { c.Memory = 1000 * memoryPerRow },
		"and there are 0":             func(c *BatchConfig) { c.Memory = 0 },
		"-1 rows":                     func(c *BatchConfig) { c.Rows = -1 },
		"rows of 32 bytes":            func(c *BatchConfig) { c.Size = 32 },
		"no disk":                     func(c *BatchConfig) { c.Storage = func() (Storage, error) { return nil, errors.New("no disk") } },
		"drawing the key":             func(c *BatchConfig) { c.Rand = strings.NewReader("short") },
	} {
		c := config
		change(&c)
		if _, err := NewBatch(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	b := batchOf(t, crowdRows([]int{1}), setting{1, 0}, nil)
	if err := b.Add(crowdRow(1, 1)); err == nil || !strings.Contains(err.Error(), "more than 1 rows") {
		t.Errorf("a row too many: %v", err)
	}
}

// FuzzThreshold compares with counting in a map, for any crowds.
func FuzzThreshold(f *testing.F) {
	f.Add([]byte{1, 1, 1, 2, 2, 3}, byte(2), byte(0))
	f.Add([]byte{1, 1, 1, 2, 2, 3, 3, 3, 3, 3, 9, 9, 9, 255, 255, 0, 0, 0}, byte(3), byte(1))
	f.Fuzz(func(t *testing.T, labels []byte, least, memory byte) {
		if len(labels) > 500 {
			return
		}
		var rows [][]byte
		for i, l := range labels {
			rows = append(rows, crowdRow(i*int(l&1), int(l)-1))
		}
		p := setting{1, int64(memory%8) << 8}
		if p.memory >= int64(len(rows)*64) {
			p.memory = 0
		}
		b := batchOf(t, rows, p, newStorage(len(rows)))
		if _, err := b.Threshold([SeedSize]byte{least}, Rules{Keep: keepOf(uint64(least) + 1)}); err != nil {
			t.Fatal(err)
		}
		if want, _ := keptByMap(rows, uint64(least)+1); !slices.Equal(slices.Sorted(slices.Values(keptOf(t, b))), want) {
			t.Errorf("kept %v, want %v", keptOf(t, b), want)
		}
	})
}
