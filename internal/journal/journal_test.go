package journal

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// Frames as files of 2026-11-29 hold them. CRC-32C of "123456789" is e3069283; the
// other sums were computed bit by bit, not by this package.
func TestBytes(t *testing.T) {
	for _, c := range []struct {
		name string
		got  []byte
		want string
	}{
		{"plain", Format{Max: 9}.Append(nil, []byte("frame")), "00000005" + "e7c922d4" + "6672616d65"},
		{"plain, seeded", Format{Max: 9, Seed: 7}.Append([]byte{}, []byte("frame")), "00000005" + "20a9ecce" + "6672616d65"},
		{"numbered", append(BeginNumbered(nil, 5, 3), "frame"...), "00000005" + "0000000000000003" + "12c152d2" + "6672616d65"},
		{"sum", AppendSum([]byte("x123456789"), 1, 0), "78313233343536373839" + "e3069283"},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	if !HasSum([]byte("123456789\xe3\x06\x92\x83"), 0) || HasSum([]byte("123456788\xe3\x06\x92\x83"), 0) || HasSum([]byte("123"), 0) {
		t.Error("HasSum is wrong")
	}
}

func TestDecode(t *testing.T) {
	f := Format{Min: 1, Max: 5, Seed: 9}
	good := f.Append(nil, []byte("frame"))
	for name, c := range map[string]struct {
		b  []byte
		ok bool
	}{
		"good":         {good, true},
		"more behind":  {append(good[:len(good):len(good)], 1, 2, 3), true},
		"short":        {good[:len(good)-1], false},
		"no head":      {good[:Head-1], false},
		"too long":     {f.Append(nil, []byte("frames")), false},
		"too short":    {f.Append(nil, nil), false},
		"another seed": {Format{Max: 5}.Append(nil, []byte("frame")), false},
	} {
		_, payload, ok := f.Decode(c.b)
		if ok != c.ok || ok && string(payload) != "frame" {
			t.Errorf("%s: %q, %v", name, payload, ok)
		}
	}
	for at := range good {
		bad := slices.Clone(good)
		bad[at] ^= 4
		if _, _, ok := f.Decode(bad); ok {
			t.Errorf("byte %d changed: decoded", at)
		}
	}
}

// formats are those of the owners, in small.
var formats = map[string]Format{
	"segment":   {Seed: 0x1234, Max: 1 << 20},
	"discovery": {Min: 1, Max: 1 << 20},
	"outbox":    {Numbered: true, Min: 2, Max: 1 << 20},
}

// file encodes payloads; those of numbered frames hold a sum, for want of a cipher.
func file(f Format, payloads ...string) []byte {
	var b []byte
	for i, p := range payloads {
		if !f.Numbered {
			b = f.Append(b, []byte(p))
			continue
		}
		b = BeginNumbered(b, len(p)+4, uint64(i+1))
		b = AppendSum(append(b, p...), len(b), uint32(i+1))
	}
	return b
}

func scanner(f Format, r io.ReaderAt, size int64) *Scanner {
	s := NewScanner(f, r, 0, size, nil)
	if f.Numbered {
		s.Number, s.Open = 1, open
	}
	return s
}

func open(number uint64, payload []byte) []byte {
	if !HasSum(payload, uint32(number)) {
		return nil
	}
	return payload[:len(payload)-4]
}

// scanned is what a scanner yields: payloads, and gaps as "[start,end)", "torn" in
// front if they are.
func scanned(s *Scanner) ([]string, error) {
	var all []string
	for {
		payload, g, err := s.Next()
		switch {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return all, err
		case payload != nil:
			all = append(all, string(payload))
		case g.Torn:
			all = append(all, fmt.Sprintf("torn[%d,%d)%d", g.Start, g.End, g.Frames))
		default:
			all = append(all, fmt.Sprintf("[%d,%d)%d", g.Start, g.End, g.Frames))
		}
	}
}

func TestTornOrDamaged(t *testing.T) {
	for name, f := range formats {
		whole := file(f, "first", "second", "third")
		one, two, all := len(file(f, "first")), len(file(f, "first", "second")), len(whole)
		flip := func(at int) []byte {
			b := slices.Clone(whole)
			b[at] ^= 1
			return b
		}
		for _, c := range []struct {
			name string
			b    []byte
			want []string
		}{
			{"whole", whole, []string{"first", "second", "third"}},
			{"empty", nil, nil},
			{"cut", whole[:all-1], []string{"first", "second", fmt.Sprintf("torn[%d,%d)-1", two, all-1)}},
			{"a head cut", whole[:two+3], []string{"first", "second", fmt.Sprintf("torn[%d,%d)-1", two, two+3)}},
			{"last changed", flip(all - 1), []string{"first", "second", fmt.Sprintf("torn[%d,%d)1", two, all)}},
			{"middle changed", flip(two - 1), []string{"first", fmt.Sprintf("[%d,%d)1", one, two), "third"}},
			{"a length changed", flip(one), []string{"first", fmt.Sprintf("[%d,%d)-1", one, two), "third"}},
			{"zeros behind", append(slices.Clone(whole), make([]byte, 20)...), []string{"first", "second", "third", fmt.Sprintf("torn[%d,%d)-1", all, all+20)}},
		} {
			got, err := scanned(scanner(f, bytes.NewReader(c.b), int64(len(c.b))))
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%s, %s: %q, %v, want %q", name, c.name, got, err, c.want)
			}
		}
	}
}

