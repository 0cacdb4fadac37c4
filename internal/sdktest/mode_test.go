package sdktest_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-project/shoal"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/outbox"
	"github.com/shoal-project/shoal/internal/sdktest"
	"github.com/shoal-project/shoal/metric/task"
)

// Threat: what was collected without consent leaves when consent is given for
// what comes later.
func TestModes(t *testing.T) {
	h := newFirstHop(t)
	o, v := h.options(t)
	o.Dir = t.TempDir() + "/outbox"
	o.Mode = shoal.Off
	c := sdktest.Open(t, o)
	if list, err := c.Pending(); len(list) != 0 || err != nil {
		t.Fatalf("Pending while off = %v, %v", list, err)
	}
	if _, err := os.Stat(o.Dir); err == nil {
		t.Error("a client that is off made an outbox")
	}
	set := func(m shoal.Mode) {
		t.Helper()
		if err := c.SetMode(m); err != nil || c.Mode() != m {
			t.Fatalf("SetMode(%v): %v, mode %v", m, err, c.Mode())
		}
	}
	set(shoal.Local)
	c.Record("api_use", sdktest.Use("local", "files"))
	set(shoal.On)
	c.Record("api_use", sdktest.Use("on", "files"))
	c.Record("api_use", sdktest.Use("dropped", "files"))
	if n, err := c.Drop(func(e shoal.Entry) bool { return strings.Contains(e.Recorded, "dropped") }); n != 1 || err != nil {
		t.Errorf("Drop = %d, %v", n, err)
	}
	list, err := c.Pending()
	if err != nil || len(list) != 2 {
		t.Fatalf("Pending = %v, %v", list, err)
	}
	for _, e := range list {
		held := strings.Contains(e.Recorded, "local")
		if (e.Stage == shoal.Held) != held || !strings.Contains(e.Encoded, `apis={"files"}`) || e.Destination != h.URL {
			t.Errorf("entry %+v", e)
		}
		if strings.Contains(e.Recorded+e.Encoded, "alice") {
			t.Errorf("the outbox holds what the schema does not name: %s", e.Recorded)
		}
	}
	set(shoal.Local) // what waits is held permanently
	set(shoal.On)
	c.Record("api_use", sdktest.Use("on again", "files"))
	if sent, _ := sdktest.Drain(t, c, v, midnight.Add(20*time.Hour)); sent != 1 {
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
	if got := c.Record("api_use", sdktest.Use("on", "files")); got.Status != shoal.CapReached {
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
			c := sdktest.Open(t, o)
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
				if got := c.Record("api_use", sdktest.Use(fmt.Sprint("p", i), "files")); !got.Queued() {
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
	c := sdktest.Open(t, o)
	for i := range 10 {
		c.Record("api_use", sdktest.Use(fmt.Sprint("p", i), "files"))
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if len(h.posts()) != 0 {
		t.Fatal("Close sent reports")
	}
	o.NoSender = true
	c = sdktest.Open(t, o)
	if sent, _ := sdktest.Drain(t, c, v, midnight.Add(2*day)); sent != 10 {
		t.Errorf("the next client sent %d of 10", sent)
	}
}

func TestConcurrentRecordsAndModes(t *testing.T) {
	h := newFirstHop(t)
	o, _ := h.options(t)
	o.NoSender = false
	c := sdktest.Open(t, o)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 10 {
				c.Record("api_use", sdktest.Use(fmt.Sprint(i, "-", j), "files"))
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

func TestNilClientRecordsNothing(t *testing.T) {
	var c *shoal.Client
	if got := c.Record("api_use", sdktest.Use("cat")); got.Status != shoal.TurnedOff || c.Mode() != shoal.Off {
		t.Errorf("a nil client: %v, mode %v", got, c.Mode())
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
