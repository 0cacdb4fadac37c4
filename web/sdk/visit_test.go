package sdk_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/shoal-project/shoal/metric/task"
)

// firefox returns the path of Firefox, or skips the test without it.
func firefox(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("SHOAL_FIREFOX"); path != "" {
		return path
	}
	for _, name := range []string{"firefox-esr", "firefox"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatal("Firefox is missing, and continuous integration must not do without")
	}
	t.Skip("no Firefox was found: the web SDK was not tested in it (set SHOAL_FIREFOX)")
	return ""
}

// TestVisit has each browser open one page, which makes the golden files, the vectors
// and random suites, and plays people of tasks with and without a relay against real
// servers.
func TestVisit(t *testing.T) {
	needsTools(t)
	for _, b := range []struct {
		kind string
		find func(*testing.T) string
	}{{"chromium", browser}, {"firefox", firefox}} {
		t.Run(b.kind, func(t *testing.T) { visit(t, b.kind, b.find(t)) })
	}
}

func visit(t *testing.T, kind, program string) {
	start := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	d := deploy(t, start)
	send := start.Add(time.Hour + 9*time.Minute)
	people, want := crowdOf(30)
	visitors, spent := visitors(26)
	suites := []*suite{randomSuite(t, 200, 12)}
	in := marshal(t, map[string]any{
		"visitors": visitors, "suites": suites,
		"play": play{
			Bundle: d.bundle, Owner: task.FormatPublic(d.owner.Public()), People: people,
			From: start.Add(time.Minute).UnixMilli(), Send: send.UnixMilli(),
		},
	})
	var output bytes.Buffer
	mux := http.NewServeMux()
	mux.Handle("/", d.pages(func() { d.settle(send.Sub(start)) }))
	mux.Handle("GET /vectors/", http.StripPrefix("/vectors/", http.FileServer(http.Dir(filepath.Join("..", "..")))))
	mux.HandleFunc("GET /control/input", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(in) })
	mux.HandleFunc("POST /control/output", func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(&output, r.Body) })
	site := httptest.NewServer(mux)
	defer site.Close()
	tool(t, marshal(t, map[string]string{"url": site.URL + "/sdk/test/page.html", "kind": kind, "program": program}), "node", filepath.Join("test", "visit.mjs"))
	var out struct {
		Figures json.RawMessage
		Results []*results
	}
	must(t, json.Unmarshal(output.Bytes(), &out))
	if len(out.Results) != len(suites) {
		t.Fatalf("%d results, want %d", len(out.Results), len(suites))
	}
	for i, s := range suites {
		compare(t, s, out.Results[i])
		open(t, s, out.Results[i])
	}
	t.Logf("%s: %s", kind, out.Figures)
	d.settle(40 * time.Minute)
	d.check(want, len(people))
	d.checkVisitors(len(visitors), spent)
}