// Frames that another party has moved are no frames in order.
func TestNumbers(t *testing.T) {
	f := formats["outbox"]
	whole := file(f, "1", "2", "3")
	n := len(whole) / 3
	one, two, three := whole[:n], whole[n:2*n], whole[2*n:]
	for _, c := range []struct {
		name string
		b    []byte
		want []string
	}{
		{"left out", slices.Concat(one, three), []string{"1", fmt.Sprintf("[%d,%d)1", n, n), "3"}},
		{"repeated", slices.Concat(one, one, two), []string{"1", fmt.Sprintf("[%d,%d)1", n, 2*n), "2"}},
		{"repeated at the end", slices.Concat(one, two, one), []string{"1", "2", fmt.Sprintf("torn[%d,%d)1", 2*n, 3*n)}},
		{"swapped", slices.Concat(two, one, three), []string{"[0,0)1", "2", fmt.Sprintf("[%d,%d)1", n, 2*n), "3"}},
	} {
		got, err := scanned(scanner(f, bytes.NewReader(c.b), int64(len(c.b))))
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, %v, want %q", c.name, got, err, c.want)
		}
	}
	s := ScanBytes(f, append(BeginNumbered(nil, 2, math.MaxUint64), 1, 2))
	if _, g, err := s.Next(); err != nil || g.Frames != math.MaxInt64 {
		t.Errorf("a number without end: %+v, %v", g, err)
	}
}

