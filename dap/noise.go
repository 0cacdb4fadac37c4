package dap

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/vdaf"
)

// Noise of a task. DAP has no wire form for it, so it is in a task extension of a
// private type, [TaskNoise]: then it is part of what every report and every
// aggregate share is bound to, and an aggregator that does not know the extension
// must not take part, rather than take part without noise.
//
//	struct {
//	    uint8 mechanism;              // 1 discrete Laplace, 2 discrete Gaussian
//	    uint32 numerator;             // of epsilon (Laplace) or sigma (Gaussian)
//	    uint32 denominator;           // in lowest terms
//	    select (mechanism) {
//	        case 1: uint64 sensitivity;  // L1, at least that of the VDAF
//	        case 2: Empty;
//	    }
//	} NoiseConfiguration;
//
// A task without noise has no such extension, and so is one that any
// implementation of DAP can serve.

// NoiseExtension returns the task extension for a noise other than none. It
// fails on a noise that is not valid.
func NoiseExtension(n dp.Noise) (Extension, error) {
	if err := n.Validate(); err != nil {
		return Extension{}, fmt.Errorf("task noise: %w", err)
	}
	if n.Mechanism == dp.NoNoise {
		return Extension{}, fmt.Errorf("task noise: %w: none is said by leaving the extension out", ErrMalformed)
	}
	b := []byte{byte(n.Mechanism)}
	b = binary.BigEndian.AppendUint32(b, n.Num)
	b = binary.BigEndian.AppendUint32(b, n.Den)
	if n.Mechanism == dp.Laplace {
		b = binary.BigEndian.AppendUint64(b, n.Sensitivity)
	}
	return Extension{Type: TaskNoise, Data: b}, nil
}

// Noise returns the noise that each aggregator adds to its share, the zero value
// for none. It fails with [ErrMalformed].
func (c *TaskConfiguration) Noise() (dp.Noise, error) {
	for _, e := range c.Extensions {
		if e.Type != TaskNoise {
			continue
		}
		n, err := parseNoise(e.Data)
		if err != nil {
			return dp.Noise{}, fmt.Errorf("task noise: %w: %w", ErrMalformed, err)
		}
		return n, nil
	}
	return dp.Noise{}, nil
}

func parseNoise(b []byte) (dp.Noise, error) {
	if len(b) < 9 {
		return dp.Noise{}, fmt.Errorf("%d bytes, want at least 9", len(b))
	}
	n := dp.Noise{
		Mechanism: dp.Mechanism(b[0]),
		Num:       binary.BigEndian.Uint32(b[1:]),
		Den:       binary.BigEndian.Uint32(b[5:]),
	}
	b = b[9:]
	if n.Mechanism == dp.Laplace && len(b) >= 8 {
		n.Sensitivity, b = binary.BigEndian.Uint64(b), b[8:]
	}
	if len(b) > 0 {
		return dp.Noise{}, fmt.Errorf("%d bytes too many", len(b))
	}
	if n.Mechanism == dp.NoNoise {
		return dp.Noise{}, fmt.Errorf("none is said by leaving the extension out")
	}
	return n, n.Validate()
}

// checkNoise refuses noise whose epsilon would not be true of the VDAF.
func checkNoise(n dp.Noise, in vdaf.Instance) error {
	if n.Mechanism == dp.NoNoise {
		return nil
	}
	l1, _, ok := vdaf.Sensitivity(in)
	if !ok {
		return fmt.Errorf("task noise: the sensitivity of %s is not known", in.Name())
	}
	if n.Mechanism == dp.Laplace && n.Sensitivity < l1 {
		return fmt.Errorf("task noise: for a sensitivity of %d, but one client of %s changes the aggregate by up to %d", n.Sensitivity, in.Name(), l1)
	}
	return nil
}

// Noise returns the noise that each aggregator adds to its aggregate share
// before it seals it, the zero value for none. [dp.Noise.Within95] and
// [dp.Noise.Variance] return the effect of two of them on a result, which
// [vdaf.Instance.UnshardSigned] decodes.
func (t *Task) Noise() dp.Noise { return t.noise }

// AddNoise adds this aggregator's noise to its share of a batch: to each element
// an independent value, modulo the field's prime. rand is crypto/rand.Reader. It
// is called once for a batch, and the share is stored with the noise in it: two
// draws for one batch would average out. After an error the share is as it was.
//
// It takes a time that depends on the noise: do not answer sooner because it ended
// sooner where a party that must not learn the noise can measure it.
func (t *Task) AddNoise(share *vdaf.AggregateShare, rand io.Reader) error {
	if t.noise.Mechanism == dp.NoNoise {
		return nil
	}
	values := make([]int64, share.Len())
	defer clear(values)
	if err := t.noise.Draw(rand, values); err != nil {
		return fmt.Errorf("noise on an aggregate share: %w", err)
	}
	for i, n := range values {
		if err := share.AddNoise(i, n); err != nil {
			return fmt.Errorf("noise on an aggregate share: %w", err)
		}
	}
	return nil
}
