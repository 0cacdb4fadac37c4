package analyzer

import (
	"bytes"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"runtime"
	"testing"

	"github.com/shoal-project/shoal/crypto/secretshare"
	"github.com/shoal-project/shoal/internal/engine"
	"github.com/shoal-project/shoal/internal/engine/local"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/hoptest"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/metric/task"
)

// newSharing returns what recovers the values of a batch, fed by the engine
// rather than by sealed reports.
func newSharing(t testing.TB, e engine.Engine, shares uint16) *sharing {
	t.Helper()
	w := hoptest.New(t, 1, func(t *task.Task) {
		t.Schema = task.Schema{{Name: "word", Kind: task.String, Max: 40}}
		t.Crowd = task.CrowdRule{Kind: task.Constant, SaltEpochs: 1}
		t.Threshold = task.Threshold{Kind: task.Naive, T: uint32(shares)}
		t.Encoding = task.Encoding{Kind: task.Quorum, Shares: shares}
		t.PayloadSize = 128
	})
	l := newLayout(w.Task, w.Epoch(0))
	a := &Analyzer{config: Config{Engine: e, Workers: runtime.GOMAXPROCS(0)}}
	s := newSharingOf(a, &hosted{task: w.Task, id: w.ID}, Batch{Task: w.ID, Epoch: w.Epoch(0)})
	s.layout, s.counter, s.out = l, newCounter(l, 1<<30), release.NewWriter(io.Discard, RecordsTable, l.columns)
	return s
}

// feed writes contents to the dataset that is to be recovered.
func (s *sharing) feed(t testing.TB, contents func(yield func([]byte) bool)) {
	t.Helper()
	w, err := s.a.config.Engine.Create(t.Context(), s.dataset("opened"), s.columns())
	if err != nil {
		t.Fatal(err)
	}
	for c := range contents {
		ciphertext, share, err := esa.SplitShared(s.h.task, c)
		if err != nil {
			t.Fatal(err)
		}
		order := s.order(share)
		if err := w.Write(append(append(bytes.Clone(ciphertext), order[:]...), share[:]...)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.a.config.Engine.SortBy(t.Context(), s.dataset("opened"), nil, s.dataset("grouped")); err != nil {
		t.Fatal(err)
	}
}

func (s *sharing) encoder(t testing.TB) *secretshare.Encoder {
	t.Helper()
	enc, err := secretshare.NewEncoder(secretshare.MessageHash{}, esa.QuorumBinding(s.h.id, s.epoch), int(s.h.task.Encoding.Shares))
	if err != nil {
		t.Fatal(err)
	}
	return enc
}

func (s *sharing) content(t testing.TB, enc *secretshare.Encoder, word string, random io.Reader) []byte {
	t.Helper()
	payload, err := s.h.task.Encode(task.Record{word})
	if err != nil {
		t.Fatal(err)
	}
	message, err := task.Pad(payload, s.h.task.MessageSize())
	if err != nil {
		t.Fatal(err)
	}
	x, err := enc.Encode(t.Context(), message, random)
	if err != nil {
		t.Fatal(err)
	}
	return esa.JoinShared(x)
}

// FuzzShares puts contents that an attacker made up beside honest ones. Each
// report is counted once, whatever it holds, and the honest value is read.
func FuzzShares(f *testing.F) {
	f.Add([]byte{}, []byte{0})
	f.Add(bytes.Repeat([]byte{0xff}, 127), []byte{1, 1, 2})
	f.Add(make([]byte, 400), []byte{0, 1, 2, 3, 4, 5})
	first := newSharing(f, hoptest.NewEngine(), 3)
	f.Fuzz(func(t *testing.T, raw, plan []byte) {
		a := &Analyzer{config: Config{Engine: hoptest.NewEngine(), Workers: 1}}
		s := newSharingOf(a, first.h, Batch{Task: first.h.id, Epoch: first.epoch})
		s.layout, s.counter, s.out, s.piece = first.layout, newCounter(first.layout, 1<<30), first.out, 8
		enc, random := s.encoder(t), mrand.NewChaCha8([32]byte{1})
		var all [][]byte
		for range 9 {
			all = append(all, s.content(t, enc, "honest", random))
		}
		size := len(all[0])
		forged := 0
		for _, p := range plan[:min(len(plan), 40)] {
			c := make([]byte, size)
			raw = raw[copy(c, raw):]
			switch p % 3 {
			case 0: // a value of the attacker's own
			case 1: // a forged share of the honest value
				if forged++; forged > 3 {
					continue
				}
				copy(c, all[0][:s.ciphertext])
			case 2: // the share of another, repeated
				c = bytes.Clone(all[int(p)%9])
			}
			all = append(all, c)
		}
		s.feed(t, func(yield func([]byte) bool) {
			for _, c := range all {
				if !yield(c) {
					return
				}
			}
		})
		var counts outcome
		if err := s.recover(t.Context(), s.dataset("grouped"), &counts); err != nil {
			t.Fatal(err)
		}
		sum := counts.published.Records + s.below + s.forged + s.duplicate + s.invalid[esa.CauseSchema]
		if sum != uint64(len(all)) {
			t.Fatalf("%d reports, %d accounted for: %+v", len(all), sum, s)
		}
		if counts.published.Records < 9 || s.counts.Recovered != 1 {
			t.Fatalf("%d records of %d values", counts.published.Records, s.counts.Recovered)
		}
	})
}

// BenchmarkRecover recovers a million reports, half of them of values that stay
// unreadable, from an engine on the disk.
func BenchmarkRecover(b *testing.B) {
	const reports, shares = 1_000_000, 20
	e, err := local.New(b.TempDir(), local.Options{MemoryBytes: 64 << 20})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	s := newSharing(b, e, shares)
	random := mrand.NewChaCha8([32]byte{1})
	enc := s.encoder(b)
	s.feed(b, func(yield func([]byte) bool) {
		for i := range reports {
			word := fmt.Sprintf("single %d", i)
			if i%2 == 0 {
				word = fmt.Sprintf("often %d", i%(reports/shares/2))
			}
			if !yield(s.content(b, enc, word, random)) {
				return
			}
		}
	})
	b.ResetTimer()
	for range b.N {
		var counts outcome
		if err := s.recover(b.Context(), s.dataset("grouped"), &counts); err != nil {
			b.Fatal(err)
		}
		if counts.published.Records < reports/2 {
			b.Fatalf("%d records", counts.published.Records)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/reports, "ns/report")
}
