package shoal_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-project/shoal"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/outbox"
)

func TestReportsArriveAndSayNothingElse(t *testing.T) {
	h := newFirstHop(t)
	o, v := h.options(t)
	c := open(t, o)
	want := map[string]bool{}
	for i := range 20 {
		p := fmt.Sprint("program", i)
		if got := c.Record("api_use", use(p, "files", "time")); !got.Queued() || got.Reports != 1 {
			t.Fatal(got)
		}
		want[p+" 5"] = true
	}
	if len(h.requests) != 0 {
		t.Fatalf("recording made %d requests", len(h.requests))
	}
	if sent, _ := drain(t, c, v, midnight.Add(3*day)); sent != 20 {
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
	c := open(t, o)
	if got := c.Record("api_use", use("cat", "files")); !got.Queued() {
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
		c = open(t, o)
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
			c := open(t, o)
			c.Record("api_use", use("cat", "files"))
			if sent, refused := drain(t, c, v, midnight.Add(20*time.Hour)); sent != 0 || refused != 0 {
				t.Errorf("sent %d, refused %d", sent, refused)
			}
			if n := len(h.posts()); n != 0 {
				t.Errorf("%d reports were sent", n)
			}
			h.mu.Lock()
			h.configs = nil // the party is back in order
			h.mu.Unlock()
			if sent, _ := drain(t, c, v, midnight.Add(2*day)); sent != 1 {
				t.Errorf("afterwards %d were sent", sent)
			}
		})
	}
}

func TestRefusalsDropAndFetchKeysAnew(t *testing.T) {
	h := newFirstHop(t)
	o, v := h.options(t)
	c := open(t, o)
	for i := range 4 {
		c.Record("api_use", use(fmt.Sprint("p", i), "files"))
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
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		case 3:
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusConflict)
			io.WriteString(w, `{"type":"urn:shoal:problem:`+strings.Repeat("x", 100_000)+`"}`)
		default:
			return false
		}
		h.shuffler.rotate(t)
		return true
	})
	sent, refused := drain(t, c, v, midnight.Add(2*day))
	if sent != 1 || refused != 3 || len(h.posts()) != 4 || h.gets() < 4 {
		t.Errorf("sent %d, refused %d, %d posts, keys fetched %d times", sent, refused, len(h.posts()), h.gets())
	}
	h.read(t, h.task("api_use"), h.posts()[3].body) // sealed to the key of after the last rotation
	st, err := c.Stats()
	want := map[outbox.Cause]uint64{"unknown-key": 1, "http-413": 1, "http-409": 1}
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
	c := open(t, o)
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
	check("api_use", use("cat", "files"), shoal.Queued, 1)
	check("api_use", use("cat", "time"), shoal.CapReached, 0)
	check("api_use", use("dog", "alice"), shoal.Invalid, 0)
	check("api_use", 7, shoal.Invalid, 0)
	check("not.declared", use("cat", "files"), shoal.Unknown, 0)
	check("late", use("cat", "files"), shoal.NotYet, 0)
	check("pairs", map[string]any{"seen": []string{"a"}}, shoal.Nothing, 0)
	check("pairs", map[string]any{"seen": []string{"a", "b", "b", "b"}}, shoal.Queued, 2)
	check("api_use", use("dog", "time"), shoal.Queued, 1)
	check("api_use", use("eel", "time"), shoal.Full, 0)
	v.Forward(midnight.Add(20 * day))
	check("api_use", use("cat", "files"), shoal.Expired, 0)
	if err := c.SetMode(shoal.Off); err != nil {
		t.Fatal(err)
	}
	check("api_use", use("cat", "files"), shoal.TurnedOff, 0)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	check("api_use", use("cat", "files"), shoal.Closed, 0)
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
	c := open(t, o)
	broken = true
	if got := c.Record("api_use", use("cat", "files")); got.Status != shoal.Failed {
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

// Threat: what was collected without consent leaves when consent is given for
// what comes later.
func TestModes(t *testing.T) {
	h := newFirstHop(t)
	o, v := h.options(t)
	o.Dir = t.TempDir() + "/outbox"
	o.Mode = shoal.Off
	c := open(t, o)
	if list, err := c.Pending(); len(list) != 0 || err != nil {
		t.Fatalf("Pending while off = %v, %v", list, err)
	}
	set := func(m shoal.Mode) {
		t.Helper()
		if err := c.SetMode(m); err != nil || c.Mode() != m {
			t.Fatalf("SetMode(%v): %v, mode %v", m, err, c.Mode())
		}
	}
	set(shoal.Local)
	c.Record("api_use", use("local", "files"))
	set(shoal.On)
	c.Record("api_use", use("on", "files"))
	c.Record("api_use", use("dropped", "files"))
	if n, err := c.Drop(func(e outbox.Entry) bool { return strings.Contains(e.Recorded, "dropped") }); n != 1 || err != nil {
		t.Errorf("Drop = %d, %v", n, err)
	}
	list, err := c.Pending()
	if err != nil || len(list) != 2 {
		t.Fatalf("Pending = %v, %v", list, err)
	}
	for _, e := range list {
		held := strings.Contains(e.Recorded, "local")
		if (e.Stage == outbox.Held) != held || !strings.Contains(e.Encoded, `apis={"files"}`) || e.Destination != h.URL {
			t.Errorf("entry %+v", e)
		}
		if strings.Contains(e.Recorded+e.Encoded, "alice") {
			t.Errorf("the outbox holds what the schema does not name: %s", e.Recorded)
		}
	}
	set(shoal.Local) // what waits is held for good
	set(shoal.On)
	c.Record("api_use", use("on again", "files"))
	if sent, _ := drain(t, c, v, midnight.Add(20*time.Hour)); sent != 1 {
		t.Errorf("sent %d", sent)
	}
	for _, p := range h.posts() {
		if got := h.read(t, h.task("api_use"), p.body); got != "on again 1" {
			t.Errorf("sent %q", got)
		}
	}
	set(shoal.Off)
	set(shoal.On)
	if list, err := c.Pending(); len(list) != 0 || err != nil {
		t.Errorf("Pending after off = %v, %v", list, err)
	}
	if pass, err := c.SendDue(t.Context()); pass.Sent != 0 || err != nil {
		t.Errorf("SendDue = %+v, %v", pass, err)
	}
	if got := c.Record("api_use", use("on", "files")); got.Status != shoal.CapReached {
		t.Errorf("turning off and on gave a second contribution: %v", got)
	}
}

func TestModeWords(t *testing.T) {
	for _, m := range []shoal.Mode{shoal.Off, shoal.Local, shoal.On} {
		if got, err := shoal.ParseMode(m.String()); got != m || err != nil {
			t.Errorf("ParseMode(%q) = %v, %v", m, got, err)
		}
	}
	if _, err := shoal.ParseMode("ON"); err == nil {
		t.Error("ParseMode accepted ON")
	}
}

// A hop without a network: it answers in the same process.
type inProcess struct{ handler http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	w := &recorder{header: http.Header{}, code: http.StatusOK}
	p.handler.ServeHTTP(w, r)
	return &http.Response{StatusCode: w.code, Header: w.header, Body: io.NopCloser(&w.body), Request: r}, nil
}

type recorder struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(code int)        { r.code = code }
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }

