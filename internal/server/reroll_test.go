package server

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/esa"
)

// rerolls is how often servers are stopped between the drawing of noise and the moment
// at which somebody has what it is part of. Two draws of the noise of these tests are
// equal with a probability below 1/4, so that other noise after a restart is missed
// with one below 10^-7.
const rerolls = 12

// errStopped ends what a server does at the point at which it is stopped.
var errStopped = errors.New("stopped here by the test")

// stoppingDisk fails when a hand-over file gets its name, before or after it has it,
// and keeps what the file holds.
type stoppingDisk struct {
	durable.FS
	left  int // how often
	drawn [][]byte
}

func (d *stoppingDisk) Rename(from, to string) error {
	if filepath.Base(to) != "handover.batch" {
		return d.FS.Rename(from, to)
	}
	b, err := durable.ReadFile(d.FS, from)
	if err != nil {
		return err
	}
	d.drawn = append(d.drawn, b)
	if d.left == 0 {
		return d.FS.Rename(from, to)
	}
	d.left--
	if d.left%2 == 0 {
		return errStopped
	}
	return errors.Join(d.FS.Rename(from, to), errStopped)
}

// TestCrowdNoiseOutlivesRestarts: a shuffler that is stopped after it has drawn the
// noise of a batch, and before anybody has the batch, draws the same again.
func TestCrowdNoiseOutlivesRestarts(t *testing.T) {
	w := newWorld(t)
	fruits := w.manyCrowds()
	disk := &stoppingDisk{FS: w.a.fs, left: rerolls}
	w.a.fs = disk
	w.b.start()
	w.a.start()
	w.crowdSender().send(fruits)
	w.closeEpoch()
	for range rerolls {
		if err := w.tick(w.a); err == nil || !strings.Contains(err.Error(), errStopped.Error()) {
			t.Fatalf("the shuffler was not stopped: %v", err)
		}
		w.a.halt()
		w.a.start()
	}
	must(t, w.tick(w.a, w.b))
	if len(disk.drawn) != rerolls+1 {
		t.Fatalf("the batch was made %d times, want %d", len(disk.drawn), rerolls+1)
	}
	entries, err := w.b.server.Tables().Entries(t.Context())
	must(t, err)
	if len(entries) != 1 || entries[0].Manifest == nil {
		t.Fatalf("%d batches are released, want 1", len(entries))
	}
	for i, b := range disk.drawn {
		h, err := esa.PeekBatchHeader(b)
		must(t, err)
		if told := *entries[0].Manifest.Shuffler.Reports; h.Total != told {
			t.Errorf("before restart %d the number of reports was drawn as %d, released is %d", i, h.Total, told)
		}
		if !bytes.Equal(b, disk.drawn[0]) {
			t.Errorf("before restart %d another batch was made than at first: %d and %d rows", i, h.Released, len(b))
		}
	}
}

// lossyNetwork loses answers of some paths after the other side has given them, and
// keeps what they held.
type lossyNetwork struct {
	base  http.RoundTripper
	mu    sync.Mutex
	left  map[string]int      // by part of a path
	heard map[string][][]byte // by path
}

func (n *lossyNetwork) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := n.base.RoundTrip(r)
	if err != nil || resp.StatusCode/100 != 2 {
		return resp, err
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	n.mu.Lock()
	defer n.mu.Unlock()
	for part := range n.left {
		if len(body) == 0 || !strings.Contains(r.URL.Path, part) {
			continue
		}
		n.heard[r.URL.Path] = append(n.heard[r.URL.Path], body)
		if n.left[part] > 0 {
			n.left[part]--
			return nil, errStopped
		}
	}
	return resp, nil
}

func (n *lossyNetwork) lost() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	left := 0
	for _, k := range n.left {
		left += k
	}
	return left
}

// TestSumNoiseOutlivesRestarts: helper and leader that are stopped after they have
// drawn the noise of a batch, and before the other side has it, give the same again.
func TestSumNoiseOutlivesRestarts(t *testing.T) {
	w := newAggregateWorld(t)
	tasks := w.manyColours(3600)
	w.pair()
	// Shares are sealed with fresh keys, so that no two that are drawn are equal: few
	// restarts do. Of each question the helper's share is lost, and the result.
	const rerolls = 3
	network := &lossyNetwork{base: http.DefaultTransport, heard: map[string][][]byte{}, left: map[string]int{"/aggregate_shares": 2 * rerolls, "/collection_jobs/": 2 * rerolls}}
	w.a.client = &http.Client{Transport: network}
	w.b.start()
	w.a.start()
	for _, q := range tasks {
		w.colour(q, w.uploader(q), 0, 0)
	}
	w.clock.Forward(w.clock.Now().Add(62 * time.Minute))
	for i := 0; network.lost() > 0 && i < 12*rerolls; i++ {
		w.clock.Forward(w.clock.Now().Add(10 * time.Minute))
		_ = w.tick(w.b, w.a) // it fails, for its answers are lost
		w.a.halt()
		w.b.halt()
		w.b.start()
		w.a.start()
	}
	must(t, w.settle(30*time.Minute))
	for _, q := range tasks {
		if sums := w.sums(t, q); len(sums) != 1 {
			t.Errorf("%d batches of %s are released, want 1", len(sums), q.Metric)
		}
	}
	all := map[string]int{}
	for path, bodies := range network.heard {
		for part := range network.left {
			if strings.Contains(path, part) {
				all[part] += len(bodies)
			}
		}
		if slices.ContainsFunc(bodies, func(b []byte) bool { return !bytes.Equal(b, bodies[0]) }) {
			t.Errorf("of %d answers from %s some have other noise", len(bodies), path)
		}
	}
	if len(network.heard) != 2*len(tasks) || all["/aggregate_shares"] <= 2*rerolls || all["/collection_jobs/"] <= 2*rerolls {
		t.Errorf("%d paths, %v answers, want two of each question and more than %d answers", len(network.heard), all, 2*rerolls)
	}
}
