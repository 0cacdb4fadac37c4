package vdaf

import (
	"encoding/binary"
	"fmt"
	"math"
)

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

// chunk is end, and refuses the chunk length 0, which stands for the default in
// the constructors alone.
func (d *decoder) chunk(n int) error {
	if err := d.end(); err != nil {
		return err
	}
	if n == 0 {
		return fmt.Errorf("%w: chunk length 0 in a VDAF configuration", ErrEncoding)
	}
	return nil
}
