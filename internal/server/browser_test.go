package server

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/netip"
	"testing"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/taskconfig"
)

// asPage makes the request that a browser makes for a page of another origin.
func asPage(t *testing.T, method, url, contentType string, body []byte) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Origin", "https://shop.example")
	if method == http.MethodOptions {
		r.Header.Set("Access-Control-Request-Method", http.MethodPost)
		r.Header.Set("Access-Control-Request-Headers", "content-type")
	} else if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp
}

func mustBeReadable(t *testing.T, resp *http.Response, status int) {
	t.Helper()
	if got := resp.Header.Values("Access-Control-Allow-Origin"); resp.StatusCode != status || len(got) != 1 || got[0] != "*" {
		t.Errorf("%s %s: status %d, Access-Control-Allow-Origin %q, want %d and one *", resp.Request.Method, resp.Request.URL.Path, resp.StatusCode, got, status)
	}
	if resp.Header.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("%s %s: credentials are allowed", resp.Request.Method, resp.Request.URL.Path)
	}
}

func mustAllowReports(t *testing.T, resp *http.Response) {
	t.Helper()
	mustBeReadable(t, resp, http.StatusNoContent)
	h := resp.Header
	if h.Get("Access-Control-Allow-Methods") != "POST" || h.Get("Access-Control-Allow-Headers") != "Content-Type" || h.Get("Access-Control-Max-Age") == "" {
		t.Errorf("preflight: %v", h)
	}
}

// TestPagesSendReports: a page of any origin may fetch a shuffler's keys and send it
// reports, and reads why one is refused; nothing else is opened to it.
func TestPagesSendReports(t *testing.T) {
	w := newWorld(t)
	w.a.start()
	w.b.start()
	if err := w.tick(w.b, w.a); err != nil {
		t.Fatal(err)
	}
	at := w.a.url() + "/tasks/" + w.id.String()
	mustAllowReports(t, asPage(t, "OPTIONS", at+"/reports", "", nil))
	mustBeReadable(t, asPage(t, "GET", at+"/keys", "", nil), http.StatusOK)
	mustBeReadable(t, asPage(t, "POST", at+"/reports", "application/shoal-report;v=1", w.reports(1, "apple")[0]), http.StatusCreated)
	mustBeReadable(t, asPage(t, "POST", at+"/reports", "application/shoal-report;v=1", []byte("x")), http.StatusBadRequest)
	mustBeReadable(t, asPage(t, "GET", w.a.url()+"/tasks/x/keys", "", nil), http.StatusNotFound)
	for w.a.server.gates.reading.Enter(netip.Prefix{}) { // until all places are taken
	}
	mustBeReadable(t, asPage(t, "POST", at+"/reports", "application/shoal-report;v=1", []byte("x")), http.StatusServiceUnavailable)
	for _, path := range []string{"/keys/shuffler", "/tasks", "/"} {
		if got := asPage(t, "GET", w.a.url()+path, "", nil).Header.Get("Access-Control-Allow-Origin"); got != "" {
			t.Errorf("%s is opened to pages: %q", path, got)
		}
	}
}

// TestPagesUpload: the same at leader and helper.
func TestPagesUpload(t *testing.T) {
	w := newAggregateWorld(t)
	w.a.start()
	w.b.start()
	made, err := taskconfig.New(w.task, w.id)
	if err != nil {
		t.Fatal(err)
	}
	reports := w.a.url() + "/" + dap.ReportsPath(made.ID())
	mustAllowReports(t, asPage(t, "OPTIONS", reports, "", nil))
	mustBeReadable(t, asPage(t, "POST", reports, dap.TypeUploadRequest.MediaType(), []byte("x")), http.StatusNotFound) // not paired yet
	for _, o := range []*org{w.a, w.b} {
		resp := asPage(t, "GET", o.url()+"/hpke_config", "", nil)
		mustBeReadable(t, resp, http.StatusOK)
		if resp.Header.Get("Access-Control-Expose-Headers") != dap.KeySignatureHeader || resp.Header.Get(dap.KeySignatureHeader) == "" {
			t.Errorf("a page cannot read the signature of keys: %v", resp.Header)
		}
	}
	if got := asPage(t, "GET", w.a.url()+"/tasks/x/collection_jobs/y", "", nil).Header.Get("Access-Control-Allow-Origin"); got != "" {
		t.Errorf("collections are opened to pages: %q", got)
	}
}

// TestPagesReachRelays: a page of any origin may fetch what a relay serves and send
// through it.
func TestPagesReachRelays(t *testing.T) {
	w := newWorld(t)
	r := w.relayed()
	r.start()
	w.b.start()
	w.a.start()
	party := hex.EncodeToString(w.a.public())
	mustAllowReports(t, asPage(t, "OPTIONS", r.url()+"/gateways/"+party, "", nil))
	mustBeReadable(t, asPage(t, "POST", r.url()+"/gateways/"+party, "message/ohttp-req", []byte("x")), http.StatusRequestEntityTooLarge) // of no agreed length
	mustBeReadable(t, asPage(t, "POST", r.url()+"/gateways/x", "message/ohttp-req", []byte("x")), http.StatusNotFound)
	mustBeReadable(t, asPage(t, "GET", r.url()+"/minute/"+party, "", nil), http.StatusOK)
	day := w.clock.Now().Unix() / 86400 * 86400
	keys := fmt.Sprintf("/keys/%s/gateway/%d", base64.RawURLEncoding.EncodeToString(w.a.public()), day)
	mustBeReadable(t, asPage(t, "GET", r.url()+keys, "", nil), http.StatusOK)
	if got := asPage(t, "GET", w.a.url()+"/minute", "", nil).Header.Get("Access-Control-Allow-Origin"); got != "" {
		t.Errorf("what relays ask for is opened to pages: %q", got)
	}
}
