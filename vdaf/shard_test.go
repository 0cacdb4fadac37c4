package vdaf

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/shoal-project/shoal/crypto/field"
)

// TestShardReuse: scratch memory that has served other reports, in other
// contexts and from other goroutines, changes nothing.
func TestShardReuse(t *testing.T) {
	for kind := range kinds {
		used := drawShard(t, kind)
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() {
				for i := range 6 {
					seed, ctx := uint64(10*g+i), []byte("task")[:1+i/2]
					got, err := used.shard(i%used.count, ctx, source(seed), Nonce{byte(i)})
					if err != nil {
						t.Error(err)
						return
					}
					fresh := drawShard(t, kind)
					want, err := fresh.shard(i%used.count, ctx, source(seed), Nonce{byte(i)})
					if err != nil {
						t.Error(err)
						return
					}
					if !reflect.DeepEqual(got, want) {
						t.Errorf("%s: report %d of goroutine %d differs from that of a fresh instance", used.in.Name(), i, g)
					}
				}
			})
		}
		wg.Wait()
	}
}

func drawShard(t *testing.T, kind int) trial {
	t.Helper()
	r := rand.New(rand.NewPCG(uint64(kind), 7))
	tr, err := drawTrial(kind, func(lo, hi uint64) uint64 {
		if hi-lo == ^uint64(0) {
			return r.Uint64()
		}
		return lo + r.Uint64()%(hi-lo+1)
	})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// TestShardResultsAreApart: no share can be reached through another one, whose
// owner might append to it or print its capacity.
func TestShardResultsAreApart(t *testing.T) {
	for _, tr := range small(t) {
		s, err := tr.shard(0, nil, source(1), Nonce{})
		if err != nil {
			t.Fatal(err)
		}
		for i, b := range append([][]byte{s.PublicShare}, s.InputShares...) {
			if cap(b) != len(b) {
				t.Errorf("%s: part %d has %d bytes and room for %d", tr.in.Name(), i, len(b), cap(b))
			}
		}
	}
}

// TestShardErases: the scratch memory that waits for the next report holds
// nothing of the last one, not even if sharding failed half way. An attacker that
// reads the client's memory later learns no measurement from it.
func TestShardErases(t *testing.T) {
	for _, tr := range small(t) {
		for _, fail := range []bool{false, true} {
			s, err := tr.in.engine().sharder([]byte("erase"))
			if err != nil {
				t.Fatal(err)
			}
			s.encoded()[0] = 1
			if fail {
				half := bytes.NewReader(make([]byte, tr.in.Sizes().Rand/2))
				_, err = s.shard(iotest.DataErrReader(half), Nonce{1})
			} else {
				_, err = s.shard(source(3), Nonce{1})
			}
			if (err != nil) != fail {
				t.Fatalf("%s: error %v", tr.in.Name(), err)
			}
			s.release()
			switch s := s.(type) {
			case *sharding[field.F64]:
				erased(t, tr.in.Name(), s)
			case *sharding[field.F128]:
				erased(t, tr.in.Name(), s)
			}
		}
	}
}

func erased[E field.Elem](t *testing.T, name string, s *sharding[E]) {
	t.Helper()
	var zero E
	for i, v := range s.secretElems {
		for _, x := range v {
			if x != zero {
				t.Fatalf("%s: vector %d is not erased", name, i)
			}
		}
	}
	for i, v := range s.secretBytes {
		for _, x := range v {
			if x != 0 {
				t.Fatalf("%s: bytes %d are not erased", name, i)
			}
		}
	}
	fresh, err := newXOFRunner(s.x.kind)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(s.x, fresh) {
		t.Errorf("%s: the XOF is not erased", name)
	}
}

// TestShardRefuses: a measurement out of range and a source that fails.
func TestShardRefuses(t *testing.T) {
	in, err := Sum(10)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Shard(source(1), nil, Nonce{}, 11); err == nil {
		t.Error("a measurement above the maximum is sharded")
	}
	broken := errors.New("no randomness")
	if _, err := in.Shard(iotest.ErrReader(broken), nil, Nonce{}, 3); !errors.Is(err, broken) {
		t.Errorf("error %v, want the source's", err)
	}
	if _, err := in.Shard(source(1), make([]byte, 1<<16), Nonce{}, 3); err == nil {
		t.Error("an application context of 65,536 bytes is accepted")
	}
}

// TestShardAllocates: besides the results, which are three objects.
func TestShardAllocates(t *testing.T) {
	in, err := Histogram(10, 3)
	if err != nil {
		t.Fatal(err)
	}
	random := source(1)
	n := testing.AllocsPerRun(100, func() {
		if _, err := in.Shard(random, nil, Nonce{}, 4); err != nil {
			t.Fatal(err)
		}
	})
	if n > 3 {
		t.Errorf("%g allocations a report, want 3", n)
	}
}
