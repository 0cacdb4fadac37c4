package console_test

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/console"
	"github.com/shoal-project/shoal/internal/server"
	"github.com/shoal-project/shoal/metric"
	"github.com/shoal-project/shoal/metric/task"
)

const metrics = `version: 1
owner: Example Owner
parties:
  shufflers:
    - {url: "https://shuffler.example", identity: %q}
  analyzer: {url: "http://127.0.0.1:18460", identity: %q}
metrics:
  fruit:
    question: Which fruit do people like?
    consent: Your favourite fruit.
    record:
      name: {type: string, max: 16}
    crowd: [name]
    privacy: {threshold: 20, drop: 12, sigma: 2}
    epoch: 1h
    max_delay: 10m
    expires: 2027-06-01
`

// analyzerServer is a server that analyzes one question and has released
// nothing.
func analyzerServer(t *testing.T) *server.Server {
	t.Helper()
	dir := t.TempDir()
	owner, err := task.GenerateIdentityKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	file, identity, err := server.Init(dir, server.Organisation{
		Name: "Example Analyzer", Roles: []task.Role{task.Analyzer}, URL: "http://127.0.0.1:18460",
		Owners: []string{task.FormatPublic(owner.Public())},
	}, now, nil)
	if err != nil {
		t.Fatal(err)
	}
	questions, err := metric.Read("metrics.yaml", fmt.Appendf(nil, metrics, task.FormatPublic(owner.Public()), identity), now)
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := questions.Build(nil, owner, now)
	if err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Encode()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "tasks.bundle")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := server.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	c.Tasks.Bundles = []string{name}
	c.Listen, c.Ops.Listen, c.Console.Listen = "127.0.0.1:0", server.Off, "127.0.0.1:0"
	s, err := server.New(t.Context(), c, server.Options{
		Clock: clock.NewVirtual(now), Manual: true,
		Console: func(s *server.Server) (http.Handler, error) {
			return console.New(console.FromServer(s), console.Options{Clock: s.Clock()})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestFromServer renders the pages of a server that waits for its first batch.
func TestFromServer(t *testing.T) {
	s := analyzerServer(t)
	if s.Addr("console") == "" {
		t.Error("the console has no listener")
	}
	h := handler(t, console.FromServer(s))
	list := body(t, get(t, h, "/"))
	if !strings.Contains(list, "Which fruit do people like?") || !strings.Contains(list, "Example Analyzer <span class=\"soft\">· analyzer</span>") || !strings.Contains(list, "in 45 minutes") {
		t.Errorf("list:\n%s", list)
	}
	path := "/questions/" + s.Tasks()[0].ID.String()
	page := body(t, get(t, h, path))
	checkTree(t, page)
	for _, want := range []string{"Nothing has arrived yet", "Your favourite fruit.", "Epsilon, for one crowd", "2.3", "assumes that no client exceeds its caps", "Shuffler at shuffler.example", "(this server)"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if r := get(t, h, path+"/export.csv"); r.StatusCode != http.StatusNotFound {
		t.Errorf("export of nothing: status %d, want 404", r.StatusCode)
	}
	if r := get(t, h, "/questions/"+(task.ID{5}).String()); r.StatusCode != http.StatusNotFound {
		t.Errorf("a question of nobody: status %d, want 404", r.StatusCode)
	}
}
