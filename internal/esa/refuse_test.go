package esa

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/metric/task"
)

// TestEachBitIsAuthenticated covers alteration on the way and at rest: a report
// with any one bit changed opens at no hop, and no change panics.
func TestEachBitIsAuthenticated(t *testing.T) {
	for _, c := range []struct {
		kem  KEM
		step int // X-Wing is long and slow: one bit in seven
	}{{X25519, 1}, {P256, 1}, {XWing, 7}} {
		w := newWorld(t, c.kem, P256)
		outer := w.seal(t, CrowdTag{7}, "a word")
		l, err := w.opener(t, 0).Open(outer, testEpoch)
		if err != nil {
			t.Fatal(err)
		}
		for hop, layer := range [][]byte{outer, l.Next} {
			o := w.opener(t, hop)
			for bit := 0; bit < 8*len(layer); bit += c.step {
				layer[bit/8] ^= 1 << (bit % 8)
				if _, err := o.Open(layer, testEpoch); CauseOf(err) == 0 {
					t.Fatalf("%v: hop %d: bit %d changed, but the layer opens (%v)", c.kem, hop, bit, err)
				}
				layer[bit/8] ^= 1 << (bit % 8)
			}
			if _, err := o.Open(layer, testEpoch); err != nil {
				t.Fatalf("%v: hop %d: the unchanged layer does not open: %v", c.kem, hop, err)
			}
		}
	}
}

