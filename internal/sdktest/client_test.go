package sdktest_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal"
	"github.com/shoal-project/shoal/internal/sdktest"
	"github.com/shoal-project/shoal/metric/task"
)

func TestReportsArriveAndSayNothingElse(t *testing.T) {
	h := newFirstHop(t)
	o, v := h.options(t)
	c := sdktest.Open(t, o)
	want := map[string]bool{}
	for i := range 20 {
		p := fmt.Sprint("program", i)
		if got := c.Record("api_use", sdktest.Use(p, "files", "time")); !got.Queued() || got.Reports != 1 {
			t.Fatal(got)
		}
		want[p+" 5"] = true
	}
	if len(h.requests) != 0 {
		t.Fatalf("recording made %d requests", len(h.requests))
	}
	if sent, _ := sdktest.Drain(t, c, v, midnight.Add(3*day)); sent != 20 {
		t.Fatalf("sent %d of 20", sent)
	}
	posts := h.posts()
	size := len(posts[0].body)
	remotes := map[string]bool{}
	order := ""
	for _, p := range posts {
		text := h.read(t, h.task("api_use"), p.body)
		if !want[text] {
			t.Errorf("the analyzer reads %q, again or never recorded", text)
		}
		delete(want, text)
		order += text
		remotes[p.remote] = true
		// Threat: a header, or a length, that differs between clients or records.
		if len(p.body) != size {
			t.Errorf("a report of %d bytes among those of %d", len(p.body), size)
		}
		if got := headers(p.header); got != "Connection: close; Content-Length: "+fmt.Sprint(size)+"; Content-Type: application/shoal-report;v=1" {
			t.Errorf("headers of a report: %s", got)
		}
		if p.path != "/tasks/"+taskID(t, h.task("api_use"))+"/reports" {
			t.Errorf("path %s", p.path)
		}
	}
	if len(remotes) != 20 {
		t.Errorf("20 reports came by %d connections", len(remotes))
	}
	if order == ordered(20) {
		t.Error("the reports came in the order of recording")
	}
	if h.gets() > 13 {
		t.Errorf("keys were fetched %d times in 12 hours", h.gets())
	}
	for _, r := range h.requests {
		if r.method == http.MethodGet && headers(r.header) != "Connection: close" {
			t.Errorf("headers of the request for keys: %s", headers(r.header))
		}
	}
}

func ordered(n int) string {
	s := ""
	for i := range n {
		s += fmt.Sprintf("program%d 5", i)
	}
	return s
}

func headers(h http.Header) string {
	var lines []string
	for k, v := range h {
		lines = append(lines, k+": "+strings.Join(v, ","))
	}
	slices.Sort(lines)
	return strings.Join(lines, "; ")
}

func taskID(t *testing.T, tk *task.Task) string {
	t.Helper()
	id, err := tk.ID()
	if err != nil {
		t.Fatal(err)
	}
	return id.String()
}

// Threats: a retry with other bytes counts twice; a way around a party that is
// down weakens silently.
func TestRetriesAreByteEqualAndGoNowhereElse(t *testing.T) {
	h := newFirstHop(t)
	var elsewhere int
	other := newFirstHop(t)
	other.setAnswer(func(http.ResponseWriter, *http.Request) bool { elsewhere++; return false })
	o, v := h.options(t)
	o.Dir = t.TempDir()
	c := sdktest.Open(t, o)
	if got := c.Record("api_use", sdktest.Use("cat", "files")); !got.Queued() {
		t.Fatal(got)
	}
	fails := []func(w http.ResponseWriter, r *http.Request){
		func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTooManyRequests) },
		func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
		},
		func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL+r.URL.Path, http.StatusPermanentRedirect)
		},
		func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusOK) }, // not the 201 that was agreed
		func(w http.ResponseWriter, r *http.Request) {
			if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
				conn.Close() // the answer is lost
			}
		},
	}
	posts := 0
	h.setAnswer(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost {
			return false
		}
		http.SetCookie(w, &http.Cookie{Name: "id", Value: "1234"})
		posts++
		if posts > len(fails) {
			return false
		}
		fails[posts-1](w, r)
		return true
	})
	for range len(fails) {
		pass, err := c.SendDue(t.Context())
		for err == nil && pass.Sent == 0 && pass.Waiting == 0 { // first it is not due yet
			v.Forward(pass.Next)
			pass, err = c.SendDue(t.Context())
		}
		if err != nil || pass.Sent != 0 || pass.Waiting != 1 || pass.Err == nil {
			t.Fatalf("after a failure: %+v, %v", pass, err)
		}
		if err := c.Close(); err != nil { // every try by another process
			t.Fatal(err)
		}
		v.Forward(pass.Next)
		c = sdktest.Open(t, o)
	}
	if pass, err := c.SendDue(t.Context()); err != nil || pass.Sent != 1 {
		t.Fatalf("at last: %+v, %v", pass, err)
	}
	list := h.posts()
	for _, p := range list {
		if !bytes.Equal(p.body, list[0].body) {
			t.Error("a retry sent other bytes")
		}
		if p.header.Get("Cookie") != "" {
			t.Error("a cookie was sent")
		}
	}
	if len(list) != len(fails)+1 || elsewhere != 0 {
		t.Errorf("%d requests, want %d; %d to another server", len(list), len(fails)+1, elsewhere)
	}
}

