package local

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"

	"github.com/shoal-project/shoal/internal/durable"
)

// maxFanIn bounds the runs that are merged at once.
const maxFanIn = 512

// merger yields the rows of several sorted runs in order: a tree of losers, in
// which each row costs one comparison for each level.
type merger struct {
	ctx    context.Context //nolint:containedctx // of the step that it is part of
	width  int
	inputs []input
	tree   []int // tree[0] the winner, tree[i] the loser of the match at node i
	begun  bool
}

// input is a run that is being read.
type input struct {
	section
	row []byte // the next one; nil at the end
	key uint64 // its first 8 bytes
}

// newMerger reads runs of file through equal parts of memory, which must hold a
// row for each.
func newMerger(ctx context.Context, file durable.File, runs []run, width int, memory []byte) (*merger, error) {
	m := &merger{ctx: ctx, width: width, inputs: make([]input, len(runs)), tree: make([]int, len(runs))}
	buffer := bufferRows(min(ioSize, len(memory)/len(runs)), width) * width
	for i, r := range runs {
		m.inputs[i].section = section{file: file, off: r.off, end: r.end, buf: memory[i*buffer : (i+1)*buffer]}
		if err := m.advance(i); err != nil {
			return nil, err
		}
	}
	m.tree[0] = m.build(1)
	return m, nil
}

// advance reads the next row of an input.
func (m *merger) advance(i int) error {
	in := &m.inputs[i]
	row, err := in.next(m.ctx, m.width)
	if errors.Is(err, io.EOF) {
		in.row, in.key = nil, ^uint64(0)
		return nil
	}
	if err != nil {
		return err
	}
	in.row, in.key = row, prefix(row)
	return nil
}

// prefix is the beginning of a row as a number that orders like it.
func prefix(row []byte) uint64 {
	if len(row) >= 8 {
		return binary.BigEndian.Uint64(row)
	}
	return uint64(word(row, 0))<<32 | uint64(word(row, 4))
}

// before reports whether the row of input a comes before that of b.
func (m *merger) before(a, b int) bool {
	x, y := &m.inputs[a], &m.inputs[b]
	if x.key != y.key {
		return x.key < y.key
	}
	if x.row == nil || y.row == nil {
		return x.row != nil
	}
	return bytes.Compare(x.row, y.row) < 0
}

// build plays the matches below a node and returns the winner. Leaves are the
// nodes from len(inputs) on.
func (m *merger) build(node int) int {
	if node >= len(m.inputs) {
		return node - len(m.inputs)
	}
	a, b := m.build(2*node), m.build(2*node+1)
	if m.before(b, a) {
		a, b = b, a
	}
	m.tree[node] = b
	return a
}

// next returns the next row, valid until the call after, or io.EOF.
func (m *merger) next() ([]byte, error) {
	if m.begun {
		if err := m.replay(); err != nil {
			return nil, err
		}
	}
	m.begun = true
	if row := m.inputs[m.tree[0]].row; row != nil {
		return row, nil
	}
	return nil, io.EOF
}

// replay advances the winner and plays its matches again.
func (m *merger) replay() error {
	winner := m.tree[0]
	if err := m.advance(winner); err != nil {
		return err
	}
	for node := (winner + len(m.inputs)) / 2; node > 0; node /= 2 {
		if m.before(m.tree[node], winner) {
			m.tree[node], winner = winner, m.tree[node]
		}
	}
	m.tree[0] = winner
	return nil
}

// fanIn is the number of runs that can be merged in memory, at least two, with
// one buffer besides for the output.
func fanIn(memory, width int) int {
	buffer := max(width, min(bufferSize, memory/16))
	return min(maxFanIn, max(2, memory/buffer-1))
}

// emit writes merged rows: it is given each in order, and nil at the end.
type emit func(out *output, row []byte) error

// mergeDown merges runs, through write, until there are limit at most.
func (s *step) mergeDown(runs []run, width, limit int, newWrite func() emit) ([]run, error) {
	for len(runs) > limit {
		// The oldest first, so that all rows are copied equally often.
		group := runs[:min(fanIn(len(s.memory), width), len(runs)-limit+1)]
		size := int64(0)
		for _, r := range group {
			size += r.end - r.off
		}
		file, off, err := s.spill.open(size)
		if err != nil {
			return nil, err
		}
		out, err := s.merge(group, width, file, off, newWrite())
		if err != nil {
			return nil, err
		}
		runs = append(runs[len(group):], run{off, out})
	}
	return runs, nil
}

// merge writes the rows of runs through write to file at off. It returns where
// they end.
func (s *step) merge(runs []run, width int, file durable.File, off int64, write emit) (int64, error) {
	buffer := bufferRows(min(ioSize, len(s.memory)/(len(runs)+1)), width) * width
	out := &output{file: file, off: off, buf: s.memory[:0:buffer]}
	m, err := newMerger(s.ctx, s.spill.file, runs, width, s.memory[buffer:])
	if err != nil {
		return 0, err
	}
	for {
		row, err := m.next()
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if err := write(out, row); err != nil {
			return 0, err
		}
		if row == nil {
			err := out.flush()
			return out.off, err
		}
	}
}

// mergeSorted merges sorted runs into out, in their stored layout.
func (s *step) mergeSorted(runs []run, width int, l layout, out durable.File) error {
	runs, err := s.mergeDown(runs, width, fanIn(len(s.memory), width), func() emit { return emitRow })
	if err != nil {
		return err
	}
	write := emit(emitRow)
	if !l.identity {
		write = func(out *output, row []byte) error {
			if row == nil {
				return nil
			}
			dst, err := out.room(len(row))
			if err != nil {
				return err
			}
			l.toStored(dst, row)
			return nil
		}
	}
	_, err = s.merge(runs, width, out, 0, write)
	return err
}

func emitRow(out *output, row []byte) error {
	if row == nil {
		return nil
	}
	dst, err := out.room(len(row))
	if err != nil {
		return err
	}
	copy(dst, row)
	return nil
}
