package oblivious

import (
	"fmt"
	"io"
	"math"
)

// A BatchConfig describes a [Batch].
type BatchConfig struct {
	Rows    int   // how many rows are added
	Size    int   // of a row, in bytes: [HeadSize] or more
	Memory  int64 // bytes that may be used
	Workers int   // goroutines
	// Storage is asked for a place where rows are kept that do not fit into memory.
	Storage func() (Storage, error)
	// Rand gives the key of what is stored. It is not asked for one if all fits.
	Rand io.Reader
}

// A Batch is rows that a threshold is applied to: in memory if they fit, and else
// sealed, in storage. What an observer learns is the same.
type Batch struct {
	config BatchConfig
	table  *Table       // or nil
	sealed *SealedTable // or nil
	added  int
	front  int // rows that Each reads
	kept   int
}

// Memory that a row takes while a threshold is applied, besides itself: the key by
// which it is sorted, and half of one while two halves are merged, and two numbers.
const memoryPerRow = 40 + 20 + 2*4

// rowsMemory returns how much of the memory is left for rows, and how much of it they
// take if all are in memory.
func (c *BatchConfig) rowsMemory() (left, all int64) {
	return c.Memory - int64(c.Rows)*memoryPerRow, int64(c.Rows) * int64(widthOf(c.Size)*wordSize)
}

// NewBatch returns an empty batch. It fails for a wrong shape and for too little
// memory, and with the error of Storage or Rand.
func NewBatch(c BatchConfig) (*Batch, error) {
	if err := checkShape(c.Rows, c.Size); err != nil {
		return nil, err
	}
	if c.Size < HeadSize {
		return nil, fmt.Errorf("oblivious: rows of %d bytes have no room for tag, key and flag of %d", c.Size, HeadSize)
	}
	b := &Batch{config: c}
	left, all := c.rowsMemory()
	var err error
	if all <= left {
		b.table, err = NewTable(c.Rows, c.Size)
		return b, err
	}
	if left, err = c.sealedMemory(left); err != nil {
		return nil, err
	}
	var key [SeedSize]byte
	if _, err := io.ReadFull(c.Rand, key[:]); err != nil {
		return nil, fmt.Errorf("oblivious: drawing the key of a sealed table: %w", err)
	}
	storage, err := c.Storage()
	if err != nil {
		return nil, fmt.Errorf("oblivious: opening storage: %w", err)
	}
	b.sealed, err = NewSealedTable(storage, c.Rows, c.Size, left, key)
	return b, err
}

// sealedMemory returns how much memory is left for the rows of a sealed table, which has
// some more of them to be sorted.
func (c *BatchConfig) sealedMemory(left int64) (int64, error) {
	for range 4 {
		shape, err := shapeOf(c.Rows, c.Size, left)
		if err != nil {
			break
		}
		rest := c.Memory - int64(shape.rows)*memoryPerRow
		if int64(shape.inside*shape.width*wordSize) <= rest {
			return left, nil
		}
		left = rest
	}
	return 0, fmt.Errorf("oblivious: %d rows of %d bytes need at least %d bytes of memory, and there are %d", c.Rows, c.Size, LeastMemory(int64(c.Rows)), c.Memory)
}

// LeastMemory returns with how many bytes of memory a batch of so many rows can be
// worked on, whatever their size is up to 32 KiB: what its keys take, and some more
// for rows.
func LeastMemory(rows int64) int64 {
	return min(rows, math.MaxInt32)*memoryPerRow*33/32 + 64*blockBytes
}

// Add adds a row.
func (b *Batch) Add(row []byte) error {
	if b.added >= b.config.Rows {
		return fmt.Errorf("oblivious: more than %d rows are added", b.config.Rows)
	}
	b.added++
	if b.table != nil {
		return b.table.Set(b.added-1, row)
	}
	return b.sealed.Add(row)
}

// fill adds empty rows for those that did not come.
func (b *Batch) fill() error {
	if b.sealed != nil {
		return b.sealed.Fill()
	}
	return nil
}

// Void makes those of the rows that were added not count for which void returns 1. It
// is called for each row, by the number in which that was added.
func (b *Batch) Void(void func(row int) byte) error {
	if err := b.fill(); err != nil {
		return err
	}
	return b.body().visit(b.added, b.config.Workers, true, func(i int, row []uint64) error {
		row[4] &^= uint64(void(i) & 1)
		return nil
	})
}

func (b *Batch) body() body {
	if b.table != nil {
		return b.table
	}
	return b.sealed
}

// Threshold applies a threshold to all rows that were added, see [Table.Threshold].
func (b *Batch) Threshold(seed [SeedSize]byte, rules Rules) (Outcome, error) {
	if err := b.fill(); err != nil {
		return Outcome{}, err
	}
	var t tracer
	if b.table != nil {
		t = b.table.trace
	} else {
		t = b.sealed.trace
	}
	front, outcome, err := threshold(b.body(), t, b.config.Size, seed, rules, b.config.Workers)
	b.front, b.kept = front, outcome.Kept
	return outcome, err
}

// Each calls f for the rows that were kept, in their order, until it fails. A row is
// valid until f returns.
func (b *Batch) Each(f func(row []byte) error) error {
	kept := 0
	bytes := make([]byte, 0, widthOf(b.config.Size)*wordSize)
	err := b.body().visit(b.front, b.config.Workers, false, func(_ int, row []uint64) error {
		if row[4]&1 == 0 {
			return nil // empty: one of those that make whole blocks
		}
		kept++
		bytes = appendWords(bytes[:0], row)
		return f(bytes[:b.config.Size])
	})
	if err == nil && kept != b.kept {
		return errRows
	}
	return err
}
