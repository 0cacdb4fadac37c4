package server

import (
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/dap/leader"
)

// TestHelperAway: a helper that is away for a day is shown by gauges and the log,
// the leader is ready all the while, and nothing is lost. Loss is counted, too.
func TestHelperAway(t *testing.T) {
	w := newAggregateWorld(t)
	w.pair()
	w.b.start()
	w.a.start()
	w.answer(append(append(repeat("red", 15), repeat("green", 9)...), append(repeat("", 5), "blue")...)...)
	w.b.halt()
	for range 24 {
		w.clock.Forward(w.clock.Now().Add(time.Hour))
		_ = w.tick(w.a) // the helper is away
	}
	w.a.server.refresh(t.Context())
	base := "http://" + w.a.server.Addr("ops")
	_, _, body := get(t, base+"/metrics", "")
	for _, want := range []string{`shoal_helper_wait_seconds{role="leader"} 8`, `shoal_helper_wait_reports{role="leader"} 30`, `shoal_reports_damaged{role="leader"} 0`} {
		if !strings.Contains(string(body), want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	if strings.Contains(string(body), "shoal_reports_lost_total{") {
		t.Error("reports are lost")
	}
	if log := w.log.String(); !strings.Contains(log, "a helper does not answer") || !strings.Contains(log, w.b.url()) {
		t.Error("the log does not name the helper")
	}
	if reasons := w.a.server.unready(t.Context()); len(reasons) != 0 {
		t.Errorf("not ready: %v", reasons)
	}
	w.b.start()
	if err := w.settle(30 * time.Minute); err != nil {
		t.Fatal(err)
	}
	if got := w.results(); got != wantColours {
		t.Errorf("released\n%s", got)
	}
	w.a.server.refresh(t.Context())
	if _, _, body = get(t, base+"/metrics", ""); !strings.Contains(string(body), `shoal_helper_wait_seconds{role="leader"} 0`) {
		t.Error("the gauge still says that the helper is away")
	}
	leaderMetrics{w.a.server.metrics}.Lost(leader.LostExpired, 3)
	if _, _, body = get(t, base+"/metrics", ""); !strings.Contains(string(body), `shoal_reports_lost_total{cause="expired",role="leader"} 3`) {
		t.Error("lost reports are not counted")
	}
}

// TestHelperAwayOverRotation: reports that were sealed to the last day of a key are
// counted when the helper comes back long after that key was replaced.
func TestHelperAwayOverRotation(t *testing.T) {
	w := newAggregateWorld(t)
	w.a.adjust = func(c *Config) { c.Leader.CollectionTimeout = Duration(20 * 24 * time.Hour) }
	const day = 24 * time.Hour
	w.clock.Set(noon.Add(30*time.Minute - 6*day)) // its successor is due a day before the end
	w.b.start()                                   // makes the helper's first keys
	_ = w.tick(w.b)
	w.b.halt()
	w.clock.Set(noon) // half an hour before they are replaced
	w.pair()
	w.b.start()
	w.a.start()
	_ = w.tick(w.a, w.b)
	w.answer(append(append(repeat("red", 15), repeat("green", 9)...), append(repeat("", 5), "blue")...)...)
	w.b.halt()
	away := 9 * day // longer than the key would be kept if no report waited
	for range 3 {
		w.clock.Forward(w.clock.Now().Add(away / 3))
		_ = w.tick(w.a) // the helper is away
	}
	w.b.start()
	if err := w.settle(30 * time.Minute); err != nil {
		t.Fatal(err)
	}
	if got := w.results(); got != wantColours {
		t.Errorf("released\n%s\nwant\n%s", got, wantColours)
	}
}