func TestEveryOtherLengthIsRefused(t *testing.T) {
	w := newWorld(t, X25519, X25519)
	o := w.opener(t, 0)
	report := w.seal(t, CrowdTag{}, "x")
	for n := range len(report) {
		if _, err := o.Open(report[:n], testEpoch); CauseOf(err) != CauseMalformed {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	if _, err := o.Open(append(bytes.Clone(report), 0), testEpoch); CauseOf(err) != CauseMalformed {
		t.Errorf("one byte added: %v", err)
	}
}

// TestHeaderIsBound covers a hop or a network that moves a report to another
// task, epoch, role or key: with the header rewritten to fit, the seal does not
// open.
func TestHeaderIsBound(t *testing.T) {
	w := newWorld(t, X25519, X25519)
	report := w.seal(t, CrowdTag{}, "x")
	h, err := ParseHeader(report)
	if err != nil {
		t.Fatal(err)
	}
	other := task.ID{1}
	o, err := NewOpener(w.task, other, 0, w.private[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Open(report, testEpoch); CauseOf(err) != CauseWrongTask {
		t.Errorf("another task: %v", err)
	}
	if _, err := w.opener(t, 0).Open(report, testEpoch+1); CauseOf(err) != CauseWrongEpoch {
		t.Errorf("another epoch: %v", err)
	}
	rewrite := func(change func(h *Header)) []byte {
		h := h
		change(&h)
		return append(h.append(nil), report[headerSize:]...)
	}
	if _, err := o.Open(rewrite(func(h *Header) { h.Task = other }), testEpoch); CauseOf(err) != CauseDecrypt {
		t.Errorf("moved to another task: %v", err)
	}
	moved := rewrite(func(h *Header) { h.Epoch++ })
	if _, err := w.opener(t, 0).Open(moved, testEpoch+1); CauseOf(err) != CauseDecrypt {
		t.Errorf("moved to another epoch: %v", err)
	}
	role := rewrite(func(h *Header) { h.Role = task.Analyzer })
	if _, err := w.opener(t, 0).Open(role, testEpoch); CauseOf(err) != CauseMalformed {
		t.Errorf("moved to another role: %v", err)
	}
	// The info alone binds role, task and epoch, too: open with the header as
	// sealed for associated data and another one for the info.
	for name, change := range map[string]func(h *Header){
		"role": func(h *Header) { h.Role++ }, "task": func(h *Header) { h.Task[31]++ }, "epoch": func(h *Header) { h.Epoch++ },
	} {
		h := h
		change(&h)
		if _, _, err := openLayer(w.private[0].key, &h, report, ""); err == nil {
			t.Errorf("the HPKE info does not bind the %s", name)
		}
	}
	// The key ID is bound by the associated data alone.
	twin := *w.private[0]
	twin.public.ID[0]++
	o2, err := NewOpener(w.task, w.id, 0, &twin)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o2.Open(rewrite(func(h *Header) { h.Key[0]++ }), testEpoch); CauseOf(err) != CauseDecrypt {
		t.Errorf("moved to another key: %v", err)
	}
}

// TestPartsOfTwoReportsDoNotMix covers a shuffler or a network that splices.
func TestPartsOfTwoReportsDoNotMix(t *testing.T) {
	w := newWorld(t, X25519, X25519)
	s := w.sealer(t)
	var reports [2][]byte
	for i := range reports {
		var err error
		if reports[i], err = s.Seal(testEpoch, CrowdTag{1}, []byte("same")); err != nil {
			t.Fatal(err)
		}
	}
	end := headerSize + encapsulatedSize(X25519)
	spliced := slices.Concat(reports[0][:end], reports[1][end:])
	if _, err := w.opener(t, 0).Open(spliced, testEpoch); CauseOf(err) != CauseDecrypt {
		t.Errorf("sealed bytes of another report: %v", err)
	}
	var inner [2][]byte
	for i, r := range reports {
		l, err := w.opener(t, 0).Open(r, testEpoch)
		if err != nil {
			t.Fatal(err)
		}
		inner[i] = l.Next
	}
	spliced = slices.Concat(inner[0][:end], inner[1][end:])
	if _, err := w.opener(t, 1).Open(spliced, testEpoch); CauseOf(err) != CauseDecrypt {
		t.Errorf("inner layer of another report: %v", err)
	}
	if _, err := w.opener(t, 1).Open(reports[0], testEpoch); CauseOf(err) != CauseMalformed {
		t.Errorf("the shuffler's layer at the analyzer: %v", err)
	}
	if _, err := w.opener(t, 0).Open(inner[0], testEpoch); CauseOf(err) != CauseMalformed {
		t.Errorf("the analyzer's layer at the shuffler: %v", err)
	}
}

// TestReportsOfOnePayloadShareNothing covers linking by content: beyond the
// header, two reports of the same payload have no eight bytes in common, and a
// replay is equal to its original, so that it can be recognised.
func TestReportsOfOnePayloadShareNothing(t *testing.T) {
	w := newWorld(t, X25519, X25519)
	a, b := w.seal(t, CrowdTag{1}, "same"), w.seal(t, CrowdTag{1}, "same")
	if !bytes.Equal(a[:headerSize], b[:headerSize]) || len(a) != len(b) {
		t.Error("headers or lengths differ")
	}
	for i := headerSize; i+8 <= len(a); i++ {
		if bytes.Contains(b[headerSize:], a[i:i+8]) {
			t.Fatalf("both reports hold %x", a[i:i+8])
		}
	}
	o := w.opener(t, 0)
	first, err1 := o.Open(a, testEpoch)
	again, err2 := o.Open(bytes.Clone(a), testEpoch)
	if err1 != nil || err2 != nil || !bytes.Equal(first.Next, again.Next) || first.Crowd != again.Crowd {
		t.Errorf("a replay opens to something else: %v, %v", err1, err2)
	}
}

func TestKeysAreKnownByIDAndTime(t *testing.T) {
	w := newWorld(t, X25519, X25519)
	report := w.seal(t, CrowdTag{}, "x")
	for _, c := range []struct {
		name     string
		from, to time.Duration // against the epoch's start
		cause    Cause
	}{
		{"expired before the epoch", -48 * time.Hour, -time.Second, CauseUnknownKey},
		{"until the epoch's first second", -48 * time.Hour, 0, 0},
		{"from the last second of the batch", 24*time.Hour + 3660*time.Second, 48 * time.Hour, 0},
		{"from after the batch has closed", 24*time.Hour + 3661*time.Second, 48 * time.Hour, CauseUnknownKey},
	} {
		k := *w.private[0]
		start := w.task.Start(testEpoch)
		k.public.NotBefore, k.public.NotAfter = start.Add(c.from).Unix(), start.Add(c.to).Unix()
		o, err := NewOpener(w.task, w.id, 0, &k)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := o.Open(report, testEpoch); CauseOf(err) != c.cause {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	o, err := NewOpener(w.task, w.id, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Open(report, testEpoch); CauseOf(err) != CauseUnknownKey {
		t.Errorf("no keys: %v", err)
	}
}

// TestLayersThatOnlyAClientCouldMake covers a client that seals nonsense: it is
// refused by cause, at the hop that can see it.
func TestLayersThatOnlyAClientCouldMake(t *testing.T) {
	w := newWorld(t, X25519, X25519)
	l, err := newLayout(w.task, w.id)
	if err != nil {
		t.Fatal(err)
	}
	seal := func(hop int, plaintext []byte) []byte {
		public, err := parsePublic(&w.keys[hop], hop)
		if err != nil {
			t.Fatal(err)
		}
		h := Header{Version: Version, Role: l.hops[hop].role, Key: w.keys[hop].ID, Task: w.id, Epoch: testEpoch}
		layer, err := sealLayer(&hpke.Senders(hpke.DefaultSuite(), public)[0], h, plaintext, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		return layer
	}
	good := func(hop int) []byte {
		b, err := l.hops[hop].appendPlaintext(nil, make([]byte, l.hops[hop].crowd), nil, make([]byte, l.hops[hop].next))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, c := range []struct {
		name  string
		hop   int
		at    int
		value byte
		cause Cause
	}{
		{"crowd material too short", 0, 0, 15, CauseMalformed},
		{"crowd material missing", 0, 0, 0, CauseMalformed},
		{"extensions", 0, 18, 4, CauseExtension},
		{"crowd material at the analyzer", 1, 0, 1, CauseMalformed},
		{"extensions at the analyzer", 1, 2, 4, CauseExtension},
		{"padding without its mark", 1, 3, 0, CauseSchema},
	} {
		plaintext := good(c.hop)
		plaintext[c.at] = c.value
		if _, err := w.opener(t, c.hop).Open(seal(c.hop, plaintext), testEpoch); CauseOf(err) != c.cause {
			t.Errorf("%s: %v, want cause %v", c.name, err, c.cause)
		}
	}
	if _, err := w.opener(t, 0).Open(seal(0, good(0)[:20]), testEpoch); CauseOf(err) != CauseMalformed {
		t.Errorf("short layer: %v", err)
	}
	// A key that is no point, or one of small order.
	for _, enc := range [][]byte{make([]byte, 32), bytes.Repeat([]byte{0xff}, 32)} {
		report := w.seal(t, CrowdTag{}, "x")
		copy(report[headerSize+1:], enc)
		if _, err := w.opener(t, 0).Open(report, testEpoch); CauseOf(err) != CauseDecrypt {
			t.Errorf("encapsulated key %x: %v", enc, err)
		}
	}
}

func TestExtensionsMustBeTheTasks(t *testing.T) {
	w := newWorld(t, X25519, X25519)
	l := layOut(w.task, w.id, [][]extension{{{3, 4}, {9, 2}}, {{5, 9}}})
	h := &l.hops[0]
	next := make([]byte, h.next)
	both := []Extension{{3, []byte("abcd")}, {9, []byte("ef")}}
	plaintext, err := h.appendPlaintext(nil, make([]byte, h.crowd), both, next)
	if err != nil || len(plaintext) != h.plaintextSize() {
		t.Fatalf("%d bytes, want %d: %v", len(plaintext), h.plaintextSize(), err)
	}
	got, err := h.parsePlaintext(plaintext)
	if err != nil || len(got.Extensions) != 2 || got.Extensions[1].Type != 9 || string(got.Extensions[1].Data) != "ef" {
		t.Fatalf("%v, %v", got.Extensions, err)
	}
	for name, x := range map[string][]Extension{
		"none": nil, "one": both[:1], "of another length": {{3, []byte("abcde")}, {9, []byte("f")}},
		"in another order": {both[1], both[0]}, "twice": {both[0], both[0]}, "unknown": {both[0], {10, []byte("ef")}},
	} {
		if _, err := h.appendPlaintext(nil, make([]byte, h.crowd), x, next); err == nil {
			t.Errorf("extensions %s: sealed", name)
		}
	}
	// In the bytes: a type, a length, the order, one too many.
	ext := 1 + 16 + 2
	for name, change := range map[string]func(b []byte){
		"type":   func(b []byte) { b[ext+1] = 4 },
		"length": func(b []byte) { b[ext+3] = 5 },
		"total":  func(b []byte) { b[ext-1]++ },
		"order": func(b []byte) {
			copy(b[ext:], slices.Concat(plaintext[ext+8:ext+14], plaintext[ext:ext+8]))
		},
	} {
		b := bytes.Clone(plaintext)
		change(b)
		if _, err := h.parsePlaintext(b); CauseOf(err) != CauseExtension {
			t.Errorf("%s changed: %v", name, err)
		}
	}
	// A task may list only types that this version knows.
	w.task.Extensions = []uint16{3}
	if _, err := NewSealer(w.task, w.id, w.keys); err == nil {
		t.Error("sealer for a task with an unknown extension")
	}
	if _, err := NewOpener(w.task, w.id, 0, w.private[0]); err == nil {
		t.Error("opener for a task with an unknown extension")
	}
	if n := ReportSize(w.task, X25519); n != 0 {
		t.Errorf("reports of %d bytes for a task with an unknown extension", n)
	}
}

func TestRefusal(t *testing.T) {
	if CauseOf(nil) != 0 || CauseOf(errors.New("x")) != 0 {
		t.Error("a cause without a refusal")
	}
	seen := map[string]bool{}
	for c := range Cause(NumCauses + 1) {
		label := c.String()
		if seen[label] || bytes.ContainsAny([]byte(label), "0123456789 -") {
			t.Errorf("label %q of cause %d", label, c)
		}
		seen[label] = true
	}
	if Cause(NumCauses+1).String() != "cause_10" {
		t.Errorf("label %q", Cause(NumCauses+1))
	}
}
