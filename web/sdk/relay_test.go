package sdk_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/metric/task"
)

// The metrics whose tasks have a relay.
const (
	relayedSum   = "private.spent"
	relayedCrowd = "private.pages"
)

// pagesTask is a question of the method crowd to shuffler and analyzer.
func (d *deployment) pagesTask(start time.Time) *task.Task {
	d.t.Helper()
	hour := start.Unix() - start.Unix()%3600
	return &task.Task{
		Owner: d.owner.Public(), OwnedBy: "Example Shop", Metric: relayedCrowd, Question: "Which pages?", Consent: "Pages.", Method: task.Crowd,
		Schema:    task.Schema{{Name: "page", Kind: task.String, Max: 32}, {Name: "seconds", Kind: task.Int, Low: 0, High: 1000}},
		Crowd:     task.CrowdRule{Kind: task.Attributes, Fields: []uint8{0}, SaltEpochs: 1},
		Threshold: task.Threshold{Kind: task.Naive, T: 10}, MinBatch: 20, PayloadSize: 64,
		EpochSeconds: 3600, MaxDelay: 540, ClockSkew: 60, PerEpoch: 2, PerCrowd: 1, RetentionDays: 30,
		Hops: []task.Party{d.a.party(d, task.Shuffler), d.b.party(d, task.Analyzer)}, NotBefore: hour, Expires: hour + 240*3600,
	}
}

// visitors are people who spend something and see two pages: one that all see, and one
// of few.
func visitors(n int) (people []person, spent float64) {
	for i := range n {
		page := "/garden"
		if i < 3 {
			page = fmt.Sprintf("/orders/%d", i)
		}
		spent += float64(i)
		people = append(people, person{
			{"add", relayedSum, i},
			{"record", relayedCrowd, map[string]any{"page": page, "seconds": i}},
		})
	}
	return people, spent
}

// checkVisitors holds what collector and analyzer have to what n visitors recorded.
func (d *deployment) checkVisitors(n int, spent float64) {
	d.t.Helper()
	got, reports := d.collected(relayedSum)
	if got["sum"] != spent || reports != n {
		d.t.Errorf("%s: %v of %d reports, want %v of %d", relayedSum, got, reports, spent, n)
	}
	tables := d.b.server.Tables()
	entries, err := tables.Entries(d.t.Context())
	d.must(err)
	var pages []string
	for _, e := range entries {
		for row, err := range tables.Rows(e, analyzer.RecordsTable) {
			d.must(err)
			pages = append(pages, row[1].(string))
		}
	}
	if want := slices.Repeat([]string{"/garden"}, n-3); !slices.Equal(pages, want) {
		d.t.Errorf("pages %q, want %d times /garden", pages, len(want))
	}
}

// TestRelayedWay sends reports of both methods from Node.js by @shoal/sdk/private through
// a relay to real servers. @shoal/sdk refuses their tasks.
func TestRelayedWay(t *testing.T) {
	needsTools(t)
	const n = 40
	d := deploy(t, time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC))
	people, spent := visitors(n)
	epoch := d.clock.Now()
	send := epoch.Add(time.Hour + 9*time.Minute)
	d.settle(send.Sub(epoch))
	p := play{
		Bundle: d.bundle, Owner: task.FormatPublic(d.owner.Public()), Module: "private",
		From: epoch.Add(time.Minute).UnixMilli(), Send: send.UnixMilli(), People: people,
	}
	tool(t, marshal(t, p), "node", filepath.Join("test", "refuse.mjs"), relayedSum, relayedCrowd)
	played(t, p, 2*n, relayedSum, relayedCrowd)
	d.settle(40 * time.Minute)
	d.checkVisitors(n, spent)
}
