package server

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/shoal-project/shoal/metric/task"
)

// token makes a token of an organisation.
func (o *org) token(scopes ...Scope) string {
	o.w.t.Helper()
	tokens, err := OpenTokens(o.config())
	if err != nil {
		o.w.t.Fatal(err)
	}
	secret, err := tokens.Create(rand.Reader, fmt.Sprint(scopes, rand.Text()), scopes, time.Time{})
	if err != nil {
		o.w.t.Fatal(err)
	}
	return secret
}

// apiDoc is the part of openapi.yaml that the test compares.
type apiDoc struct {
	Paths map[string]map[string]struct {
		Scope     Scope          `yaml:"x-scope"`
		Responses map[string]any `yaml:"responses"`
	} `yaml:"paths"`
}

// TestOpenAPI walks every route against the description: each is described,
// with its scope, nothing else is, and the status of each answer is listed.
func TestOpenAPI(t *testing.T) {
	var doc apiDoc
	if err := yaml.Unmarshal(openAPI, &doc); err != nil {
		t.Fatal(err)
	}
	described := map[string]Scope{}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			described[strings.ToUpper(method)+" "+path] = op.Scope
		}
	}
	w := newWorld(t)
	w.b.start()
	all := w.b.token(scopes...)
	base := "http://" + w.b.server.Addr("ops")
	served := map[string]Scope{}
	for _, route := range w.b.server.managementRoutes() {
		served[route.pattern] = route.scope
		method, path, _ := strings.Cut(route.pattern, " ")
		for _, id := range []string{w.id.String(), task.ID{9}.String(), "x"} {
			url := base + strings.Replace(path, "{task}", id, 1)
			for _, token := range []string{"", "shoal-token:wrong", all} {
				status, _, body := call(t, method, url, token, nil)
				if _, ok := doc.Paths[path][strings.ToLower(method)].Responses[strconv.Itoa(status)]; !ok {
					t.Errorf("%s with token %t answers %d, which is not described: %s", route.pattern, token == all, status, body)
				}
			}
		}
	}
	if !maps.Equal(described, served) {
		t.Errorf("described %v, served %v", described, served)
	}
}

// TestScopes: a token opens what its scopes name and nothing else, a revoked or
// expired one nothing, and what is written down is no secret.
func TestScopes(t *testing.T) {
	w := newWorld(t)
	w.b.start()
	base := "http://" + w.b.server.Addr("ops") + "/api/v1/tasks"
	export := base + "/" + w.id.String() + "/export"
	read, exporter := w.b.token(ScopeRead), w.b.token(ScopeExport)
	for _, c := range []struct {
		url, token string
		want       int
	}{
		{base, "", 401},
		{base, "guess", 401},
		{base, read[:len(read)-1], 401},
		{base, read, 200},
		{base, exporter, 403},
		{export, read, 403},
		{export, exporter, 404},
	} {
		if status, header, _ := get(t, c.url, c.token); status != c.want || status == 401 && header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: status %d, want %d", c.url, status, c.want)
		}
	}
	if status, _, _ := call(t, http.MethodPost, base, read, []byte("x")); status != 403 {
		t.Errorf("adding tasks with the scope read: status %d, want 403", status)
	}
	file := filepath.Join(w.b.config().Keys.Dir, "tokens.json")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), strings.TrimPrefix(read, tokenPrefix)) {
		t.Error("the token file holds a secret")
	}
	tokens, err := OpenTokens(w.b.config())
	if err != nil {
		t.Fatal(err)
	}
	brief, err := tokens.Create(rand.Reader, "brief", []Scope{ScopeRead}, w.clock.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if status, _, _ := get(t, base, brief); status != 200 {
		t.Errorf("before its end a token gets %d", status)
	}
	w.clock.Advance(time.Hour)
	if status, _, _ := get(t, base, brief); status != 401 {
		t.Errorf("after its end a token gets %d", status)
	}
	list, err := tokens.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range list {
		if err := tokens.Revoke(k.Name); err != nil {
			t.Fatal(err)
		}
	}
	if status, _, _ := get(t, base, read); status != 401 {
		t.Errorf("a revoked token gets %d", status)
	}
}

