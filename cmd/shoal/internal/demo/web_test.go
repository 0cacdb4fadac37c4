package demo

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/console"
)

// TestWeb plays the question about pages and queries, small, and holds the
// answer against the truth: nothing private leaves a device, nothing that few
// people saw is released, and what many saw is.
func TestWeb(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w, err := Browse(ctx, Browsing{Seed: 3, People: 160, Visits: 40, Scale: 0.08})
	if err != nil {
		t.Fatal(err)
	}
	r, err := w.Play(ctx, Config{Dir: t.TempDir(), Start: time.Date(2027, 3, 1, 10, 20, 0, 0, time.UTC), Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	checkWebConsole(t, w)
	if r.PrivateMet == 0 || r.PrivateOut != 0 || r.SecretMet == 0 || r.SecretSeen != 0 {
		t.Errorf("private pages: %d met, %d left; secret links: %d met, %d released", r.PrivateMet, r.PrivateOut, r.SecretMet, r.SecretSeen)
	}
	// Most pages of so small a play have just about as many visitors as it takes,
	// and some of these came from private pages, which does not count.
	if r.Above < 10 || 4*r.Recovered < 3*r.Above || r.QueriesAbove == 0 || 4*r.QueriesRecovered < 3*r.QueriesAbove {
		t.Errorf("pages: %d of %d recovered; queries: %d of %d", r.Recovered, r.Above, r.QueriesRecovered, r.QueriesAbove)
	}
	if r.Pages.Accuracy.Invented != 0 || r.Queries.Accuracy.Invented != 0 || r.Pages.Suppressed.Crowds == 0 {
		t.Errorf("%d pages and %d queries invented, %d crowds suppressed", r.Pages.Accuracy.Invented, r.Queries.Accuracy.Invented, r.Pages.Suppressed.Crowds)
	}
	if r.Pages.Sent+r.Queries.Sent != r.Site.Messages["page"]+r.Site.Messages["query"] {
		t.Errorf("%d and %d reports sent, of %v", r.Pages.Sent, r.Queries.Sent, r.Site.Messages)
	}
	var text strings.Builder
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Which pages and queries are popular?", "that left a device: 0", "that were released: 0", "personalised"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the table does not say %q:\n%s", want, &text)
		}
	}
	if b, err := json.Marshal(r); err != nil || !strings.Contains(string(b), `"private_pages_that_left_a_device":0`) {
		t.Errorf("%s, %v", b, err)
	}
}

// checkWebConsole: one console shows what both organisations have answered.
func checkWebConsole(t *testing.T, w *Web) {
	t.Helper()
	all := w.Servers()
	if len(all) != 2 {
		t.Fatalf("%d servers, want 2", len(all))
	}
	more := func() []console.Source { return []console.Source{console.FromServer(all[1])} }
	h, err := console.New(console.Join(console.FromServer(all[0]), more), console.Options{Clock: all[0].Clock()})
	if err != nil {
		t.Fatal(err)
	}
	get := func(path string) string {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Host = "localhost"
		a := httptest.NewRecorder()
		h.ServeHTTP(a, r)
		if a.Code != http.StatusOK {
			t.Errorf("%s: status %d", path, a.Code)
		}
		return a.Body.String()
	}
	list := get("/")
	for i, question := range []string{"Which pages are popular?", "What do people search for?"} {
		path := "/questions/" + all[i].Tasks()[0].ID.String()
		if !strings.Contains(list, question) || !strings.Contains(get(path), "Largest crowds") || !strings.HasPrefix(get(path+"/export.csv"), "epoch,") {
			t.Errorf("the console does not show %q", question)
		}
	}
}

func TestWebYAML(t *testing.T) {
	if _, err := webYAML("no_such_message", "q", 1); err == nil {
		t.Error("a message that does not exist is collected")
	}
	if _, err := webYAML("page_title", "q", 1); err == nil {
		t.Error("a title is collected, which no threshold here was chosen for")
	}
}
