package interop

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/shoal-project/shoal/dap/client"
	"github.com/shoal-project/shoal/vdaf"
)

// A number is an integer that is a decimal string in JSON; a JSON number is
// accepted too.
type number uint64

// UnmarshalJSON implements [json.Unmarshaler].
func (n *number) UnmarshalJSON(b []byte) error {
	text := string(b)
	if len(b) > 0 && b[0] == '"' {
		if err := json.Unmarshal(b, &text); err != nil {
			return err
		}
	}
	v, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return fmt.Errorf("%q is not a decimal number", text)
	}
	*n = number(v)
	return nil
}

// MarshalJSON implements [json.Marshaler].
func (n number) MarshalJSON() ([]byte, error) {
	return json.Marshal(strconv.FormatUint(uint64(n), 10))
}

// A vdafObject names a VDAF and its parameters.
type vdafObject struct {
	Type           string `json:"type"`
	Length         number `json:"length,omitzero"`
	ChunkLength    number `json:"chunk_length,omitzero"`
	MaxMeasurement number `json:"max_measurement,omitzero"`
	MaxWeight      number `json:"max_weight,omitzero"`
	MaxValue       number `json:"max_value,omitzero"`
	Proofs         number `json:"proofs,omitzero"`
}

// A scheme is a VDAF with measurements and results in JSON.
type scheme struct {
	instance vdaf.Instance
	measure  func(raw json.RawMessage) (client.Measurement, error)
	unshard  func(shares [][]byte, count uint64) (any, error)
}

// scheme returns the VDAF of an object.
func (o vdafObject) scheme() (*scheme, error) {
	length, chunk := int(o.Length), int(o.ChunkLength)
	if o.Length > 1<<24 || o.ChunkLength > 1<<24 || o.Proofs > 255 {
		return nil, fmt.Errorf("VDAF %s: length %d, chunk length %d, proofs %d: too large", o.Type, o.Length, o.ChunkLength, o.Proofs)
	}
	switch o.Type {
	case "Prio3Count":
		p, err := vdaf.Count()
		return of(p, err, func(n number) (bool, error) {
			if n > 1 {
				return false, fmt.Errorf("measurement %d, want 0 or 1", n)
			}
			return n == 1, nil
		}, func(r uint64) any { return number(r) })
	case "Prio3Sum":
		p, err := vdaf.Sum(uint64(o.MaxMeasurement))
		return of(p, err, func(n number) (uint64, error) { return uint64(n), nil }, func(r uint64) any { return number(r) })
	case "Prio3SumVec":
		p, err := vdaf.SumVec(length, uint64(o.MaxMeasurement), chunk)
		return of(p, err, integers, numbers)
	case "Prio3SumVecField64MultiproofHmacSha256Aes128":
		p, err := vdaf.SumVecMultiproof(length, uint64(o.MaxMeasurement), chunk, int(o.Proofs))
		return of(p, err, integers, numbers)
	case "Prio3Histogram":
		p, err := vdaf.Histogram(length, chunk)
		return of(p, err, func(n number) (int, error) {
			if n >= o.Length {
				return 0, fmt.Errorf("measurement %d, want below %d", n, o.Length)
			}
			return int(n), nil
		}, numbers)
	case "Prio3MultihotCountVec":
		p, err := vdaf.MultihotCountVec(length, uint64(o.MaxWeight), chunk)
		return of(p, err, func(in []number) ([]bool, error) {
			out := make([]bool, len(in))
			for i, n := range in {
				if n > 1 {
					return nil, fmt.Errorf("element %d is %d, want 0 or 1", i, n)
				}
				out[i] = n == 1
			}
			return out, nil
		}, numbers)
	case "Prio3L1BoundSum":
		p, err := vdaf.L1BoundSum(length, uint64(o.MaxValue), chunk)
		return of(p, err, integers, numbers)
	}
	return nil, fmt.Errorf("VDAF type %q is not known", o.Type)
}

func integers(in []number) ([]uint64, error) {
	out := make([]uint64, len(in))
	for i, n := range in {
		out[i] = uint64(n)
	}
	return out, nil
}

func numbers(in []uint64) any {
	out := make([]number, len(in))
	for i, n := range in {
		out[i] = number(n)
	}
	return out
}

// of makes the scheme of an instance: J is the measurement's form in JSON.
func of[J, M, R any](p *vdaf.Prio3[M, R], err error, from func(J) (M, error), result func(R) any) (*scheme, error) {
	if err != nil {
		return nil, err
	}
	return &scheme{
		instance: p.Instance,
		measure: func(raw json.RawMessage) (client.Measurement, error) {
			var j J
			if err := json.Unmarshal(raw, &j); err != nil {
				return nil, fmt.Errorf("measurement: %w", err)
			}
			m, err := from(j)
			if err != nil {
				return nil, err
			}
			return client.Of(p, m), nil
		},
		unshard: func(shares [][]byte, count uint64) (any, error) {
			r, err := p.Unshard(shares, count)
			if err != nil {
				return nil, err
			}
			return result(r), nil
		},
	}, nil
}
