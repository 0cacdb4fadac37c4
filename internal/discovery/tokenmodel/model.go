// Package tokenmodel is the arithmetic of the token classifier: the cost of
// letter trigrams, the features of a token, and a small network over them.
//
// All of it is integer arithmetic, so that a verdict is the same on every
// platform, WebAssembly included. Package discovery defines what the scores mean;
// internal/discovery/train makes the model.
package tokenmodel

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// symbols of the trigram table: the edge of a word, and a to z.
const symbols = 27

// Hidden is the number of hidden units of the network.
const Hidden = 24

// Fractional bits of inputs, activations and of the score, and of weights.
const (
	activationBits = 8
	weightBits     = 10
	maxActivation  = 32 << activationBits
)

const magic = "SHTM\x01"

// Size is the number of bytes of an encoded model.
const Size = len(magic) + trigramSize + Features*8 + Hidden*Features*2 + Hidden*4 + Hidden*2 + 4

const trigramSize = symbols * symbols * symbols

// Trigrams holds how surprising a letter is after two others, in sixteenths of
// a bit; symbol 0 is the edge of a word.
type Trigrams struct {
	cost [trigramSize]uint8
}

// SetCost sets the cost of symbol c after a and b; it is for training.
func (g *Trigrams) SetCost(a, b, c int, cost uint8) {
	g.cost[(a*symbols+b)*symbols+c] = cost
}

// A Network maps a Vector to a score: fixed-point logits, positive for
// secrets. Weights have 10 fractional bits, biases 18.
type Network struct {
	Offset, Scale [Features]int32 // input = (feature-Offset)*Scale >> 16, 8 fractional bits
	Weights       [Hidden][Features]int16
	Biases        [Hidden]int32
	Out           [Hidden]int16
	OutBias       int32
}

// Input returns the normalised inputs of a vector.
func (n *Network) Input(v *Vector) [Features]int32 {
	var x [Features]int32
	for i := range v {
		s := int64(v[i]-n.Offset[i]) * int64(n.Scale[i]) >> 16
		x[i] = int32(max(min(s, 8<<activationBits), -8<<activationBits))
	}
	return x
}

// Score returns the logit of v with 8 fractional bits.
func (n *Network) Score(v *Vector) int {
	x := n.Input(v)
	out := int64(n.OutBias)
	for h := range n.Weights {
		sum := int64(n.Biases[h])
		for i, w := range n.Weights[h] {
			sum += int64(w) * int64(x[i])
		}
		act := sum >> weightBits
		if act <= 0 {
			continue
		}
		out += int64(n.Out[h]) * min(act, maxActivation)
	}
	return int(out >> weightBits)
}

// A Model is a trigram table and a network. It is immutable once built.
type Model struct {
	Trigrams
	Network
}

// Encode returns the bytes of the model: magic, trigram costs, then the
// network's numbers in the order of its fields, little-endian.
func (m *Model) Encode() []byte {
	b := append([]byte(magic), m.cost[:]...)
	for i := range Features {
		b = binary.LittleEndian.AppendUint32(b, uint32(m.Offset[i]))
		b = binary.LittleEndian.AppendUint32(b, uint32(m.Scale[i]))
	}
	for h := range Hidden {
		for i := range Features {
			b = binary.LittleEndian.AppendUint16(b, uint16(m.Weights[h][i]))
		}
		b = binary.LittleEndian.AppendUint32(b, uint32(m.Biases[h]))
		b = binary.LittleEndian.AppendUint16(b, uint16(m.Out[h]))
	}
	return binary.LittleEndian.AppendUint32(b, uint32(m.OutBias))
}

// Decode reads the bytes of Encode.
func Decode(b []byte) (*Model, error) {
	if len(b) != Size {
		return nil, fmt.Errorf("decoding the token model: %d bytes, want %d", len(b), Size)
	}
	if string(b[:len(magic)]) != magic {
		return nil, errors.New("decoding the token model: it does not begin with the mark of version 1")
	}
	m := new(Model)
	b = b[len(magic):]
	b = b[copy(m.cost[:], b):]
	u16 := func() uint16 {
		v := binary.LittleEndian.Uint16(b)
		b = b[2:]
		return v
	}
	u32 := func() uint32 {
		v := binary.LittleEndian.Uint32(b)
		b = b[4:]
		return v
	}
	for i := range Features {
		m.Offset[i], m.Scale[i] = int32(u32()), int32(u32())
	}
	for h := range Hidden {
		for i := range Features {
			m.Weights[h][i] = int16(u16())
		}
		m.Biases[h], m.Out[h] = int32(u32()), int16(u16())
	}
	m.OutBias = int32(u32())
	return m, nil
}
