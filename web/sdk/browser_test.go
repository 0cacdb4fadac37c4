package sdk_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/shoal-project/shoal/metric/task"
)

// browser returns the path of Chromium, or skips the test without it.
func browser(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("SHOAL_CHROMIUM"); path != "" {
		return path
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatal("Chromium is missing, and continuous integration must not do without")
	}
	t.Skip("no Chromium was found: the web SDK was not tested in a browser (set SHOAL_CHROMIUM)")
	return ""
}

// pages serves this folder as a shop would, with a strict policy of content, and lets
// the test move the servers' clock.
func (d *deployment) pages(forward func()) http.Handler {
	mux := http.NewServeMux()
	files := http.StripPrefix("/sdk/", http.FileServer(http.Dir(".")))
	mux.HandleFunc("GET /sdk/", func(w http.ResponseWriter, r *http.Request) {
		workers := "'self'"
		if r.URL.RawQuery == "no-worker" {
			workers = "'none'"
		}
		w.Header().Set("Content-Security-Policy", "default-src 'self'; img-src data:; connect-src 'self' http://127.0.0.1:*; worker-src "+workers)
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "of the shop", Path: "/"})
		if filepath.Ext(r.URL.Path) == ".mjs" {
			w.Header().Set("Content-Type", "text/javascript")
		}
		files.ServeHTTP(w, r)
	})
	mux.HandleFunc("GET /sdk/example/tasks.bundle", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(d.bundle) })
	mux.HandleFunc("GET /sdk/example/owner.txt", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(task.FormatPublic(d.owner.Public())))
	})
	mux.HandleFunc("POST /control/forward", func(w http.ResponseWriter, _ *http.Request) {
		forward()
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

// TestBrowser plays people and customers of the example's shop in Chromium, against
// real servers, and holds what was collected to what was recorded.
func TestBrowser(t *testing.T) {
	needsTools(t)
	chromium := browser(t)
	start := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	d := deploy(t, start)
	send := start.Add(time.Hour + 9*time.Minute)
	site := httptest.NewServer(d.pages(func() { d.settle(send.Sub(start)) }))
	defer site.Close()
	people, want := crowdOf(30)
	visitors, visitorsSpent := visitors(26)
	in := struct {
		Site        string   `json:"site"`
		Play        play     `json:"play"`
		Visitors    []person `json:"visitors"`
		Relay       string   `json:"relay"`
		Chromium    string   `json:"chromium"`
		Screenshots string   `json:"screenshots"`
	}{
		Site: site.URL, Chromium: chromium, Screenshots: os.Getenv("SHOAL_SCREENSHOTS"), Visitors: visitors, Relay: d.relay.config.URL,
		Play: play{
			Bundle: d.bundle, Owner: task.FormatPublic(d.owner.Public()), People: people,
			From: start.Add(time.Minute).UnixMilli(), Send: send.UnixMilli(),
		},
	}
	out := tool(t, marshal(t, in), "node", filepath.Join("test", "browser.mjs"))
	var figures struct {
		Golden, People map[string]float64
		RecordMillis   float64 `json:"recordMillis"`
	}
	if err := json.Unmarshal(out, &figures); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	t.Logf("%s", out)
	d.settle(40 * time.Minute)
	d.checkVisitors(len(visitors), visitorsSpent)
	// The two customers bought a book and a game each; the tabs and the pages that
	// lacked something came after them.
	for metric, add := range map[string]map[string]float64{
		"shop.checkout": {"count": 2}, "shop.spent": {"sum": 84 + 40}, "shop.departments": {"books": 2, "games": 2},
	} {
		for item, x := range add {
			want[metric][item] += x
		}
		got, _ := d.collected(metric)
		delete(got, "answered")
		for item, x := range got {
			if x != want[metric][item] {
				t.Errorf("%s, %q: collected %v, recorded %v", metric, item, x, want[metric][item])
			}
		}
	}
}
