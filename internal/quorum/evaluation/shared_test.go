package evaluation_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/crypto/voprf"
	"github.com/shoal-project/shoal/internal/quorum/evaluation"
	"github.com/shoal-project/shoal/metric/task"
)

// TestOneKeyAnEpoch covers a party that gives a client another key within an epoch, to
// know the client by it or to keep its values from those of others: the client takes one, and
// nothing of the other.
func TestOneKeyAnEpoch(t *testing.T) {
	w := newWorld(t, 2, 5)
	other, err := voprf.GenerateKey(w.rand)
	if err != nil {
		t.Fatal(err)
	}
	honest := true
	w.key = func(k *voprf.PublicKey) *voprf.PublicKey {
		if honest {
			return k
		}
		return other.Public()
	}
	if err := w.open(); err != nil {
		t.Fatal(err)
	}
	w.values = [][]byte{[]byte("one")}
	next, err := w.tick()
	for err == nil && len(w.sent) == 0 {
		w.clock.Forward(next)
		next, err = w.tick()
	}
	if err != nil || len(w.sent) != 1 {
		t.Fatalf("%d requests, %v", len(w.sent), err)
	}
	honest = false
	w.values = append(w.values, []byte("two"))
	w.fail = func(*http.Request) (*http.Response, error) { return nil, nil } // failures are expected
	var last error
	for w.clock.Now().Before(start.Add(24 * time.Hour)) {
		if next, err = w.tick(); err != nil {
			last = err
		}
		w.clock.Forward(next)
	}
	if last == nil || !strings.Contains(last.Error(), "another key for this epoch") {
		t.Errorf("the last error: %v", last)
	}
	if len(w.sent) != 1 {
		t.Errorf("%d requests, want that of before", len(w.sent))
	}
	if _, err := w.client.Output(w.task.ID, epoch, w.values[1]); !errors.Is(err, evaluation.ErrMissing) {
		t.Errorf("an output under the other key: %v", err)
	}
}

// TestSharedFile covers an app and its agent on one outbox: what one has evaluated the other
// can seal, they do not repeat each other's requests, and the number of requests stays that
// of one client.
func TestSharedFile(t *testing.T) {
	w := newWorld(t, 3, 6)
	dir := t.TempDir()
	var both []*evaluation.Client
	for range 2 {
		w.options = func(o *evaluation.Options) { o.FS, o.Dir = nil, dir }
		if err := w.open(); err != nil {
			t.Fatal(err)
		}
		both = append(both, w.client)
	}
	w.values = [][]byte{[]byte("value")}
	for n := 0; w.clock.Now().Before(start.Add(24 * time.Hour)); n++ {
		w.client = both[n%2]
		next, err := w.tick()
		if err != nil {
			t.Fatal(err)
		}
		w.clock.Forward(next)
	}
	if len(w.sent) != 3 || w.shown != 3 {
		t.Errorf("%d requests with %d presentations, want 3", len(w.sent), w.shown)
	}
	for i, c := range both {
		if _, err := c.Output(w.task.ID, epoch, w.values[0]); err != nil {
			t.Errorf("client %d: %v", i, err)
		}
	}
}

// TestForgotten: an output that no record waits for any more is gone from the file when
// its epoch is over, and one that a record waits for stays.
func TestForgotten(t *testing.T) {
	w := newWorld(t, 1, 7)
	if err := w.open(); err != nil {
		t.Fatal(err)
	}
	w.values = [][]byte{[]byte("waits"), []byte("sent")}
	w.until(start.Add(24*time.Hour - time.Second))
	for _, v := range w.values {
		if _, err := w.client.Output(w.task.ID, epoch, v); err != nil {
			t.Fatal(err)
		}
	}
	gone := w.values[1]
	w.values = w.values[:1]
	w.clock.Forward(start.Add(24*time.Hour + time.Minute))
	if _, err := w.tick(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.client.Output(w.task.ID, epoch, w.values[0]); err != nil {
		t.Error(err)
	}
	if _, err := w.client.Output(w.task.ID, epoch, gone); !errors.Is(err, evaluation.ErrMissing) {
		t.Errorf("the output of a record that was sent: %v", err)
	}
}

// TestExhausted covers a crash that has lost a presentation: the epoch has one request
// less, and the next epoch as many as any.
func TestExhausted(t *testing.T) {
	w := newWorld(t, 2, 8)
	w.options = func(o *evaluation.Options) {
		inner := o.Present
		o.Present = func(ctx context.Context, tk *task.Task, id task.ID, e task.Epoch, request [32]byte) ([]byte, error) {
			if e == epoch && w.shown == 1 {
				return nil, fmt.Errorf("lost: %w", evaluation.ErrExhausted)
			}
			return inner(ctx, tk, id, e, request)
		}
	}
	if err := w.open(); err != nil {
		t.Fatal(err)
	}
	w.fail = func(*http.Request) (*http.Response, error) { return nil, nil }
	w.until(start.Add(24 * time.Hour))
	if len(w.sent) != 1 {
		t.Errorf("%d requests, want 1", len(w.sent))
	}
	w.until(start.Add(48 * time.Hour))
	if len(w.sent) != 3 {
		t.Errorf("%d requests after the next epoch, want 3", len(w.sent))
	}
}
