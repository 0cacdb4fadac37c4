package local

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/engine"
)

const countWidth = 8

// CountByKey counts rows by key.
func (e *Engine) CountByKey(ctx context.Context, in, key, out string) error {
	d, err := e.lookup(in)
	if err != nil {
		return fmt.Errorf("counting: %w", err)
	}
	at, size, err := engine.Find(d.columns, key)
	if err != nil {
		return fmt.Errorf("counting %q: %w", in, err)
	}
	columns := []engine.Column{{Name: key, Width: size}, {Name: engine.CountColumn, Width: countWidth}}
	// Twice the slots that as many distinct keys as rows would fill.
	want := 2*d.rows*int64(size+countWidth+entrySize) + 4*bufferSize + int64(d.width)*8
	err = e.run(ctx, out, columns, want, max(d.width, size+countWidth), func(s *step) (int64, error) { //nolint:contextcheck // a step holds the context that it runs under
		return s.countInto(d, at, size, s.out)
	})
	if err != nil {
		return fmt.Errorf("counting %q by %q into %q: %w", in, key, out, err)
	}
	return nil
}

// countInto writes the distinct values of a column and their counts to out,
// sorted, and returns how many there are.
func (s *step) countInto(d *dataset, at, size int, out durable.File) (int64, error) {
	in, err := s.openInput(d)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	runs, err := s.countRuns(in, d, at, size)
	if err != nil || len(runs) == 0 {
		return 0, err
	}
	width := size + countWidth
	runs, err = s.mergeDown(runs, width, fanIn(len(s.memory), width), func() emit { return (&adder{key: size}).add })
	if err != nil {
		return 0, err
	}
	end, err := s.merge(runs, width, out, 0, (&adder{key: size}).add)
	return end / int64(width), err
}

// adder sums the counts of rows with equal keys that follow each other.
type adder struct {
	key  int    // bytes of the key
	last []byte // row in the output buffer that may still grow
}

func (a *adder) add(out *output, row []byte) error {
	if row == nil {
		return nil
	}
	if a.last != nil && bytes.Equal(a.last[:a.key], row[:a.key]) {
		sum := binary.BigEndian.Uint64(a.last[a.key:]) + binary.BigEndian.Uint64(row[a.key:])
		binary.BigEndian.PutUint64(a.last[a.key:], sum)
		return nil
	}
	// room may flush the last row, which is complete now.
	dst, err := out.room(len(row))
	if err != nil {
		return err
	}
	copy(dst, row)
	a.last = dst
	return nil
}

// countRuns counts on all workers, each in a table of its own, and spills the
// tables as sorted runs.
func (s *step) countRuns(in durable.File, d *dataset, at, size int) ([]run, error) {
	var mu sync.Mutex
	var runs []run
	var blocks blocks
	least := 8*d.width + 64*(size+countWidth+entrySize)
	err := s.each(least, func(ctx context.Context, _ int, memory []byte) error {
		buffer := bufferRows(min(ioSize, len(memory)/8), d.width) * d.width
		block, memory := memory[:buffer], memory[buffer:]
		t := newTable(size, countWidth, memory, s.engine.seed)
		spill := func() error {
			r, err := s.spillTable(ctx, t)
			mu.Lock()
			defer mu.Unlock()
			runs = append(runs, r)
			return err
		}
		for {
			rows, err := blocks.next(ctx, in, d, block)
			if err != nil {
				return err
			}
			if rows == nil {
				break
			}
			for ; len(rows) > 0; rows = rows[d.width:] {
				if t.count(rows[at : at+size]) {
					continue
				}
				if err := spill(); err != nil {
					return err
				}
				t.count(rows[at : at+size])
			}
		}
		if t.used == 0 {
			return nil
		}
		return spill()
	})
	return runs, err
}

