package dp

import (
	"bytes"
	"crypto/sha3"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
)

// The bytes of a stream are part of what a restarted batch repeats: they never
// change for a version. The first case is computed here from the definition,
// the second is committed.
func TestStreamBytes(t *testing.T) {
	var seed Seed
	for i := range seed {
		seed[i] = byte(i)
	}
	got := make([]byte, 40)
	if _, err := io.ReadFull(NewStream(seed, "crowd noise", []byte{1, 2, 3}), got); err != nil {
		t.Fatal(err)
	}
	h := sha3.NewSHAKE128()
	h.Write([]byte("shoal dp stream v1"))
	h.Write(seed[:])
	h.Write([]byte("\x00\x00\x00\x00\x00\x00\x00\x0bcrowd noise\x01\x02\x03"))
	want := make([]byte, 40)
	h.Read(want)
	if !bytes.Equal(got, want) {
		t.Errorf("stream = %x, want %x", got, want)
	}
	const golden = "e3a12a29a79d85e1dfbac01afdd9f9487ef6b4e032e668ea756c4efa005af920b9558363ae88c61c"
	if hex.EncodeToString(got) != golden {
		t.Errorf("stream = %x, want %s", got, golden)
	}
}

func TestStreamsAreSeparate(t *testing.T) {
	seen := map[uint64]string{}
	for _, seed := range []Seed{{}, {1}} {
		for _, label := range []string{"", "a", "ab"} {
			for _, input := range []string{"", "b", "bc", "c", "\x00"} {
				name := fmt.Sprintf("%x %q %q", seed[0], label, input)
				first := NewStream(seed, label, []byte(input)).Uint64()
				if other, dup := seen[first]; dup {
					t.Errorf("streams %s and %s are equal", name, other)
				}
				seen[first] = name
			}
		}
	}
}

// However a stream is read, its bytes are the same.
func TestStreamReadsInPieces(t *testing.T) {
	whole, pieces := make([]byte, 1000), make([]byte, 1000)
	io.ReadFull(NewStream(Seed{}, "x", nil), whole)
	s := NewStream(Seed{}, "x", nil)
	for i, n := 0, 1; i < len(pieces); i, n = i+n, n+3 {
		io.ReadFull(s, pieces[i:min(len(pieces), i+n)])
	}
	if !bytes.Equal(whole, pieces) {
		t.Error("reading in pieces gives other bytes")
	}
}

// A rand.Rand over a stream permutes uniformly: all orders of four.
func TestStreamShuffles(t *testing.T) {
	orders := map[[4]int]int{}
	r := rand.New(NewStream(Seed{7}, "shuffle", nil))
	const runs = 48_000
	for range runs {
		p := [4]int{0, 1, 2, 3}
		r.Shuffle(4, func(i, j int) { p[i], p[j] = p[j], p[i] })
		orders[p]++
	}
	chi2 := 0.0
	for _, n := range orders {
		chi2 += float64((n-runs/24)*(n-runs/24)) / (runs / 24)
	}
	if len(orders) != 24 || chi2 > 49.7 { // 23 degrees of freedom, p = 0.001
		t.Errorf("%d orders, chi-square %.1f", len(orders), chi2)
	}
}

// A seed in a log line would undo the noise of its batch.
func TestSeedIsNeverPrinted(t *testing.T) {
	seed, err := NewSeed(strings.NewReader("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(&out, verb+" "+verb+" "+verb, seed, &seed, struct{ S Seed }{seed})
		fmt.Fprintf(&out, verb, NewStream(seed, "x", nil))
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "seed", seed, "in", struct{ S Seed }{seed})
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "seed", seed)
	if err := json.NewEncoder(&out).Encode(seed); err != nil {
		t.Fatal(err)
	}
	out.WriteString(seed.String() + seed.GoString())
	for _, secret := range []string{"0123", "30313233", "48 49 50", "48,49,50", "0x30"} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("output contains %q: %s", secret, out.String())
		}
	}
}

func TestNewSeedFails(t *testing.T) {
	if _, err := NewSeed(strings.NewReader("short")); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %v, want unexpected EOF", err)
	}
}
