package encoder

import (
	"encoding/binary"
	"io"

	"github.com/shoal-project/shoal/metric/task"
)

// million is the unit of a field's flip probability.
const million = 1_000_000

// A source draws exact integers from a reader of uniform bytes.
type source struct {
	reader io.Reader
	buffer [256]byte
	rest   []byte
}

func (s *source) uint64() (uint64, error) {
	if len(s.rest) < 8 {
		if _, err := io.ReadFull(s.reader, s.buffer[:]); err != nil {
			return 0, err
		}
		s.rest = s.buffer[:]
	}
	v := binary.BigEndian.Uint64(s.rest)
	s.rest = s.rest[8:]
	return v, nil
}

// below returns a uniform integer in [0, n), n at least 1. Of the 2^64 words it
// rejects the lowest 2^64 mod n, so that the others fall into n classes of one
// size.
func (s *source) below(n uint64) (uint64, error) {
	reject := -n % n
	for {
		v, err := s.uint64()
		if err != nil {
			return 0, err
		}
		if v >= reject {
			return v % n, nil
		}
	}
}

// flip returns 1 with probability p/million, else 0, without a branch on it.
func (s *source) flip(p uint32) (uint64, error) {
	v, err := s.below(million)
	return (v - uint64(p)) >> 63, err
}

// sample returns min(n, most) distinct integers in [0, n): every choice in every
// order is equally likely. It is a Fisher-Yates shuffle that stops early and
// keeps only the places it has touched.
func (s *source) sample(n, most int) ([]int, error) {
	moved := make(map[int]int)
	at := func(i int) int {
		if v, ok := moved[i]; ok {
			return v
		}
		return i
	}
	out := make([]int, 0, min(n, most))
	for i := range min(n, most) {
		step, err := s.below(uint64(n - i))
		if err != nil {
			return nil, err
		}
		j := i + int(step)
		out = append(out, at(j))
		moved[j] = at(i)
		delete(moved, i)
	}
	return out, nil
}

// randomise returns the record after randomised response: one draw a record,
// before it is broken up, so that no two fragments carry two draws of one value.
func (e *Encoder) randomise(record task.Record, s *source) (task.Record, error) {
	noisy := make(task.Record, len(record))
	for i, v := range record {
		var err error
		if noisy[i], err = randomiseField(&e.task.Schema[i], v, s); err != nil {
			return nil, err
		}
	}
	return noisy, nil
}

func randomiseField(f *task.Field, v task.Value, s *source) (task.Value, error) {
	if f.Flip == 0 {
		return v, nil
	}
	switch x := v.(type) {
	case bool:
		bit, err := s.flip(f.Flip)
		return x != (bit == 1), err
	case uint64:
		for i := range f.Values {
			bit, err := s.flip(f.Flip)
			if err != nil {
				return nil, err
			}
			x ^= bit << i
		}
		return x, nil
	case string:
		return replace(f, x, s)
	case []task.Value:
		out := make([]task.Value, len(x))
		for i, element := range x {
			var err error
			if out[i], err = replace(f, element, s); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return v, nil
}

// replace returns, with the field's probability, a uniformly random one of its
// values in place of v. It draws the same whether it replaces or not.
func replace(f *task.Field, v task.Value, s *source) (task.Value, error) {
	bit, err := s.flip(f.Flip)
	if err != nil {
		return nil, err
	}
	i, err := s.below(uint64(len(f.Values)))
	if err != nil {
		return nil, err
	}
	if bit == 1 {
		return f.Values[i], nil
	}
	return v, nil
}
