package server

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap/client"
	"github.com/shoal-project/shoal/internal/dap/taskconfig"
	"github.com/shoal-project/shoal/metric/task"
)

// shortKeys lets keys live for three hours.
func shortKeys(c *Config) {
	c.Keys.Lifetime, c.Keys.Overlap = Duration(3*time.Hour), Duration(time.Hour)
	c.Keys.Announce, c.Keys.Grace = Duration(time.Hour), Duration(time.Hour)
}

// shortKeys lets the keys of both organisations live so, the collector's first one, too.
func (w *world) shortKeys() {
	w.t.Helper()
	w.a.adjust, w.b.adjust = shortKeys, shortKeys
	c := w.a.config()
	identity, err := LoadIdentity(c.collectorIdentityPath())
	must(w.t, err)
	keys, err := newCollectorKeys(c, identity, rand.Reader)
	must(w.t, err)
	must(w.t, keys.create())
	_, err = keys.rotate(w.clock.Now(), nil)
	must(w.t, err)
}

// keyIDs are the keys of an organisation's roles: role, ID and state.
func keyIDs(o *org) []string {
	var ids []string
	for _, k := range o.server.keys() {
		ids = append(ids, k.Role+" "+k.ID+" "+k.State)
	}
	return ids
}

// hour lets an hour go by in which both organisations work every ten minutes.
func (w *world) hour() {
	w.t.Helper()
	for range 6 {
		w.clock.Advance(10 * time.Minute)
		if err := w.tick(w.b, w.a); err != nil {
			w.t.Fatal(err)
		}
	}
}

// sealedEarlier makes a report, sealed to keys that were fetched before, of the present
// epoch.
func (w *world) sealedEarlier(c *client.Client, keys client.Keys) error {
	w.t.Helper()
	made, err := taskconfig.New(w.task, w.id)
	if err != nil {
		return err
	}
	q, err := w.task.Aggregation.Measure()
	if err != nil {
		return err
	}
	tally := q.Empty()
	if err := tally.Observe("blue", rand.Reader); err != nil {
		return err
	}
	id, err := client.NewReportID(rand.Reader)
	if err != nil {
		return err
	}
	at, err := made.Config().TimePrecision.Time(w.clock.Now())
	if err != nil {
		return err
	}
	r, err := client.Make(made, tally, keys, id, at, rand.Reader)
	if err != nil {
		return err
	}
	rejected, err := c.UploadReports(w.t.Context(), r)
	if err == nil && len(rejected) > 0 {
		err = errors.New(rejected[0].Error.String())
	}
	return err
}

// reportsOf is the number of reports of the epoch that begins at noon plus so many hours.
func (w *world) reportsOf(hour int) string {
	epoch := noon.Add(time.Duration(hour) * time.Hour).Format(time.RFC3339)
	m := regexp.MustCompile(epoch + `,answered,(\d+),`).FindStringSubmatch(w.results())
	if m == nil {
		return "none"
	}
	return m[1]
}

// TestKeysRotateInEachRole: keys of leader, helper and collector live as long as the
// configuration says. Uploads, aggregations and collections go on over many rotations
// and restarts; what is sealed to a key that has ended is counted within the grace.
func TestKeysRotateInEachRole(t *testing.T) {
	w := newAggregateWorld(t)
	w.shortKeys()
	w.pair()
	w.b.start()
	w.a.start()
	made, err := taskconfig.New(w.task, w.id)
	must(t, err)
	c := client.New(made, client.Options{Leader: w.task.Hops[0].Identity, Helper: w.task.Hops[1].Identity, Clock: w.clock})
	must(t, w.tick(w.b, w.a))
	firstKeys, err := c.Keys(t.Context())
	must(t, err)
	seen, most := map[string]map[string]bool{}, 0
	const hours = 12
	for h := range hours {
		w.answer(append(append(repeat("red", 15), repeat("green", 9)...), "blue")...)
		if h == 5 { // the first keys have ended 2 hours ago
			if err := w.sealedEarlier(c, firstKeys); err != nil {
				t.Errorf("a report that is sealed to keys that have ended: %v", err)
			}
		}
		if h == 7 {
			w.a.halt()
			w.b.halt()
			w.b.start()
			w.a.start()
		}
		w.hour()
		count := map[string]int{}
		for _, id := range append(keyIDs(w.a), keyIDs(w.b)...) {
			f := strings.Fields(id)
			if seen[f[0]] == nil {
				seen[f[0]] = map[string]bool{}
			}
			seen[f[0]][f[1]] = true
			count[f[0]+f[2]]++
		}
		for _, role := range []string{"leader", "helper", "collector"} {
			if count[role+"active"] == 0 || count[role+"active"] > 2 {
				t.Errorf("hour %d: %d active keys of the %s", h, count[role+"active"], role)
			}
		}
		most = max(most, count["collectoractive"]+count["collectorexpired"])
	}
	for range 2 {
		w.hour()
	}
	for h := range hours {
		want := "25"
		if h == 5 {
			want = "26"
		}
		if got := w.reportsOf(h); got != want {
			t.Errorf("hour %d: %s reports are released, want %s", h, got, want)
		}
	}
	for role, ids := range seen {
		most := 8
		if role == task.Gateway.String() { // each of the two has one
			most *= 2
		}
		if n := len(ids); n < 4 || n > most {
			t.Errorf("%d keys of the %s in %d hours: %v", n, role, hours, ids)
		}
	}
	if most > 5 {
		t.Errorf("%d keys of the collector are kept", most)
	}
	// What leader and helper seal to is a key that the collector offers.
	for _, o := range []*org{w.a, w.b} {
		s, err := roleOf[*aggregator](o.server).registry.Lookup(t.Context(), made.ID())
		must(t, err)
		if want := fmt.Sprintf("collector %d active", s.Entry.Collector.ID); !slices.Contains(keyIDs(w.a), want) {
			t.Errorf("the %s does not seal to a key that the collector offers: %s", roleOf[*aggregator](o.server).role, want)
		}
	}
	if strings.Contains(w.log.String(), "a peer seals to a key of the collector that has ended") {
		t.Error("a peer that follows the announcements is named in the log")
	}
}