// spillTable writes the table out as a sorted run and empties it.
func (s *step) spillTable(ctx context.Context, t *table) (run, error) {
	n := t.used
	rows := t.compact()
	size := int64(len(rows))
	file, off, err := s.spill.open(size)
	if err != nil {
		return run{}, err
	}
	sorted := sortRows(rows, t.stride, t.rest)
	free := t.rest[n*entrySize:]
	buffer := bufferRows(min(ioSize, len(free)), t.stride) * t.stride
	err = writeSorted(ctx, &sorted, n, layout{identity: true}, output{file, off, free[:0:buffer]})
	t.reset()
	return run{off, off + size}, err
}

// blocks hands out the rows of a dataset to several workers.
type blocks struct{ given atomic.Int64 }

// next reads the next rows into buf. It returns nil at the end.
func (b *blocks) next(ctx context.Context, in durable.File, d *dataset, buf []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	size := d.rows * int64(d.width)
	off := b.given.Add(int64(len(buf))) - int64(len(buf))
	if off >= size {
		return nil, nil
	}
	rows := buf[:min(int64(len(buf)), size-off)]
	return rows, readFull(in, rows, off)
}

// table is a hash table of fixed-width keys with open addressing. A slot is a
// key and a value of 8 bytes, or a key and a byte that marks it as present.
type table struct {
	key, stride int
	seed        maphash.Seed
	slots       []byte
	rest        []byte // memory to sort with
	capacity    int    // slots
	used, most  int
}

// newTable divides memory between slots and what sorting them needs.
func newTable(key, value int, memory []byte, seed maphash.Seed) *table {
	t := &table{key: key, stride: key + value, seed: seed}
	sort := 0
	if value == countWidth {
		sort = entrySize
		memory = memory[:len(memory):len(memory)]
	}
	// Three quarters of the slots are used at most, and one row is left to
	// write with.
	t.capacity = max(4, (len(memory)-t.stride)*4/(4*t.stride+3*sort))
	if t.capacity*t.stride > len(memory) {
		t.capacity = len(memory) / t.stride
	}
	t.most = t.capacity * 3 / 4
	t.slots, t.rest = memory[:t.capacity*t.stride], memory[t.capacity*t.stride:]
	t.reset()
	return t
}

func (t *table) reset() {
	clear(t.slots)
	t.used = 0
}

// find returns the slot of key, or the free one where it belongs.
func (t *table) find(key []byte) []byte {
	// Multiplication maps the hash to a slot without a division.
	i := int(uint64(uint32(maphash.Bytes(t.seed, key))) * uint64(t.capacity) >> 32)
	for {
		slot := t.slots[i*t.stride:][:t.stride]
		if bytes.Equal(slot[:t.key], key) || !t.taken(slot) {
			return slot
		}
		if i++; i == t.capacity {
			i = 0
		}
	}
}

// taken reports whether a slot holds a key.
func (t *table) taken(slot []byte) bool {
	if len(slot) == t.key+1 {
		return slot[t.key] != 0
	}
	return binary.LittleEndian.Uint64(slot[t.key:]) != 0
}

// count adds one for key. It returns false if the table is full.
func (t *table) count(key []byte) bool {
	slot := t.find(key)
	n := binary.LittleEndian.Uint64(slot[t.key:])
	if n == 0 {
		if t.used == t.most {
			return false
		}
		copy(slot, key)
		t.used++
	}
	binary.LittleEndian.PutUint64(slot[t.key:], n+1)
	return true
}

// compact moves the rows to the front, with counts as they are stored, and
// returns them. The table must be reset afterwards.
func (t *table) compact() []byte {
	n := 0
	for i := 0; i < len(t.slots); i += t.stride {
		slot := t.slots[i : i+t.stride]
		count := binary.LittleEndian.Uint64(slot[t.key:])
		if count == 0 {
			continue
		}
		copy(t.slots[n:], slot)
		binary.BigEndian.PutUint64(t.slots[n+t.key:], count)
		n += t.stride
	}
	return t.slots[:n]
}
