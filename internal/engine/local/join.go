package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/engine"
)

// SemiJoin keeps the rows whose key is in a list.
func (e *Engine) SemiJoin(ctx context.Context, in, col, keys, out string) error {
	d, err := e.lookup(in)
	if err != nil {
		return fmt.Errorf("joining: %w", err)
	}
	k, err := e.lookup(keys)
	if err != nil {
		return fmt.Errorf("joining: %w", err)
	}
	at, size, err := engine.Find(d.columns, col)
	if err != nil {
		return fmt.Errorf("joining %q: %w", in, err)
	}
	if k.columns[0].Width != size {
		return fmt.Errorf("joining %q: column %q has %d bytes, the keys in %q have %d", in, col, size, keys, k.columns[0].Width)
	}
	j := &join{d: d, k: k, at: at, size: size, column: col}
	err = e.run(ctx, out, d.columns, j.want(), max(d.width, k.width, size+countWidth), j.run)
	if err != nil {
		return fmt.Errorf("joining %q with %q into %q: %w", in, keys, out, err)
	}
	return nil
}

// join is the SemiJoin of a dataset d with the keys of k.
type join struct {
	d, k     *dataset
	at, size int // the column in d
	column   string
}

// want is what the hash set and the buffers can use, or, where the set is too
// large, the sorts.
func (j *join) want() int64 {
	return 4*j.k.rows*int64(j.size+1) + 8*ioSize
}

func (j *join) run(s *step) (int64, error) {
	set, rest, err := j.load(s)
	if err != nil {
		return 0, err
	}
	if set != nil {
		return j.filter(s, set, rest)
	}
	return j.merge(s)
}

// load reads the keys into a set, and returns it and the memory left; or nil if
// the set would need more than half of the memory.
func (j *join) load(s *step) (*table, []byte, error) {
	half := len(s.memory) / 2
	want := int(min(int64(half), 2*j.k.rows*int64(j.size+1)+64*int64(j.size+1)))
	set := newTable(j.size, 1, s.memory[:want], s.engine.seed)
	rest := s.memory[want:]
	in, err := s.openInput(j.k)
	if err != nil {
		return nil, nil, err
	}
	defer in.Close()
	buffer := bufferRows(min(ioSize, len(rest)/8), j.k.width) * j.k.width
	rows := section{file: in, end: j.k.rows * int64(j.k.width), buf: rest[:buffer]}
	for {
		row, err := rows.next(s.ctx, j.k.width)
		if errors.Is(err, io.EOF) {
			return set, rest, nil
		}
		if err != nil {
			return nil, nil, err
		}
		if !set.add(row[:j.size]) {
			return nil, nil, nil
		}
	}
}

// add puts key into a set. It returns false if the set is full.
func (t *table) add(key []byte) bool {
	slot := t.find(key)
	if t.taken(slot) {
		return true
	}
	if t.used == t.most {
		return false
	}
	copy(slot, key)
	slot[t.key] = 1
	t.used++
	return true
}

func (t *table) has(key []byte) bool { return t.taken(t.find(key)) }

// filter writes the rows whose key is in the set, on all workers.
func (j *join) filter(s *step, set *table, memory []byte) (int64, error) {
	in, err := s.openInput(j.d)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	s = &step{s.ctx, s.engine, memory, s.workers, s.out, s.spill}
	var blocks blocks
	var mu sync.Mutex // guards end
	end := int64(0)
	err = s.each(2*j.d.width, func(ctx context.Context, _ int, memory []byte) error {
		block := memory[:bufferRows(min(ioSize, len(memory)), j.d.width)*j.d.width]
		for {
			rows, err := blocks.next(ctx, in, j.d, block)
			if err != nil || rows == nil {
				return err
			}
			kept := j.keep(rows, set)
			mu.Lock()
			off := end
			end += int64(len(kept))
			mu.Unlock()
			if len(kept) == 0 {
				continue
			}
			if _, err := s.out.WriteAt(kept, off); err != nil {
				return err
			}
		}
	})
	return end / int64(j.d.width), err
}

// keep moves the rows whose key is in the set to the front and returns them.
func (j *join) keep(rows []byte, set *table) []byte {
	n := 0
	for i := 0; i < len(rows); i += j.d.width {
		row := rows[i : i+j.d.width]
		if set.has(row[j.at : j.at+j.size]) {
			n += copy(rows[n:], row)
		}
	}
	return rows[:n]
}

// merge sorts both sides by the key and goes through them together.
func (j *join) merge(s *step) (int64, error) {
	l, err := newLayout(j.d.columns, []string{j.column})
	if err != nil {
		return 0, err
	}
	left, err := s.temporary(func(s *step, f durable.File) (int64, error) {
		return j.d.rows, s.sortInto(j.d, l, f)
	})
	if err != nil {
		return 0, err
	}
	defer left.close()
	right, err := s.temporary(func(s *step, f durable.File) (int64, error) {
		return s.countInto(j.k, 0, j.size, f)
	})
	if err != nil {
		return 0, err
	}
	defer right.close()
	return j.mergeSorted(s, left, right)
}

// temporary is a file of rows within a step.
type temporary struct {
	engine *Engine
	file   durable.File
	path   string
	rows   int64
}

// temporary fills a file by make, in a step of its own.
func (s *step) temporary(make func(*step, durable.File) (int64, error)) (*temporary, error) {
	s.engine.mu.Lock()
	path := s.engine.newPath(spillSuffix)
	s.engine.mu.Unlock()
	f, err := s.engine.fs.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	inner := &step{s.ctx, s.engine, s.memory, s.workers, f, &spill{engine: s.engine}}
	t := &temporary{engine: s.engine, file: f, path: path}
	t.rows, err = make(inner, f)
	if err := errors.Join(err, inner.spill.remove()); err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

func (t *temporary) close() error { return errors.Join(t.file.Close(), t.engine.removeFile(t.path)) }

// mergeSorted writes the rows of left whose key is in right.
func (j *join) mergeSorted(s *step, left, right *temporary) (int64, error) {
	wide, narrow := j.d.width, j.size+countWidth
	part := len(s.memory) / 3
	rows := func(width int, i int) []byte {
		return s.memory[i*part:][:bufferRows(min(ioSize, part), width)*width]
	}
	a := section{file: left.file, end: left.rows * int64(wide), buf: rows(wide, 0)}
	b := section{file: right.file, end: right.rows * int64(narrow), buf: rows(narrow, 1)}
	out := &output{file: s.out, buf: rows(wide, 2)[:0]}
	key, err := b.next(s.ctx, narrow)
	for err == nil {
		var row []byte
		if row, err = a.next(s.ctx, wide); err != nil {
			break
		}
		for err == nil && bytes.Compare(key[:j.size], row[j.at:j.at+j.size]) < 0 {
			key, err = b.next(s.ctx, narrow)
		}
		if err == nil && bytes.Equal(key[:j.size], row[j.at:j.at+j.size]) {
			err = emitRow(out, row)
		}
	}
	if !errors.Is(err, io.EOF) {
		return 0, err
	}
	err = out.flush()
	return out.off / int64(wide), err
}
