package esa

import (
	"bytes"
	"crypto/ed25519"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/shoal-project/shoal/metric/task"
)

// Fixtures that all tests share: a task with the given number of shufflers,
// one key of the given KEM a hop, and identities, all drawn from one seed.

const testEpoch task.Epoch = 20_000

// world is one task with the secrets of all its parties.
type world struct {
	task       *task.Task
	id         task.ID
	private    []*PrivateKey
	keys       []task.Key
	identities []task.IdentityKey
}

func newWorld(t testing.TB, kems ...KEM) *world {
	t.Helper()
	rnd := rand.NewChaCha8([32]byte{1})
	w := &world{task: &task.Task{
		OwnedBy: "Example", Metric: "api.use", Question: "Which APIs?", Method: task.Crowd,
		Schema:   task.Schema{{Name: "word", Kind: task.String, Max: 40}},
		Crowd:    task.CrowdRule{Kind: task.Payload, SaltEpochs: 1},
		MinBatch: 2, Threshold: task.Threshold{Kind: task.NoisyDrop, T: 20, D: 10, SigmaMilli: 2000},
		EpochSeconds: 86400, MaxDelay: 3600, ClockSkew: 60, PerEpoch: 10, PerCrowd: 1,
		PayloadSize: 64, NotBefore: 0, Expires: 30_000 * 86400,
	}}
	owner := identity(t, rnd)
	w.task.Owner = owner.Public()
	from := w.task.Start(testEpoch).Add(-48 * time.Hour)
	for i, kem := range kems {
		w.identities = append(w.identities, identity(t, rnd))
		role := task.Shuffler
		if i == len(kems)-1 {
			role = task.Analyzer
		}
		w.task.Hops = append(w.task.Hops, task.Party{
			Role: role, URL: "https://hop" + string(rune('0'+i)) + ".example", Identity: w.identities[i].Public(),
		})
		k, err := GenerateKey(kem, from, from.Add(96*time.Hour), rnd)
		if err != nil {
			t.Fatal(err)
		}
		w.private = append(w.private, k)
		w.keys = append(w.keys, k.Public())
	}
	var err error
	if w.id, err = w.task.ID(); err != nil {
		t.Fatal(err)
	}
	return w
}

func identity(t testing.TB, rnd *rand.ChaCha8) task.IdentityKey {
	t.Helper()
	k, err := task.GenerateIdentityKey(rnd)
	if err != nil || len(k.Public()) != ed25519.PublicKeySize {
		t.Fatal(err)
	}
	return k
}

func (w *world) sealer(t testing.TB) *Sealer {
	t.Helper()
	s, err := NewSealer(w.task, w.id, w.keys)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (w *world) opener(t testing.TB, i int) *Opener {
	t.Helper()
	o, err := NewOpener(w.task, w.id, i, w.private[i])
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func (w *world) seal(t testing.TB, tag CrowdTag, payload string) []byte {
	t.Helper()
	report, err := w.sealer(t).Seal(testEpoch, tag, []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestReportGoesThroughAllHops(t *testing.T) {
	tag := CrowdTag{1, 2, 3}
	for _, kems := range [][]KEM{
		{X25519, X25519},
		{P256, P256},
		{X25519, P256},
		{XWing, X25519},
		{XWing, P256},
		{X25519, X25519, X25519},
		{P256, X25519, P256, X25519},
	} {
		w := newWorld(t, kems...)
		layer := w.seal(t, tag, "fish")
		if want := ReportSize(w.task, kems[0]); len(layer) != want {
			t.Errorf("%v: report of %d bytes, want %d", kems, len(layer), want)
		}
		for i := range kems {
			o := w.opener(t, i)
			if len(layer) != o.MaxSize() {
				t.Errorf("%v: hop %d: layer of %d bytes, but the opener accepts %d", kems, i, len(layer), o.MaxSize())
			}
			l, err := o.Open(layer, testEpoch)
			if err != nil {
				t.Fatalf("%v: hop %d: %v", kems, i, err)
			}
			want := CrowdTag{}
			if i == len(kems)-2 {
				want = tag // the last shuffler's, and no other hop's
			}
			if l.Crowd != want {
				t.Errorf("%v: hop %d reads crowd %v, want %v", kems, i, l.Crowd, want)
			}
			if i < len(kems)-1 && len(l.Next) != LayerSize(w.task, i+1, X25519) {
				t.Errorf("%v: hop %d: next layer of %d bytes, want %d", kems, i, len(l.Next), LayerSize(w.task, i+1, X25519))
			}
			layer = l.Next
		}
		if !bytes.Equal(layer, []byte("fish")) {
			t.Errorf("%v: payload %q", kems, layer)
		}
	}
}