// unreached is a transport that does not reach a path.
type unreached string

func (p unreached) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path == string(p) {
		return nil, errors.New("not reached")
	}
	return http.DefaultTransport.RoundTrip(r)
}

// TestHelperThatDoesNotAskForKeys: a helper of the version before, or one that cannot
// reach the collector, goes on with the key in the card. The collector keeps that key and
// says so, and everything is counted.
func TestHelperThatDoesNotAskForKeys(t *testing.T) {
	w := newAggregateWorld(t)
	w.shortKeys()
	w.b.client = &http.Client{Transport: unreached("/keys/collector")}
	w.pair()
	w.b.start()
	w.a.start()
	must(t, w.tick(w.b, w.a))
	card := keyIDs(w.a)[slices.IndexFunc(keyIDs(w.a), func(s string) bool { return strings.HasPrefix(s, "collector") })]
	for h := range 8 {
		w.answer(append(append(repeat("red", 15), repeat("green", 9)...), "blue")...)
		if h == 6 { // what the collector knows of its peers is forgotten
			w.a.halt()
			w.a.start()
		}
		w.hour()
	}
	w.hour()
	w.hour()
	for h := range 8 {
		if got := w.reportsOf(h); got != "25" {
			t.Errorf("hour %d: %s reports are released, want 25", h, got)
		}
	}
	if want := strings.Replace(card, "active", "expired", 1); !slices.Contains(keyIDs(w.a), want) {
		t.Errorf("the key of the card is gone: have %v, want %s", keyIDs(w.a), want)
	}
	for _, line := range []string{"a collector does not announce its keys", "a peer seals to a key of the collector that has ended"} {
		if !strings.Contains(w.log.String(), line) {
			t.Errorf("the log does not say: %s", line)
		}
	}
}

// TestCollectorKeysOfTheVersionBefore: a key file that the version before has written is
// read, and written in the form of this one when a key is added.
func TestCollectorKeysOfTheVersionBefore(t *testing.T) {
	const text = "shoal-dap-key:BwAgAAEAAQAgXDm6DNj2n5gbtP0KM88-nj-WD7YtY-ljzPXMf6k-2SJ4tCig5GG51rJZ2VqZuadWjuyejk8xMyLIoWvinTBSdA"
	w := newAggregateWorld(t)
	c := w.a.config()
	file := fmt.Sprintf("# Report keys of one role. Written by shoal; keep secret, do not edit.\n%s %d\n", text, noon.AddDate(0, -3, 0).Unix())
	must(t, os.WriteFile(c.roleKeysPath(task.Collector), []byte(file), 0o600))
	w.pair()
	w.a.start()
	must(t, w.tick(w.a))
	var states []string
	for _, k := range w.a.server.keys() {
		if k.Role == "collector" {
			states = append(states, k.State)
		}
	}
	if !slices.Equal(states, []string{"expired", "active"}) {
		t.Errorf("keys are %v, want the old one, which is kept, and a new one", states)
	}
	b, err := os.ReadFile(c.roleKeysPath(task.Collector))
	must(t, err)
	if strings.Contains(string(b), "shoal-dap-key:") || strings.Count(string(b), "shoal-hpke-key:") != 2 {
		t.Errorf("the file holds %d lines of the present form", strings.Count(string(b), "shoal-hpke-key:"))
	}
	code, _, body := get(t, w.a.url()+"/keys/collector", "")
	if code != http.StatusOK || len(body) == 0 {
		t.Errorf("keys/collector answers %d", code)
	}
}

// TestKeyGauges: each role has the gauge, and doctor fails when keys do not rotate.
func TestKeyGauges(t *testing.T) {
	crowd, aggregates := newWorld(t), newAggregateWorld(t)
	aggregates.pair()
	for _, w := range []*world{crowd, aggregates} {
		w.b.start()
		w.a.start()
		must(t, w.tick(w.b, w.a))
		for _, o := range []*org{w.a, w.b} {
			o.server.refresh(t.Context())
			check := func(want Level) {
				t.Helper()
				c := o.config()
				c.Ops.Listen = o.server.Addr("ops")
				found := map[string]Finding{}
				for _, f := range Doctor(t.Context(), c, Options{Clock: w.clock}) {
					found[f.Check] = f
				}
				for _, r := range c.Roles {
					if f := found[r.String()+" key rotation"]; f.Level != want {
						t.Errorf("%s: %+v, want %s", r, f, want)
					}
				}
			}
			check(OK)
			_, _, body := get(t, "http://"+o.server.Addr("ops")+"/metrics", "")
			for _, r := range o.config().Roles {
				if want := fmt.Sprintf("shoal_key_seconds_left{role=%q} ", r); !strings.Contains(string(body), want) {
					t.Errorf("there is no gauge %s", want)
				}
			}
			before := w.clock.Now()
			w.clock.Advance(6*24*time.Hour + 12*time.Hour) // and nothing rotates
			o.server.refresh(t.Context())
			check(Failure)
			w.clock.Set(before)
		}
	}
}
