package shuffler_test

import (
	"bytes"
	"crypto/rand"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/shuffler"
	"github.com/shoal-project/shoal/metric/task"
)

// What answers in the next hop's place and accepts everything (a proxy with
// its own page, a parked domain) has not got the batch: it must wait.
func TestOnlyAReceiptCounts(t *testing.T) {
	c := newChain(t, nil)
	for n := range 4 {
		c.Post(t, c.Report(t, c.Epoch(0), "word", int64(n)))
	}
	c.closeEpoch(0)
	for _, page := range []string{"", "<html>It works!</html>", esa.BatchID{1}.String()} {
		c.Net.Serve(c.Parties[1], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, page) }))
		if err := c.s.Tick(t.Context()); err == nil {
			t.Errorf("%q was taken for a receipt", page)
		}
		c.Clock.Advance(time.Hour)
	}
	must(t, c.startAnalyzer(t))
	c.finish(t)
	equal(t, c.released(t), map[string][]int64{"word": {0, 1, 2, 3}})
}

// unread fails the test if a handler reads it.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body of a stranger was read")
	return 0, io.EOF
}

// Anybody can reach the address for batches. A sender without the identity key of
// the hop before must not cost disk or time.
func TestStrangersBatchIsNotRead(t *testing.T) {
	c := newChain(t, nil)
	url := "/tasks/" + c.ID.String() + "/batches/" + esa.NewBatchID(c.ID, c.Epoch(0), 0).String()
	for _, seal := range []string{"", "x", string(bytes.Repeat([]byte("A"), 128))} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPut, url, unread{t})
		r.Header.Set("Content-Type", "application/shoal-batch;v=1")
		r.Header.Set("Shoal-Batch-Seal", seal)
		c.a.Handler().ServeHTTP(w, r)
		if w.Code != http.StatusBadRequest {
			t.Errorf("seal %q: answer %d, want 400", seal, w.Code)
		}
	}
}

// A next hop that is away for long is asked by one batch at a time, so that
// those that wait for it do not hold up the rest; and all arrive in the end.
func TestAwayHopIsAskedOnce(t *testing.T) {
	c := newChain(t, func(t *task.Task) { t.Threshold.T = 1 })
	asked := 0
	c.Net.Serve(c.Parties[1], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		w.WriteHeader(http.StatusBadGateway)
	}))
	const epochs = 6
	want := []int64{}
	for i := range epochs {
		c.Clock.Forward(c.Task.Start(c.Epoch(i)))
		if status := c.Post(t, c.Report(t, c.Epoch(i), "word", int64(i))); status != 201 {
			t.Fatalf("report was answered %d", status)
		}
		want = append(want, int64(i))
	}
	c.closeEpoch(epochs - 1)
	for range 5 {
		asked = 0
		if err := c.s.Tick(t.Context()); err == nil || asked != 1 {
			t.Errorf("error %v, asked %d times in one round; want an error and 1", err, asked)
		}
		c.Clock.Advance(time.Hour)
	}
	if states := c.states(t); slices.ContainsFunc(states, func(s shuffler.State) bool { return s != shuffler.Processed }) {
		t.Errorf("batches are %v, want all to be ready", states)
	}
	must(t, c.startAnalyzer(t))
	c.finish(t)
	c.Clock.Advance(time.Hour)
	c.finish(t)
	equal(t, c.released(t), map[string][]int64{"word": want})
}

// Keys that were lost while a batch waited (a key file that was not in the
// backup) must not turn reports that were acknowledged into invalid ones.
func TestLostKeysAreWaitedFor(t *testing.T) {
	c := newChain(t, nil)
	p := c.Parties[0]
	for n := range 4 {
		c.Post(t, c.Report(t, c.Epoch(0), "word", int64(n)))
	}
	fresh, err := esa.GenerateKey(esa.X25519, c.Clock.Now(), c.Clock.Now().AddDate(1, 0, 0), rand.Reader)
	must(t, err)
	must(t, c.s.SetKeys(shuffler.Keys{Private: []*esa.PrivateKey{fresh}, Config: p.Keys.Config}))
	c.closeEpoch(0)
	if err := c.s.Tick(t.Context()); err == nil {
		t.Error("a batch whose keys are missing was processed")
	}
	must(t, c.s.SetKeys(p.Keys))
	c.Clock.Advance(time.Hour)
	c.finish(t)
	equal(t, c.released(t), map[string][]int64{"word": {0, 1, 2, 3}})
}
