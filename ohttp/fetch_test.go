package ohttp_test

import (
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/shoal-project/shoal/ohttp"
)

// TestFetcher gets what a relay serves, and in every failure contacts nothing else.
func TestFetcher(t *testing.T) {
	_, other := serve(t, http.NotFoundHandler())
	got := make(chan http.Header, 10)
	at, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/relay/keys/a":
			got <- r.Header.Clone()
			w.Header().Set("Content-Type", "x/y")
			_, _ = io.WriteString(w, "hello")
		case "/relay/redirect":
			http.Redirect(w, r, "http://"+other.Addr().String()+"/", http.StatusTemporaryRedirect)
		case "/relay/abort":
			panic(http.ErrAbortHandler)
		default:
			w.Header().Set("Retry-After", "7")
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, `{"type":"urn:shoal:problem:unavailable"}`)
		}
	}))
	seen := &dials{}
	f, err := ohttp.NewFetcher(ohttp.FetcherConfig{Relay: at.URL + "/relay", Dial: seen.dial, Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer f.CloseIdleConnections()
	if b, err := f.Get(t.Context(), "/keys/a", "x/y", 5); err != nil || string(b) != "hello" {
		t.Errorf("%q, %v", b, err)
	}
	if h := <-got; len(h) > 0 {
		t.Errorf("header fields %v", h)
	}
	if _, err := f.Get(t.Context(), "/keys/a", "x/y", 4); !errors.Is(err, ohttp.ErrMalformed) {
		t.Errorf("beyond the limit: %v", err)
	}
	var refused *ohttp.RelayError
	if _, err := f.Get(t.Context(), "/keys/a", "x/z", 5); !errors.As(err, &refused) || refused.Status != 200 {
		t.Errorf("another media type: %v", err)
	}
	if _, err := f.Get(t.Context(), "/redirect", "x/y", 5); !errors.As(err, &refused) || refused.Status != 307 {
		t.Errorf("a redirect: %v", err)
	}
	if _, err := f.Get(t.Context(), "/none", "x/y", 500); !errors.As(err, &refused) || refused.Status != 503 || refused.Retry != 7*time.Second || refused.Type != "urn:shoal:problem:unavailable" {
		t.Errorf("a problem: %v", err)
	}
	if _, err := f.Get(t.Context(), "/abort", "x/y", 5); err == nil {
		t.Error("an answer without one")
	}
	at.Close()
	if _, err := f.Get(t.Context(), "/keys/a", "x/y", 5); err == nil {
		t.Error("an answer of a relay that is down")
	}
	for _, address := range seen.all() {
		if address != at.Listener.Addr().String() {
			t.Errorf("a connection to %s", address)
		}
	}
	if n := other.count(); n > 0 {
		t.Errorf("%d connections to where the redirect points", n)
	}
	if _, err := ohttp.NewFetcher(ohttp.FetcherConfig{Relay: "http://relay.example/"}); err == nil {
		t.Error("http is taken")
	}
}
