package turboshake

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

// ptn is the pattern of RFC 9861, section 5.
func ptn(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}

// TestRFC9861 is section 5 of the RFC, TurboSHAKE128: the last bytes of an
// output of the given length.
func TestRFC9861(t *testing.T) {
	ff := bytes.Repeat([]byte{0xff}, 7)
	for _, c := range []struct {
		msg    []byte
		domain byte
		length int
		want   string
	}{
		{nil, 0x1f, 32, "1E415F1C5983AFF2169217277D17BB538CD945A397DDEC541F1CE41AF2C1B74C"},
		{nil, 0x1f, 64, "3E8CCAE2A4DAE56C84A04C2385C03C15E8193BDF58737363321691C05462C8DF"},
		{nil, 0x1f, 10032, "A3B9B0385900CE761F22AED548E754DA10A5242D62E8C658E3F3A923A7555607"},
		{ptn(1), 0x1f, 32, "55CEDD6F60AF7BB29A4042AE832EF3F58DB7299F893EBB9247247D856958DAA9"},
		{ptn(17), 0x1f, 32, "9C97D036A3BAC819DB70EDE0CA554EC6E4C2A1A4FFBFD9EC269CA6A111161233"},
		{ptn(289), 0x1f, 32, "96C77C279E0126F7FC07C9B07F5CDAE1E0BE60BDBE10620040E75D7223A624D2"},
		{ptn(4913), 0x1f, 32, "D4976EB56BCF118520582B709F73E1D6853E001FDAF80E1B13E0D0599D5FB372"},
		{ptn(83521), 0x1f, 32, "DA67C7039E98BF530CF7A37830C6664E14CBAB7F540F58403B1B82951318EE5C"},
		{ptn(1419857), 0x1f, 32, "B97A906FBF83EF7C812517ABF3B2D0AEA0C4F60318CE11CF103925127F59EECD"},
		{ff[:3], 0x01, 32, "BF323F940494E88EE1C540FE660BE8A0C93F43D15EC006998462FA994EED5DAB"},
		{ff[:1], 0x06, 32, "8EC9C66465ED0D4A6C35D13506718D687A25CB05C74CCA1E42501ABD83874A67"},
		{ff[:3], 0x07, 32, "B658576001CAD9B1E5F399A9F77723BBA05458042D68206F7252682DBA3663ED"},
		{ff[:7], 0x0b, 32, "8DEEAA1AEC47CCEE569F659C21DFA8E112DB3CEE37B18178B2ACD805B799CC37"},
		{ff[:1], 0x30, 32, "553122E2135E363C3292BED2C6421FA232BAB03DAA07C7D6636603286506325B"},
		{ff[:3], 0x7f, 32, "16274CC656D44CEFD422395D0F9053BDA6D28E122ABA15C765E5AD0E6EAF26F9"},
	} {
		out := make([]byte, c.length)
		h, err := New128(c.domain)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.Write(c.msg); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(h, out); err != nil {
			t.Fatal(err)
		}
		got := strings.ToUpper(hex.EncodeToString(out[c.length-32:]))
		if got != c.want {
			t.Errorf("TurboSHAKE128(%d bytes, %#x, %d) ends in\n%s, want\n%s", len(c.msg), c.domain, c.length, got, c.want)
		}
	}
	// TurboSHAKE256(empty, 0x1f, 64), the same section.
	h, err := New256(0x1f)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]byte, 64)
	if _, err := h.Read(out); err != nil {
		t.Fatal(err)
	}
	if got, want := hex.EncodeToString(out[:32]), "367a329dafea871c7802ec67f905ae13c57695dc2c6663c61035f59a18f8e7db"; got != want {
		t.Errorf("TurboSHAKE256 of nothing: got %s, want %s", got, want)
	}
}

// TestPieces holds any division of the input and the output equal to one piece.
func TestPieces(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, make256 := range []bool{false, true} {
		for range 50 {
			msg, n := ptn(r.IntN(700)), r.IntN(700)
			one, many := newFor(t, make256), newFor(t, make256)
			write(t, one, msg)
			for len(msg) > 0 {
				k := 1 + r.IntN(len(msg))
				write(t, many, msg[:k])
				msg = msg[k:]
			}
			a, b := make([]byte, n), make([]byte, n)
			read(t, one, a)
			for rest := b; len(rest) > 0; {
				k := 1 + r.IntN(len(rest))
				read(t, many, rest[:k])
				rest = rest[k:]
			}
			if !bytes.Equal(a, b) {
				t.Fatal("reading and writing in pieces changes the output")
			}
			if _, err := one.Write(nil); n > 0 && !errors.Is(err, ErrSqueezed) {
				t.Fatalf("write after read: error %v", err)
			}
			one.Reset()
			write(t, one, msg)
		}
	}
}

