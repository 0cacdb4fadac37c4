package esa

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"sync"
	"testing"
)

// mixed returns a batch of n reports of which some are bad, with their causes.
func mixed(t testing.TB, w *world, n int) ([][]byte, []Cause) {
	t.Helper()
	s := w.sealer(t)
	reports, causes := make([][]byte, n), make([]Cause, n)
	for i := range n {
		report, err := s.Seal(testEpoch, CrowdTag{byte(i)}, fmt.Appendf(nil, "%d", i))
		if err != nil {
			t.Fatal(err)
		}
		switch i % 10 {
		case 3:
			report[len(report)-1] ^= 1
			causes[i] = CauseDecrypt
		case 5:
			report = append(report, bytes.Repeat([]byte{1}, 5000)...)
			causes[i] = CauseMalformed
		case 7:
			report[headerSize-1] ^= 1
			causes[i] = CauseWrongEpoch
		case 8:
			report = nil
			causes[i] = CauseMalformed
		}
		reports[i] = report
	}
	return reports, causes
}

// reusing yields the reports in one buffer that each step overwrites, and
// finally err if there is one.
func reusing(reports [][]byte, err error) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		var buffer []byte
		for _, r := range reports {
			buffer = append(buffer[:0], r...)
			if !yield(buffer, nil) {
				return
			}
			clear(buffer)
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

// TestOpenAll covers invariant "one bad report harms only itself", in order and
// with every number of workers.
func TestOpenAll(t *testing.T) {
	w := newWorld(t, X25519, X25519)
	o := w.opener(t, 0)
	reports, causes := mixed(t, w, 600)
	for _, workers := range []int{0, 1, 2, 7} {
		i := 0
		for opened, err := range o.OpenAll(reusing(reports, nil), testEpoch, workers) {
			if err != nil {
				t.Fatal(err)
			}
			if opened.Cause != causes[i] {
				t.Fatalf("%d workers: report %d: cause %v, want %v", workers, i, opened.Cause, causes[i])
			}
			if opened.Cause == 0 && (opened.Crowd != CrowdTag{byte(i)} || !bytes.Equal(opened.Report, reports[i])) {
				t.Fatalf("%d workers: report %d is another", workers, i)
			}
			i++
		}
		if i != len(reports) {
			t.Errorf("%d workers: %d reports of %d", workers, i, len(reports))
		}
	}
}

func TestOpenAllPassesOnErrorsOfTheInput(t *testing.T) {
	w := newWorld(t, X25519, X25519)
	reports, _ := mixed(t, w, 20)
	broken := errors.New("disk broken")
	n := 0
	var last error
	for _, err := range w.opener(t, 0).OpenAll(reusing(reports, broken), testEpoch, 2) {
		if last = err; err == nil {
			n++
		}
	}
	if n != len(reports) || !errors.Is(last, broken) {
		t.Errorf("%d reports, then %v", n, last)
	}
	for range w.opener(t, 0).OpenAll(reusing(reports, broken), testEpoch, 2) {
		break // a reader may stop early
	}
}

func TestOpenerInSeveralGoroutines(t *testing.T) {
	w := newWorld(t, X25519, P256)
	o, s := w.opener(t, 0), w.sealer(t)
	var wg sync.WaitGroup
	for g := range 2 * runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			report, err := s.Seal(testEpoch, CrowdTag{byte(g)}, []byte("x"))
			if err != nil {
				t.Error(err)
				return
			}
			for range 5 {
				if l, err := o.Open(report, testEpoch); err != nil || l.Crowd != (CrowdTag{byte(g)}) {
					t.Errorf("crowd %v, %v", l.Crowd, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestSealRefusesAnOversizedPayload(t *testing.T) {
	w := newWorld(t, X25519, X25519)
	s := w.sealer(t)
	for n := range 64 {
		report, err := s.Seal(testEpoch, CrowdTag{}, make([]byte, n))
		if err != nil || len(report) != s.ReportSize() {
			t.Fatalf("payload of %d bytes: report of %d, want %d: %v", n, len(report), s.ReportSize(), err)
		}
	}
	if _, err := s.Seal(testEpoch, CrowdTag{}, make([]byte, 64)); err == nil {
		t.Error("a payload that leaves no room for its padding")
	}
}

// TestSizes holds the lengths that docs/spec/report-frame.md states.
func TestSizes(t *testing.T) {
	two, three := newWorld(t, X25519, X25519).task, newWorld(t, X25519, X25519, X25519).task
	for _, c := range []struct {
		what      string
		got, want int
	}{
		{"report, one shuffler", ReportSize(two, X25519), 284},
		{"the same, P-256", ReportSize(two, P256), 284},
		{"the same, X-Wing", ReportSize(two, XWing), 1372},
		{"report, two shufflers", ReportSize(three, X25519), 386},
		{"the same, X-Wing", ReportSize(three, XWing), 1474},
		{"last shuffler", LayerSize(two, 0, X25519) - LayerSize(two, 1, X25519), 118},
		{"earlier shuffler", LayerSize(three, 0, X25519) - LayerSize(three, 1, X25519), 102},
		{"analyzer", LayerSize(two, 1, X25519) - 64, 102},
		{"no such hop", LayerSize(two, 2, X25519), 0},
		{"no such KEM", ReportSize(two, 1), 0},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d bytes, want %d", c.what, c.got, c.want)
		}
	}
}

func TestSaltedTag(t *testing.T) {
	w := newWorld(t, X25519, X25519)
	tag := SaltedTag(w.id, 7, []byte("fish"))
	for _, other := range []CrowdTag{{}, SaltedTag(w.id, 8, []byte("fish")), SaltedTag(w.id, 7, []byte("fisH")), SaltedTag(ID(w), 7, []byte("fish"))} {
		if tag == other {
			t.Error("two crowds with one tag")
		}
	}
	if tag != SaltedTag(w.id, 7, []byte("fish")) {
		t.Error("one crowd with two tags")
	}
}

// ID returns an ID that is not the world's.
func ID(w *world) (id [32]byte) {
	id = w.id
	id[0]++
	return id
}

// FuzzReport opens arbitrary bytes at both hops. Nothing but the two layers
// whose bytes are known may open.
func FuzzReport(f *testing.F) {
	g := goldenReports(f)[1]
	_, openers := g.openers(f)
	outer := unhex(f, g.Report)
	l, err := openers[0].Open(outer, testEpoch)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(outer)
	f.Add(l.Next)
	f.Add(outer[:headerSize])
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := ParseHeader(b); err == nil && !bytes.Equal(h.append(nil), b[:headerSize]) {
			t.Errorf("header %+v has another encoding", h)
		}
		for i, o := range openers {
			_, err := o.Open(b, testEpoch)
			if err == nil && !bytes.Equal(b, [][]byte{outer, l.Next}[i]) {
				t.Errorf("hop %d opens what nobody sealed", i)
			}
			if err != nil && CauseOf(err) == 0 {
				t.Errorf("hop %d: an error without a cause: %v", i, err)
			}
		}
	})
}

// FuzzLayer reads arbitrary bytes as what is sealed in a layer: what an evil
// client can reach with a proper seal.
func FuzzLayer(f *testing.F) {
	w := newWorld(f, X25519, X25519)
	l := layOut(w.task, w.id, [][]extension{{{3, 4}, {9, 2}}, {{5, 9}}})
	for i := range l.hops {
		var x []Extension
		for _, want := range l.hops[i].extensions {
			x = append(x, Extension{want.kind, make([]byte, want.size)})
		}
		b, err := l.hops[i].appendPlaintext(nil, make([]byte, l.hops[i].crowd), x, make([]byte, l.hops[i].next))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for i := range l.hops {
			got, err := l.hops[i].parsePlaintext(b)
			if err != nil {
				if CauseOf(err) == 0 {
					t.Errorf("hop %d: an error without a cause: %v", i, err)
				}
				continue
			}
			again, err := l.hops[i].appendPlaintext(nil, l.hops[i].material(&got), got.Extensions, got.Next)
			if err != nil || !bytes.Equal(again, b) {
				t.Errorf("hop %d: %x reads back as %x, %v", i, b, again, err)
			}
		}
	})
}
