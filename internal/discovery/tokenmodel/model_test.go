package tokenmodel

import (
	"strings"
	"testing"
)

// sample is a model with different numbers everywhere.
func sample() *Model {
	m := new(Model)
	n := 0
	next := func() int { n = n*1103515245 + 12345&0x7fffffff; return n >> 8 & 0x7fff }
	for i := range m.cost {
		m.cost[i] = uint8(next())
	}
	for i := range Features {
		m.Offset[i], m.Scale[i] = int32(next())-1<<14, int32(next())
	}
	for h := range Hidden {
		for i := range Features {
			m.Weights[h][i] = int16(next() - 1<<14)
		}
		m.Biases[h], m.Out[h] = int32(next())-1<<14, int16(next()-1<<14)
	}
	m.OutBias = -5
	return m
}

func TestEncodeDecode(t *testing.T) {
	m := sample()
	b := m.Encode()
	if len(b) != Size {
		t.Fatalf("%d bytes, want %d", len(b), Size)
	}
	got, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if *got != *m {
		t.Error("a model is not what it was, once decoded")
	}
	for _, bad := range [][]byte{nil, b[1:], append(b[:len(b):len(b)], 0), append([]byte("SHTM\x02"), b[5:]...)} {
		if _, err := Decode(bad); err == nil {
			t.Errorf("%d bytes are taken for a model", len(bad))
		}
	}
}

func TestFold(t *testing.T) {
	f := NewFolder()
	for in, want := range map[string]string{
		"Straße": "Strasse", "ÉCLAIR": "ECLAIR", "smørrebrød": "smorrebrod", "Łódź": "Lodz", "İstanbul ılık": "Istanbul ilik",
		"cafe\u0301": "cafe", "日本": "日本", "plain": "plain", "Ærø": "Aero", "\xff": "\uFFFD",
	} {
		if got := f.Fold(in); got != want {
			t.Errorf("%q is folded to %q, want %q", in, got, want)
		}
	}
}

// TestVectorBounds: features stay small whatever a token is, so that sums of
// their products cannot overflow.
func TestVectorBounds(t *testing.T) {
	g := &sample().Trigrams
	for _, token := range []string{"", "-", "a", "9", "日本", strings.Repeat("a", 5000), strings.Repeat("aB9-", 5000), strings.Repeat("\xff", 5000), "aB3xk9QzLm2Tx7"} {
		v := g.Vector(token)
		for i, x := range v {
			if x < -1<<13 || x > 1<<13 {
				t.Errorf("feature %d of %.20q is %d", i, token, x)
			}
		}
	}
}

// TestFeatures pins some features of a token that can be counted by hand.
func TestFeatures(t *testing.T) {
	v := new(Trigrams).Vector("ab-12cD")
	for i, want := range map[int]int32{
		0:  6 * 32,       // six letters and digits
		4:  2 * unit / 6, // two of them digits
		5:  1 * unit / 6, // one change between digits and letters
		6:  1 * unit / 6, // one turn of case
		7:  1 * unit / 4, // one of four letters upper case
		8:  6 * unit / 6, // all hexadecimal
		10: 2 * 64,       // longest run of digits
		12: 1 * unit / 7, // one separator of seven
		17: 4 * 64,       // longest mixed stretch
	} {
		if v[i] != want {
			t.Errorf("feature %d is %d, want %d", i, v[i], want)
		}
	}
}
