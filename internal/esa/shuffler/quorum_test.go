package shuffler_test

import (
	"crypto/rand"
	"fmt"
	"testing"

	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/internal/esa/encoder"
	"github.com/shoal-project/shoal/metric/task"
)

// quorumChain is a chain whose words are secret until five clients agree.
func quorumChain(t *testing.T, kind task.CrowdKind) *chain {
	t.Helper()
	return newChain(t, func(t *task.Task) {
		t.Schema = task.Schema{{Name: "word", Kind: task.String, Max: 40}}
		t.Crowd = task.CrowdRule{Kind: kind, SaltEpochs: 1}
		t.Threshold = task.Threshold{Kind: task.Naive, T: 5}
		t.Encoding = task.Encoding{Kind: task.Quorum, Shares: 5}
		t.PayloadSize = 128
		t.MinBatch = 5
	})
}

// say sends the reports of n clients in an epoch, and returns the last report.
func (c *chain) say(t *testing.T, epoch, n int, word string) []byte {
	t.Helper()
	enc, err := encoder.New(c.Task, c.ID)
	must(t, err)
	var keys []task.Key
	for _, p := range c.Parties {
		keys = append(keys, p.Keys.Private[0].Public())
	}
	var report []byte
	for range n {
		fragments, err := enc.Encode(map[string]any{"word": word}, rand.Reader)
		must(t, err)
		report, err = enc.Seal(fragments[0], c.Epoch(epoch), keys)
		must(t, err)
		if status := c.Post(t, report); status != 201 {
			t.Fatalf("report was answered %d", status)
		}
	}
	return report
}

// readable returns how often each word was released, by epoch.
func (c *chain) readable(t *testing.T) (map[string]int, []*analyzer.Manifest) {
	t.Helper()
	words := map[string]int{}
	var manifests []*analyzer.Manifest
	entries, err := c.a.Tables().Entries(t.Context())
	must(t, err)
	for i, e := range entries {
		manifests = append(manifests, e.Manifest)
		for row, err := range c.a.Tables().Rows(e, analyzer.RecordsTable) {
			must(t, err)
			words[fmt.Sprint(i, " ", row[1])]++
		}
	}
	return words, manifests
}

// TestQuorumBehindCrowds goes the whole way: what passes the threshold is read;
// what a second epoch brings is not added to the first; a replay is dropped.
func TestQuorumBehindCrowds(t *testing.T) {
	c := quorumChain(t, task.Payload)
	again := c.say(t, 0, 7, "often")
	for range 3 {
		c.Post(t, again)
	}
	c.say(t, 0, 4, "half here, half there")
	c.Clock.Forward(c.Task.Start(c.Epoch(1)))
	c.say(t, 1, 4, "half here, half there")
	c.say(t, 1, 5, "just")
	c.closeEpoch(1)
	c.finish(t)
	words, manifests := c.readable(t)
	if want := map[string]int{"0 often": 7, "1 just": 5}; fmt.Sprint(words) != fmt.Sprint(want) {
		t.Errorf("released %v, want %v", words, want)
	}
	for i, m := range manifests {
		if q := m.Analyzer.Quorum; q == nil || len(c.exact.of[m.Batch].Invalid) != 0 || q.Recovered != 1 || q.Shares != 5 {
			t.Errorf("epoch %d: %+v, quorum %+v", i, m.Shuffler, q)
		}
	}
	all, err := c.store.Batches(t.Context())
	must(t, err)
	for i, b := range all {
		if want := uint64(3 - 3*i); b.Counts.Duplicate != want || b.Counts.SuppressedReports != 4 {
			t.Errorf("epoch %d: the operator's counts are %+v, want %d repeated reports and 4 suppressed", i, b.Counts, want)
		}
	}
}

// TestQuorumAlone: with one crowd of all, every report reaches the analyzer, and
// what fewer than five clients report stays unreadable there.
func TestQuorumAlone(t *testing.T) {
	c := quorumChain(t, task.Constant)
	c.say(t, 0, 6, "often")
	c.say(t, 0, 4, "rare")
	c.say(t, 0, 1, "single")
	c.closeEpoch(0)
	c.finish(t)
	words, manifests := c.readable(t)
	if want := map[string]int{"0 often": 6}; fmt.Sprint(words) != fmt.Sprint(want) {
		t.Errorf("released %v, want %v", words, want)
	}
	m, exact := manifests[0].Analyzer, c.exact.of[manifests[0].Batch]
	if want := (analyzer.QuorumCounts{Shares: 5, Recovered: 1}); *m.Quorum != want || exact.Values != 3 || exact.Invalid[analyzer.BelowQuorum] != 5 {
		t.Errorf("counts %+v, %+v, %+v", m, m.Quorum, exact)
	}
}