// TestAddTask: a task that comes through the API is served at once, without
// losing what is under way, and after a restart; bad ones are refused.
func TestAddTask(t *testing.T) {
	w := newWorld(t)
	w.b.start()
	w.a.start()
	w.send(w.reports(210, "apple"))
	w.send(w.reports(3, "medlar"))
	second := strings.Replace(question, "  fruit:", "  tree:", 1)
	bundle := func(text string) []byte {
		b, err := w.build(fmt.Sprintf(text, "http://"+w.a.address, w.a.identity, "http://"+w.b.address, w.b.identity)).Encode()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, o := range []*org{w.a, w.b} {
		url, token := "http://"+o.server.Addr("ops")+"/api/v1/tasks", o.token(ScopeTasks, ScopeRead)
		if status, _, body := call(t, http.MethodPost, url, token, bundle(second)); status != 201 || !strings.Contains(string(body), `"tree"`) {
			t.Errorf("adding: status %d: %s", status, body)
		}
		if status, _, _ := call(t, http.MethodPost, url, token, bundle(second)); status != 200 {
			t.Errorf("adding again: status %d, want 200", status)
		}
		low := strings.Replace(second, "threshold: 10", "threshold: 9", 1)
		if status, _, body := call(t, http.MethodPost, url, token, bundle(low)); status != 422 || !strings.Contains(string(body), "floors.min_threshold") {
			t.Errorf("adding one below the floor: status %d: %s", status, body)
		}
		if status, _, _ := call(t, http.MethodPost, url, token, []byte("nonsense")); status != 422 {
			t.Errorf("adding nonsense: status %d, want 422", status)
		}
		if n := len(o.server.Tasks()); n != 2 {
			t.Errorf("%d tasks are served, want 2", n)
		}
	}
	w.closeEpoch()
	if err := w.tick(w.a, w.b); err != nil {
		t.Fatal(err)
	}
	checkReleased(t, w, 210)
	w.a.halt()
	w.a.start()
	if n := len(w.a.server.Tasks()); n != 2 {
		t.Errorf("%d tasks are served after a restart, want 2", n)
	}
}

// TestAPIViews reads tasks, batches and exports after a release.
func TestAPIViews(t *testing.T) {
	w := newWorld(t)
	w.b.start()
	w.a.start()
	w.send(w.reports(210, "apple"))
	one := "/api/v1/tasks/" + w.id.String()
	shuffler, analyzer := "http://"+w.a.server.Addr("ops")+one, "http://"+w.b.server.Addr("ops")+one
	_, _, body := get(t, shuffler+"/batches", w.a.token(ScopeRead))
	if !strings.Contains(string(body), `"state": "open"`) || strings.Contains(string(body), "110") {
		t.Errorf("batches of the shuffler: %s", body)
	}
	w.closeEpoch()
	if err := w.tick(w.a, w.b); err != nil {
		t.Fatal(err)
	}
	_, _, body = get(t, analyzer+"/batches", w.b.token(ScopeRead))
	var batches struct {
		Batches []batchView `json:"batches"`
	}
	if err := json.Unmarshal(body, &batches); err != nil || len(batches.Batches) != 1 || batches.Batches[0].Manifest == nil {
		t.Errorf("batches of the analyzer: %v: %s", err, body)
	}
	export := w.b.token(ScopeExport)
	for query, want := range map[string]int{
		"": 200, "?format=json&table=values": 200, "?format=parquet&table=records": 200, "?epoch=1": 404, "?epoch=x": 400, "?format=exe": 400, "?table=other": 400,
	} {
		if status, _, body := get(t, analyzer+"/export"+query, export); status != want {
			t.Errorf("export%s: status %d, want %d: %s", query, status, want, body)
		}
	}
	if status, _, _ := get(t, shuffler+"/export", w.a.token(ScopeExport)); status != 404 {
		t.Errorf("export of a shuffler: status %d, want 404", status)
	}
}

// TestHealth: health and readiness need no token and show when a server stops.
func TestHealth(t *testing.T) {
	w := newWorld(t)
	w.b.start()
	base := "http://" + w.b.server.Addr("ops")
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/metrics": 200, "/": 404} {
		if status, _, body := get(t, base+path, ""); status != want {
			t.Errorf("%s: status %d, want %d: %s", path, status, want, body)
		}
	}
	w.b.server.draining.Store(true)
	if status, _, body := get(t, base+"/readyz", ""); status != 503 || !strings.Contains(string(body), "shutting down") {
		t.Errorf("readiness while stopping: status %d: %s", status, body)
	}
}

// TestWrongMethods: a path that takes another method names it, on both listeners.
func TestWrongMethods(t *testing.T) {
	w := newWorld(t)
	w.a.start()
	for _, c := range []struct{ base, path, method, allow string }{
		{w.a.address, "/tasks/" + w.id.String() + "/reports", "PUT", "OPTIONS, POST"},
		{w.a.address, "/keys/shuffler", "DELETE", "GET, HEAD"},
		{w.a.server.Addr("ops"), "/healthz", "POST", "GET, HEAD"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), c.method, "http://"+c.base+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != c.allow {
			t.Errorf("%s %s: status %d, Allow %q, want 405, %q", c.method, c.path, resp.StatusCode, resp.Header.Get("Allow"), c.allow)
		}
	}
}

// TestPublicRoutes: each role serves its own routes and no other's.
func TestPublicRoutes(t *testing.T) {
	w := newWorld(t)
	w.b.start()
	w.a.start()
	for url, want := range map[string]int{
		"http://" + w.a.address + "/keys/shuffler":                            200,
		"http://" + w.a.address + "/keys/analyzer":                            404,
		"http://" + w.b.address + "/keys/analyzer":                            200,
		"http://" + w.b.address + "/keys/shuffler":                            404,
		"http://" + w.b.address + "/tasks/" + w.id.String() + "/keys":         404,
		"http://" + w.a.address + "/tasks/" + (task.ID{7}).String() + "/keys": 404,
		"http://" + w.a.address + "/healthz":                                  404,
		"http://" + w.a.address + "/api/v1/tasks":                             404,
	} {
		if status, _, _ := get(t, url, ""); status != want {
			t.Errorf("%s: status %d, want %d", url, status, want)
		}
	}
}

func TestParseScope(t *testing.T) {
	for _, s := range []Scope{ScopeRead, ScopeTasks, ScopeExport} {
		if got, err := ParseScope(string(s)); err != nil || got != s {
			t.Errorf("ParseScope(%q) = %q, %v", s, got, err)
		}
	}
	if _, err := ParseScope("all"); err == nil || !slices.Contains(strings.Fields(err.Error()), "read,") {
		t.Errorf("ParseScope(all): %v", err)
	}
}