// Threat: a payload in which every position looks like a frame.
func TestBudget(t *testing.T) {
	f := Format{Max: 1 << 20}
	hostile := bytes.Repeat([]byte{0, 0, 0x10}, 20_000) // lengths of 4096, 1 MiB and 64 KiB
	b := f.Append(f.Append(f.Append(nil, []byte("first")), hostile), []byte("last"))
	damaged := Head + len("first")
	b[damaged+Head] ^= 1
	s := ScanBytes(f, b)
	s.Budget = 1 << 20
	got, err := scanned(s)
	if want := []string{"first", fmt.Sprintf("[%d,%d)1", damaged, damaged+Head+len(hostile)), "last"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
	// A length that leads nowhere leaves damage, which is not called torn: nobody looked.
	b[damaged+3] ^= 1
	s = ScanBytes(f, b)
	s.Budget = 1 << 20
	got, err = scanned(s)
	if want := []string{"first", fmt.Sprintf("[%d,%d)-1", damaged, len(b))}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
}

func TestReaderErrors(t *testing.T) {
	f := formats["segment"]
	b := file(f, "first", "second")
	if _, err := scanned(scanner(f, bytes.NewReader(b), int64(len(b)+100))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a file shorter than it was: %v", err)
	}
	if _, err := scanned(scanner(f, failing{}, 100)); !errors.Is(err, iotest.ErrTimeout) {
		t.Errorf("a failing disk: %v", err)
	}
}

type failing struct{}

func (failing) ReadAt([]byte, int64) (int, error) { return 0, iotest.ErrTimeout }

// Frames larger than the window are read whole.
func TestLargeFrames(t *testing.T) {
	f := formats["segment"]
	large := string(bytes.Repeat([]byte("large "), windowSize/5))
	b := file(f, "first", large, "last")
	got, err := scanned(scanner(f, bytes.NewReader(b), int64(len(b))))
	if err != nil || !slices.Equal(got, []string{"first", large, "last"}) {
		t.Errorf("%d frames, %v", len(got), err)
	}
}

// FuzzScanner reads whatever bytes in each format: from memory and through windows it
// yields the same, without overlap and without rest; every frame encodes to its bytes.
func FuzzScanner(f *testing.F) {
	for _, format := range formats {
		whole := file(format, "first", "", "a third one")
		f.Add(whole, -1)
		f.Add(whole[:len(whole)-1], 2)
		f.Add(slices.Concat(whole[20:], whole), 21)
	}
	f.Fuzz(func(t *testing.T, b []byte, flip int) {
		if flip >= 0 && flip < len(b) {
			b = slices.Clone(b)
			b[flip] ^= 1
		}
		for name, format := range formats {
			memory := ScanBytes(format, b)
			memory.Number, memory.Open = 1, open
			windows := scanner(format, bytes.NewReader(b), int64(len(b)))
			if !format.Numbered {
				memory.Open, windows.Number = nil, 1
			}
			scanBoth(t, name, format, b, memory, windows)
		}
	})
}

func scanBoth(t *testing.T, name string, format Format, b []byte, memory, windows *Scanner) {
	t.Helper()
	torn := false
	for steps := 0; ; steps++ {
		at, number := memory.Offset(), memory.Number
		payload, g, err := memory.Next()
		payload2, g2, err2 := windows.Next()
		if !errors.Is(err2, err) || !bytes.Equal(payload, payload2) || g != g2 || memory.Offset() != windows.Offset() || memory.Number != windows.Number {
			t.Fatalf("%s at %d: %q %+v %v from memory, %q %+v %v through windows", name, at, payload, g, err, payload2, g2, err2)
		}
		switch {
		case errors.Is(err, io.EOF):
			if at != int64(len(b)) {
				t.Fatalf("%s: ends at %d of %d", name, at, len(b))
			}
			return
		case err != nil || torn || steps > 2*len(b):
			t.Fatalf("%s at %d: %v, behind a torn end: %v, step %d", name, at, err, torn, steps)
		case payload == nil:
			torn = g.Torn
			if g.Start != at || g.End != memory.Offset() || g.End == g.Start && memory.Number == number || memory.Number < number {
				t.Fatalf("%s at %d: gap %+v, numbers %d and %d", name, at, g, number, memory.Number)
			}
		default:
			again := format.Append(nil, payload)
			if format.Numbered {
				again = BeginNumbered(nil, len(payload)+4, number)
				again = AppendSum(append(again, payload...), NumberedHead, uint32(number))
			}
			if !bytes.Equal(again, b[at:memory.Offset()]) {
				t.Fatalf("%s at %d: frame %x encodes to %x", name, at, b[at:memory.Offset()], again)
			}
		}
	}
}

// FuzzDamage damages a file of numbered frames: each frame that is yielded is the one
// of its number, and what is missing is reported unless the file ends before it.
func FuzzDamage(f *testing.F) {
	f.Add("first\nsecond\nthird", 0, 9, []byte{0xff})
	f.Add("first\nsecond\nthird", 10, 1000, []byte{})
	f.Add("\n\n\n", 3, 0, []byte("\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, text string, at, remove int, insert []byte) {
		format := formats["outbox"]
		payloads := strings.Split(text, "\n")
		whole := file(format, payloads...)
		from := int(uint(at) % uint(len(whole)+1))
		to := from + int(uint(remove)%uint(len(whole)-from+1))
		b := slices.Concat(whole[:from], insert, whole[to:])
		s := ScanBytes(format, b)
		s.Number, s.Open = 1, open
		reported := false
		for {
			payload, g, err := s.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if payload == nil {
				reported = reported || g.Torn || g.Frames != 0
				continue
			}
			if n := s.Number - 2; n >= uint64(len(payloads)) || payloads[n] != string(payload) {
				t.Fatalf("frame %d holds %q, of %q", n+1, payload, payloads)
			}
		}
		if !reported && !bytes.HasPrefix(whole, b) {
			t.Fatalf("%x of %x: nothing is reported", b, whole)
		}
	})
}

func BenchmarkNext(b *testing.B) {
	f := formats["segment"]
	var data []byte
	for range 1000 {
		data = f.Append(data, make([]byte, 500))
	}
	b.SetBytes(500)
	b.ReportAllocs()
	s := ScanBytes(f, data)
	for b.Loop() {
		if payload, _, err := s.Next(); err != nil || payload == nil {
			s = ScanBytes(f, data)
		}
	}
}
