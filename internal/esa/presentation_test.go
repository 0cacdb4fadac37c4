package esa

import (
	"crypto/sha256"
	"testing"

	"github.com/shoal-project/shoal/crypto/arc"
)

// TestPresentationsInLayers covers a task that requires credentials: which layers have
// which presentations, their place, what they are bound to, and the length of reports.
func TestPresentationsInLayers(t *testing.T) {
	w := newWorld(t, X25519, X25519, X25519)
	plain := ReportSize(w.task, X25519)
	w.task.PerEpoch, w.task.PerCrowd, w.task.Protection.CredentialEpochs = 4, 1, 7
	var err error
	if w.id, err = w.task.ID(); err != nil {
		t.Fatal(err)
	}
	epoch, crowd := arc.PresentationSize(4), arc.PresentationSize(1)
	if got, want := ReportSize(w.task, X25519)-plain, 2*(4+epoch)+4+crowd; got != want {
		t.Errorf("presentations make reports %d bytes longer, want %d", got, want)
	}
	digests := map[int][sha256.Size]byte{}
	present := func(i int, digest [sha256.Size]byte) ([][]byte, error) {
		digests[i] = digest
		shown := [][]byte{make([]byte, epoch)}
		if i == 1 {
			shown = append(shown, make([]byte, crowd))
		}
		for j, p := range shown {
			p[0] = byte(10*i + j + 1)
		}
		return shown, nil
	}
	tag := SaltedTag(w.id, 0, []byte("x"))
	layer, err := w.sealer(t).SealShowing(testEpoch, []CrowdTag{tag}, []byte{1, 'x'}, present)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.sealer(t).Seal(testEpoch, tag, []byte{1, 'x'}); err == nil {
		t.Error("a report without presentations is sealed")
	}
	for i := range 3 {
		o, err := NewOpener(w.task, w.id, i, w.private[i])
		if err != nil {
			t.Fatal(err)
		}
		many := o.OpenMany([]Sealed{{Layer: layer, Epoch: testEpoch}})
		l, err := o.Open(layer, testEpoch)
		if err != nil || many[0].Cause != 0 || many[0].Digest != l.Digest {
			t.Fatalf("hop %d: %v, %v; digests %x and %x", i, err, many[0].Cause, many[0].Digest, l.Digest)
		}
		first, second := l.Presentation(ExtensionEpoch), l.Presentation(ExtensionCrowd)
		switch {
		case i == 2 && (first != nil || second != nil || l.Digest != [sha256.Size]byte{}):
			t.Errorf("the analyzer gets %d and %d bytes", len(first), len(second))
		case i < 2 && (len(first) != epoch || first[0] != byte(10*i+1) || l.Digest != digests[i]):
			t.Errorf("hop %d gets other than what was sealed", i)
		case i == 0 && second != nil, i == 1 && (len(second) != crowd || second[0] != 12):
			t.Errorf("hop %d gets a crowd's presentation of %d bytes", i, len(second))
		}
		layer = l.Next
	}
	if digests[0] == digests[1] {
		t.Error("two layers have one digest")
	}
	w.task.Extensions = []uint16{ExtensionEpoch}
	if _, err := NewSealer(w.task, w.id, w.keys); err == nil {
		t.Error("a task that lists extensions is taken")
	}
}
