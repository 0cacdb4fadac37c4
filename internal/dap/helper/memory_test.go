package helper

import (
	"bytes"
	"errors"
	"io"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/exchange"
)

// waiting is an arrival that a read waits for until the test ends.
func waiting(t *testing.T, c clock.Clock) *exchange.Arrival {
	t.Helper()
	in, out := io.Pipe()
	t.Cleanup(func() { out.Close() })
	return exchange.Arrive(httptest.NewRecorder(), httptest.NewRequest("POST", "/", in), c, defaultPace)
}

// A leader has half of the memory. If two have all of it, a third gets in at the
// cost of a slow sender, and not at the cost of one that only waits for its turn.
func TestMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clock.NewVirtual(time.Unix(0, 0))
		b := newBodies(1000, 10)
		begin := func(peer string, length int64, want Refusal) (*body, *exchange.Arrival) {
			t.Helper()
			a := waiting(t, c)
			one, why := b.begin(peer, a, length)
			if why != want {
				t.Fatalf("%d bytes of %s: %v, want %v", length, peer, why, want)
			}
			return one, a
		}
		ready, _ := begin("a", 500, 0)
		ready.read()
		begin("a", 1, PeerLimit)
		slow, arrival := begin("b", 400, 0)
		begin("b", 101, PeerLimit)
		failed := make(chan error, 1)
		go func() {
			_, err := arrival.Read(make([]byte, 1))
			failed <- err
		}()
		synctest.Wait()
		begin("c", 300, QueueFull)
		c.Advance(time.Second)
		third, _ := begin("c", 300, 0)
		if err := <-failed; !errors.Is(err, exchange.ErrTruncated) {
			t.Errorf("the slow one was read with %v", err)
		}
		slow.end()
		begin("d", 201, QueueFull) // no sender is slow
		ready.end()
		third.end()
		if b.bytes != 0 || len(b.peers) != 0 || len(b.reading) != 0 {
			t.Errorf("in the end there are %d bytes, %v, %v", b.bytes, b.peers, b.reading)
		}
	})
}

// A length that was not announced counts as it grows.
func TestMemoryGrows(t *testing.T) {
	c := clock.NewVirtual(time.Unix(0, 0))
	b := newBodies(4*bodyStep, 10)
	one, _ := b.begin("a", waiting(t, c), -1)
	two, _ := b.begin("a", waiting(t, c), -1)
	n, err := io.Copy(io.Discard, one.meter(bytes.NewReader(make([]byte, 2*bodyStep))))
	if !errors.Is(err, errBusy) || n <= bodyStep {
		t.Errorf("beyond half of the memory after %d bytes: %v", n, err)
	}
	two.end()
	if _, err := io.Copy(io.Discard, one.meter(bytes.NewReader(make([]byte, 3*bodyStep)))); err != nil {
		t.Errorf("alone: %v", err)
	}
	if b.bytes != 3*bodyStep {
		t.Errorf("%d bytes count", b.bytes)
	}
	one.end()
	if b.bytes != 0 {
		t.Errorf("%d bytes count in the end", b.bytes)
	}
}
