package vdaf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// ErrUnknown means that a configuration names no instance of this package.
var ErrUnknown = errors.New("vdaf: unknown algorithm")

// ParseConfig makes the instance of a DAP task from the algorithm identifier and
// the VDAF configuration, with two aggregators. Each [Instance] is a *[Prio3] of
// the type that the constructor of that algorithm returns. It fails with
// [ErrUnknown], [ErrEncoding] or the constructor's error.
func ParseConfig(id uint32, config []byte) (Instance, error) {
	d := decoder{b: config}
	var in Instance
	var err error
	switch id {
	case IDCount:
		if err = d.end(); err == nil {
			in, err = instanceOf(Count())
		}
	case IDSum:
		limit := d.u64()
		if err = d.end(); err == nil {
			in, err = instanceOf(Sum(limit))
		}
	case IDSumVec, IDL1BoundSum:
		length, limit, chunk := d.u32(), d.u64(), d.u32()
		if err = d.chunk(chunk); err == nil && id == IDSumVec {
			in, err = instanceOf(SumVec(length, limit, chunk))
		} else if err == nil {
			in, err = instanceOf(L1BoundSum(length, limit, chunk))
		}
	case IDHistogram:
		length, chunk := d.u32(), d.u32()
		if err = d.chunk(chunk); err == nil {
			in, err = instanceOf(Histogram(length, chunk))
		}
	case IDMultihotCountVec:
		length, chunk, limit := d.u32(), d.u32(), d.u64()
		if err = d.chunk(chunk); err == nil {
			in, err = instanceOf(MultihotCountVec(length, limit, chunk))
		}
	case IDSumVecMultiproof:
		length, limit, chunk, proofs := d.u32(), d.u64(), d.u32(), d.u8()
		if err = d.chunk(chunk); err == nil {
			in, err = instanceOf(SumVecMultiproof(length, limit, chunk, proofs))
		}
	default:
		err = fmt.Errorf("%w %#x", ErrUnknown, id)
	}
	return in, err
}

func instanceOf[M, R any](p *Prio3[M, R], err error) (Instance, error) {
	if err != nil {
		return nil, err
	}
	return p, nil
}

// A decoder reads the integers of a VDAF configuration.
type decoder struct {
	b     []byte
	short bool
}

func (d *decoder) take(n int) []byte {
	if len(d.b) < n {
		d.b, d.short = nil, true
		return make([]byte, n)
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) u8() int     { return int(d.take(1)[0]) }
func (d *decoder) u64() uint64 { return binary.BigEndian.Uint64(d.take(8)) }

// u32 returns a length. One above the largest int32 is out of every range, so
// that 32-bit processors can take the maximum instead.
func (d *decoder) u32() int {
	return int(min(binary.BigEndian.Uint32(d.take(4)), math.MaxInt32))
}

func (d *decoder) end() error {
	if d.short || len(d.b) > 0 {
		return fmt.Errorf("%w: VDAF configuration has the wrong length", ErrEncoding)
	}
	return nil
}

// chunk is end, and refuses the chunk length 0, which means the default in the
// constructors alone.
func (d *decoder) chunk(n int) error {
	if err := d.end(); err != nil {
		return err
	}
	if n == 0 {
		return fmt.Errorf("%w: chunk length 0 in a VDAF configuration", ErrEncoding)
	}
	return nil
}