func newFor(t *testing.T, make256 bool) *Hash {
	t.Helper()
	f := New128
	if make256 {
		f = New256
	}
	h, err := f(0x1f)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func write(t *testing.T, h *Hash, p []byte) {
	t.Helper()
	if n, err := h.Write(p); n != len(p) || err != nil {
		t.Fatal(n, err)
	}
}

func read(t *testing.T, h *Hash, p []byte) {
	t.Helper()
	if n, err := h.Read(p); n != len(p) || err != nil {
		t.Fatal(n, err)
	}
}

func TestDomain(t *testing.T) {
	for _, d := range []byte{0, 0x80, 0xff} {
		if _, err := New128(d); !errors.Is(err, ErrDomain) {
			t.Errorf("New128(%#x): error %v", d, err)
		}
		if _, err := NewLanes(d); !errors.Is(err, ErrDomain) {
			t.Errorf("NewLanes(%#x): error %v", d, err)
		}
	}
}

// levels are the code paths this machine can run.
func levels() []level {
	var l []level
	for lv := scalar; lv <= supported(); lv++ {
		l = append(l, lv)
	}
	return l
}

// TestLanes holds every code path equal to the streaming form, for equal and
// for unequal lengths.
func TestLanes(t *testing.T) {
	for _, lv := range levels() {
		t.Run(fmt.Sprint(lv), func(t *testing.T) {
			r := rand.New(rand.NewPCG(2, 2))
			l := &Lanes{level: lv, domain: 7}
			for i := range 300 {
				var out, msgs, want [Width][]byte
				mlen, olen := r.IntN(600), r.IntN(600)
				for j := range Width {
					if i%3 == 1 {
						mlen, olen = r.IntN(600), r.IntN(600)
					}
					if r.IntN(8) == 0 && i%5 == 0 {
						continue
					}
					msgs[j], out[j] = make([]byte, mlen), make([]byte, olen)
					for k := range msgs[j] {
						msgs[j][k] = byte(r.Uint32())
					}
					h, err := New128(7)
					if err != nil {
						t.Fatal(err)
					}
					want[j] = make([]byte, olen)
					write(t, h, msgs[j])
					read(t, h, want[j])
				}
				l.Sum128(&out, &msgs)
				for j := range Width {
					if !bytes.Equal(out[j], want[j]) {
						t.Fatalf("lane %d of round %d: %d bytes to %d bytes differ from the stream", j, i, len(msgs[j]), len(out[j]))
					}
				}
			}
		})
	}
}

func TestLanesAllocateNothing(t *testing.T) {
	var out, msgs [Width][]byte
	for i := range Width {
		out[i], msgs[i] = make([]byte, 400), make([]byte, 300)
	}
	l, err := NewLanes(1)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(20, func() { l.Sum128(&out, &msgs) }); n > 0 {
		t.Errorf("Sum128 allocates %v times", n)
	}
}

func FuzzLanes(f *testing.F) {
	f.Add([]byte("some message"), uint16(40), byte(1))
	f.Add(ptn(336), uint16(168), byte(0x1f))
	f.Fuzz(func(t *testing.T, msg []byte, n uint16, domain byte) {
		if domain < 1 || domain > 0x7f {
			domain = 1
		}
		h, err := New128(domain)
		if err != nil {
			t.Fatal(err)
		}
		write(t, h, msg)
		want := make([]byte, n)
		read(t, h, want)
		for _, lv := range levels() {
			var out, msgs [Width][]byte
			for i := range Width {
				msgs[i], out[i] = msg, make([]byte, int(n)>>(i%4))
			}
			(&Lanes{level: lv, domain: domain}).Sum128(&out, &msgs)
			for i := range Width {
				if !bytes.Equal(out[i], want[:len(out[i])]) {
					t.Fatalf("level %d lane %d differs from the stream", lv, i)
				}
			}
		}
	})
}

func ExampleHash() {
	h, err := New128(0x1f)
	if err != nil {
		panic(err)
	}
	fmt.Fprint(h, "a message, ")
	fmt.Fprint(h, "in two pieces")
	out := make([]byte, 16)
	io.ReadFull(h, out)
	fmt.Printf("%x\n", out)
	// Output: 9d88ed4f284e5a7d4f0f41610fe27442
}