// What answers in a party's place (a proxy, a firewall, a server that is being
// set up) and refuses without a problem type of ours makes no report be dropped.
func TestStrangeRefusalsAreWaitedOut(t *testing.T) {
	h := newFirstHop(t)
	o, v := h.options(t)
	c := sdktest.Open(t, o)
	c.Record("api_use", sdktest.Use("cat", "files"))
	strange := []func(w http.ResponseWriter){
		func(w http.ResponseWriter) { http.Error(w, "Forbidden", http.StatusForbidden) },
		func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotFound) },
		func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"type":"about:blank"}`)
		},
		func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusConflict)
			io.WriteString(w, `{"type":"urn:shoal:problem:`+strings.Repeat("x", 100_000)+`"}`)
		},
	}
	posts := 0
	h.setAnswer(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost || posts == len(strange) {
			return false
		}
		strange[posts](w)
		posts++
		return true
	})
	if sent, refused := sdktest.Drain(t, c, v, midnight.Add(2*day)); sent != 1 || refused != 0 || posts != len(strange) {
		t.Errorf("sent %d, refused %d after %d strange answers", sent, refused, posts)
	}
	for _, p := range h.posts() {
		if !bytes.Equal(p.body, h.posts()[0].body) {
			t.Error("a retry sent other bytes")
		}
	}
}

// Invariant 3: with keys that are missing, expired, badly signed or of another
// party nothing is sent, and the report waits.
func TestBadKeysMakeReportsWait(t *testing.T) {
	stranger := newParty(t)
	from, to := midnight.Add(-day), midnight.Add(30*day)
	cases := map[string]func(h *firstHop) [][]byte{
		"expired": func(h *firstHop) [][]byte {
			return [][]byte{h.shuffler.config(t, task.Shuffler, from, midnight), h.analyzer.config(t, task.Analyzer, from, to)}
		},
		"of another party": func(h *firstHop) [][]byte {
			return [][]byte{h.shuffler.config(t, task.Shuffler, from, to), stranger.config(t, task.Analyzer, from, to)}
		},
		"of another role": func(h *firstHop) [][]byte {
			return [][]byte{h.shuffler.config(t, task.Analyzer, from, to), h.analyzer.config(t, task.Analyzer, from, to)}
		},
		"in the wrong order": func(h *firstHop) [][]byte {
			return [][]byte{h.analyzer.config(t, task.Analyzer, from, to), h.shuffler.config(t, task.Shuffler, from, to)}
		},
		"one missing": func(h *firstHop) [][]byte {
			return [][]byte{h.shuffler.config(t, task.Shuffler, from, to)}
		},
		"altered": func(h *firstHop) [][]byte {
			b := h.shuffler.config(t, task.Shuffler, from, to)
			b[60] ^= 1
			return [][]byte{b, h.analyzer.config(t, task.Analyzer, from, to)}
		},
	}
	for name, configs := range cases {
		t.Run(name, func(t *testing.T) {
			h := newFirstHop(t)
			h.configs = func() [][]byte { return configs(h) }
			o, v := h.options(t)
			c := sdktest.Open(t, o)
			c.Record("api_use", sdktest.Use("cat", "files"))
			if sent, refused := sdktest.Drain(t, c, v, midnight.Add(20*time.Hour)); sent != 0 || refused != 0 {
				t.Errorf("sent %d, refused %d", sent, refused)
			}
			if n := len(h.posts()); n != 0 {
				t.Errorf("%d reports were sent", n)
			}
			h.mu.Lock()
			h.configs = nil // the party is back in order
			h.mu.Unlock()
			if sent, _ := sdktest.Drain(t, c, v, midnight.Add(2*day)); sent != 1 {
				t.Errorf("afterwards %d were sent", sent)
			}
		})
	}
}

func TestRefusalsDropAndFetchKeysAgain(t *testing.T) {
	h := newFirstHop(t)
	o, v := h.options(t)
	c := sdktest.Open(t, o)
	for i := range 4 {
		c.Record("api_use", sdktest.Use(fmt.Sprint("p", i), "files"))
	}
	posts := 0
	h.setAnswer(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost {
			return false
		}
		posts++
		switch posts {
		case 1:
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"type":"urn:shoal:problem:unknown-key","title":"x"}`)
		case 2:
			w.Header().Set("Content-Type", "application/problem+json; charset=utf-8")
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			fmt.Fprint(w, `{"type":"urn:shoal:problem:too-large"}`)
		case 3:
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusConflict)
			fmt.Fprint(w, `{"type":"urn:shoal:problem:wrong-epoch"}`)
		default:
			return false
		}
		h.shuffler.rotate(t)
		return true
	})
	sent, refused := sdktest.Drain(t, c, v, midnight.Add(2*day))
	if sent != 1 || refused != 3 || len(h.posts()) != 4 || h.gets() < 4 {
		t.Errorf("sent %d, refused %d, %d posts, keys fetched %d times", sent, refused, len(h.posts()), h.gets())
	}
	h.read(t, h.task("api_use"), h.posts()[3].body) // sealed to the key of after the last rotation
	st, err := c.Stats()
	want := map[string]uint64{"unknown-key": 1, "too-large": 1, "wrong-epoch": 1}
	if err != nil || fmt.Sprint(st.Dropped) != fmt.Sprint(want) || st.Sent != 1 {
		t.Errorf("Stats = %+v, %v", st, err)
	}
}