// The background sender and the agent, by the machine's clock: each sends what
// is due at its time, and neither what is not.
func TestBackgroundSenderAndAgent(t *testing.T) {
	h := newFirstHop(t)
	start := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // where synctest begins
	tk := h.task("api_use")
	tk.NotBefore, tk.Expires = start.Unix(), start.Add(10*day).Unix()
	configs := [][]byte{}
	for i, p := range []*party{h.shuffler, h.analyzer} {
		key := p.key.Public()
		key.NotBefore, key.NotAfter = start.Unix(), start.Add(20*day).Unix()
		b, err := task.SignKeyConfig(&task.KeyConfig{
			Role: tk.Hops[i].Role, Identity: p.identity.Public(), Keys: []task.Key{key},
			NotBefore: start.Unix(), NotAfter: start.Add(20 * day).Unix(),
		}, p.identity)
		if err != nil {
			t.Fatal(err)
		}
		configs = append(configs, b)
	}
	h.configs = func() [][]byte { return configs }
	transport := inProcess{h.Config.Handler}
	bundle := h.bundle(t, tk)
	for _, agent := range []bool{false, true} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			before := len(h.posts())
			o := shoal.Options{
				Bundle: bundle, Owner: task.FormatPublic(h.owner.identity.Public()), Metrics: []string{"api_use"},
				Dir: dir, Mode: shoal.On, NoSender: agent, Transport: transport, Clock: clock.System(),
			}
			c := open(t, o)
			var wg sync.WaitGroup
			stop := make(chan struct{})
			if agent {
				ctx, cancel := contextUntil(t, stop)
				defer cancel()
				wg.Go(func() {
					if err := shoal.Agent(ctx, shoal.AgentOptions{Dir: dir, Transport: transport}); err != nil {
						t.Error(err)
					}
				})
			}
			for i := range 10 {
				if got := c.Record("api_use", use(fmt.Sprint("p", i), "files")); !got.Queued() {
					t.Fatal(got)
				}
			}
			list, err := c.Pending()
			if err != nil || len(list) != 10 {
				t.Fatalf("Pending = %v, %v", list, err)
			}
			for i, e := range list {
				time.Sleep(time.Until(e.NotBefore.Add(-time.Second)))
				synctest.Wait()
				if n := len(h.posts()) - before; n > i {
					t.Fatalf("%d were sent when %d were due", n, i)
				}
			}
			time.Sleep(time.Minute + time.Second)
			synctest.Wait()
			if n := len(h.posts()) - before; n != 10 {
				t.Errorf("sent %d of 10", n)
			}
			close(stop)
			wg.Wait()
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// Close persists and does not flush.
func TestCloseKeepsAndSendsNothing(t *testing.T) {
	h := newFirstHop(t)
	o, v := h.options(t)
	o.Dir, o.NoSender = t.TempDir(), false
	c := open(t, o)
	for i := range 10 {
		c.Record("api_use", use(fmt.Sprint("p", i), "files"))
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if len(h.posts()) != 0 {
		t.Fatal("Close sent reports")
	}
	o.NoSender = true
	c = open(t, o)
	if sent, _ := drain(t, c, v, midnight.Add(2*day)); sent != 10 {
		t.Errorf("the next client sent %d of 10", sent)
	}
}

func TestConcurrentRecordsAndModes(t *testing.T) {
	h := newFirstHop(t)
	o, _ := h.options(t)
	o.NoSender = false
	c := open(t, o)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 10 {
				c.Record("api_use", use(fmt.Sprint(i, "-", j), "files"))
			}
		})
	}
	wg.Go(func() {
		for i := range 20 {
			if err := c.SetMode(shoal.Mode(i % 3)); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Go(func() {
		for range 20 {
			if _, err := c.SendDue(t.Context()); err != nil && !errors.Is(err, outbox.ErrClosed) && !strings.Contains(err.Error(), "canceled") {
				t.Error(err)
			}
		}
	})
	wg.Wait()
}