func TestOutcomes(t *testing.T) {
	h := newFirstHop(t)
	o, v := h.options(t)
	late := h.task("late")
	late.NotBefore = midnight.Add(day).Unix()
	pairs := h.task("pairs")
	pairs.Schema = task.Schema{{Name: "seen", Kind: task.List, Elem: task.Enum, Max: 4, Values: []string{"a", "b"}}}
	pairs.Fragment = task.Fragment{Kind: task.Tuples, M: 2}
	pairs.Crowd = task.CrowdRule{Kind: task.Payload, SaltEpochs: 1}
	o.Bundle = h.bundle(t, h.task("api_use"), late, pairs, h.task("not.declared"))
	o.Metrics = []string{"api_use", "late", "pairs"}
	o.MaxEntries = 4
	var observed []shoal.Status
	o.Observe = func(_ string, _ any, got shoal.Outcome) { observed = append(observed, got.Status) }
	c := sdktest.Open(t, o)
	check := func(metric string, v any, want shoal.Status, reports int) {
		t.Helper()
		got := c.Record(metric, v)
		if got.Status != want || got.Reports != reports || got.Queued() != (got.Err == nil) {
			t.Errorf("Record(%s) = %v with %d reports, want %v with %d", metric, got, got.Reports, want, reports)
		}
		if observed[len(observed)-1] != want {
			t.Errorf("Observe was told %v, want %v", observed, want)
		}
		if got.Err != nil && strings.Contains(got.Err.Error(), "alice") {
			t.Errorf("the error holds a value: %v", got.Err)
		}
	}
	check("api_use", sdktest.Use("cat", "files"), shoal.Queued, 1)
	check("api_use", sdktest.Use("cat", "time"), shoal.CapReached, 0)
	check("api_use", sdktest.Use("dog", "alice"), shoal.Invalid, 0)
	check("api_use", 7, shoal.Invalid, 0)
	check("not.declared", sdktest.Use("cat", "files"), shoal.Unknown, 0)
	check("late", sdktest.Use("cat", "files"), shoal.NotYet, 0)
	check("pairs", map[string]any{"seen": []string{"a"}}, shoal.Nothing, 0)
	check("pairs", map[string]any{"seen": []string{"a", "b", "b", "b"}}, shoal.Queued, 2)
	check("api_use", sdktest.Use("dog", "time"), shoal.Queued, 1)
	check("api_use", sdktest.Use("eel", "time"), shoal.Full, 0)
	v.Forward(midnight.Add(20 * day))
	check("api_use", sdktest.Use("cat", "files"), shoal.Expired, 0)
	if err := c.SetMode(shoal.Off); err != nil {
		t.Fatal(err)
	}
	check("api_use", sdktest.Use("cat", "files"), shoal.TurnedOff, 0)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	check("api_use", sdktest.Use("cat", "files"), shoal.Closed, 0)
	if err := c.SetMode(shoal.On); err == nil {
		t.Error("SetMode after Close succeeded")
	}
}

func TestFailingRandomnessRecordsNothing(t *testing.T) {
	h := newFirstHop(t)
	o, _ := h.options(t)
	noisy := h.task("api_use")
	noisy.Schema[1].Flip = 1000
	o.Bundle = h.bundle(t, noisy)
	broken := false
	o.Rand = readerFunc(func(p []byte) (int, error) {
		if broken {
			return 0, errors.New("no entropy")
		}
		return len(p), nil
	})
	c := sdktest.Open(t, o)
	broken = true
	if got := c.Record("api_use", sdktest.Use("cat", "files")); got.Status != shoal.Failed {
		t.Errorf("Record without randomness = %v", got)
	}
	broken = false
	if list, err := c.Pending(); err != nil || len(list) != 0 {
		t.Errorf("Pending = %v, %v", list, err)
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestOpenRefuses(t *testing.T) {
	h, other := newFirstHop(t), newFirstHop(t)
	good, _ := h.options(t)
	forged := bytes.Clone(good.Bundle)
	forged[len(forged)/2] ^= 1
	aggregate := h.task("sum")
	aggregate.Method = task.Aggregate
	for name, change := range map[string]func(*shoal.Options){
		"no owner":       func(o *shoal.Options) { o.Owner = "" },
		"foreign owner":  func(o *shoal.Options) { o.Owner = task.FormatPublic(other.owner.identity.Public()) },
		"forged bundle":  func(o *shoal.Options) { o.Bundle = forged },
		"no bundle":      func(o *shoal.Options) { o.Bundle = nil },
		"no metrics":     func(o *shoal.Options) { o.Metrics = nil },
		"unknown metric": func(o *shoal.Options) { o.Metrics = []string{"api_use", "api_usage"} },
		"unknown mode":   func(o *shoal.Options) { o.Mode = 9 },
		"no directory":   func(o *shoal.Options) { o.Dir = "/dev/null/outbox" },
	} {
		o := good
		change(&o)
		if c, err := shoal.Open(t.Context(), o); err == nil {
			c.Close()
			t.Errorf("%s: Open succeeded", name)
		}
	}
}

// An app whose telemetry could not be opened goes on without: no method of a nil
// client panics.
func TestNilClient(t *testing.T) {
	var c *shoal.Client
	if m := c.Mode(); m != shoal.Off {
		t.Errorf("Mode = %v", m)
	}
	for name, o := range map[string]shoal.Outcome{
		"Record": c.Record("m", nil), "Count": c.Count("m"), "Add": c.Add("m", 1), "Observe": c.Observe("m", 1), "Vector": c.Vector("m", nil),
	} {
		if o.Reports != 0 || o.Err == nil {
			t.Errorf("%s = %+v, want a refusal", name, o)
		}
	}
	if list, err := c.Pending(); list != nil || err != nil {
		t.Errorf("Pending = %v, %v", list, err)
	}
	if n, err := c.Drop(nil); n != 0 || err != nil {
		t.Errorf("Drop = %d, %v", n, err)
	}
	if st, err := c.Stats(); st.Waiting != 0 || err != nil {
		t.Errorf("Stats = %+v, %v", st, err)
	}
	if p, err := c.SendDue(t.Context()); p.Sent != 0 || err != nil {
		t.Errorf("SendDue = %+v, %v", p, err)
	}
	if err := c.SetMode(shoal.On); err == nil {
		t.Error("SetMode has no error: a person's decision would be lost in silence")
	}
	if err := c.SetDetail("m", true); err == nil {
		t.Error("SetDetail has no error: a person's decision would be lost in silence")
	}
	if err := c.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
	// The list above is complete.
	if n := reflect.TypeOf(c).NumMethod(); n != 13 {
		t.Errorf("Client has %d methods: call the new one on a nil client here", n)
	}
}

// TestCapsCountOverTheSaltWindow covers the threat of one person sending one
// report an epoch and forming a crowd alone, since epochs of one salt window may be
// merged.
func TestCapsCountOverTheSaltWindow(t *testing.T) {
	h := newFirstHop(t)
	o, v := h.options(t)
	tk := h.task("api_use")
	tk.Crowd.SaltEpochs, tk.PerEpoch = 3, 2
	o.Bundle = h.bundle(t, tk)
	start, end := tk.CapPeriod(tk.EpochAt(midnight))
	if end.Sub(start) != 3*day {
		t.Fatalf("caps count from %v to %v", start, end)
	}
	v.Set(end.Add(time.Hour))
	c := sdktest.Open(t, o)
	record := func(program string, want shoal.Status) {
		t.Helper()
		if got := c.Record("api_use", sdktest.Use(program, "files")); got.Status != want {
			t.Errorf("at %v: %s is %v, want %v", v.Now(), program, got, want)
		}
	}
	record("cat", shoal.Queued)
	v.Forward(v.Now().Add(day))
	record("cat", shoal.CapReached) // per_crowd
	record("dog", shoal.Queued)
	v.Forward(v.Now().Add(day))
	record("cat", shoal.CapReached)
	record("cow", shoal.CapReached) // per_epoch
	v.Forward(v.Now().Add(day))
	record("cat", shoal.Queued) // a new window
}
