package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/discovery/bundle"
	"github.com/shoal-project/shoal/internal/discovery/lifecycle"
	"github.com/shoal-project/shoal/internal/discovery/message"
	"github.com/shoal-project/shoal/internal/discovery/testsite"
	"github.com/shoal-project/shoal/metric"
	"github.com/shoal-project/shoal/metric/task"
)

// recorded writes what a simulated person did, and returns the file, the site
// and a command line that replays it there.
func recorded(t *testing.T) (string, func(c discoverReplayCmd) (string, error)) {
	t.Helper()
	site := testsite.New(testsite.Options{Seed: 2, People: 30, Scale: 0.1})
	start := time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC)
	var lines bytes.Buffer
	if err := site.Events(site.Population().Walk(4, 25, start), func(e lifecycle.Event) error {
		line, err := e.MarshalLine()
		lines.Write(line)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "events.jsonl")
	signed, err := bundle.Embedded(bundle.TestSite)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{file: lines.Bytes(), filepath.Join(dir, "rules.bundle"): signed} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir, func(c discoverReplayCmd) (string, error) {
		var out bytes.Buffer
		c.File, c.searchRules.Rules, c.Trust = file, filepath.Join(dir, "rules.bundle"), []string{task.FormatPublic(bundle.DevelopmentKey())}
		err := c.Run(&env{ctx: t.Context(), stdout: &out, stderr: &out, clock: clock.NewVirtual(start), fetcher: site.Direct(4), rand: rand.NewChaCha8([32]byte{5})})
		return out.String(), err
	}
}

// TestReplay gives recorded events to an engine: its output is the same as in
// a browser, and nothing is queued unless that is asked for.
func TestReplay(t *testing.T) {
	_, replay := recorded(t)
	out, err := replay(discoverReplayCmd{DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"message   {\"name\":\"page\"", "message   {\"name\":\"query\"", "public    https://", "fetches", "why something was not told", "Dry run: nothing was put into an outbox"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	offline, err := replay(discoverReplayCmd{DryRun: true, Offline: true})
	if err != nil || strings.Contains(offline, "message ") || !strings.Contains(offline, "the network failed three times") {
		t.Errorf("offline: %v\n%s", err, offline)
	}
	lines, err := replay(discoverReplayCmd{DryRun: true, JSON: true})
	if err != nil {
		t.Fatal(err)
	}
	messages := 0
	for line := range strings.Lines(lines) {
		var v struct{ Message, Decision json.RawMessage }
		if err := json.Unmarshal([]byte(line), &v); err != nil || v.Message == nil && v.Decision == nil {
			t.Fatalf("%q: %v", line, err)
		}
		if v.Message != nil {
			messages++
		}
	}
	if want := strings.Count(out, "message   "); messages != want {
		t.Errorf("%d messages as JSON, %d as text", messages, want)
	}
}

// tasks signs the questions about pages for parties at an address.
func tasks(t *testing.T, dir, shuffler string) (file, owner string) {
	t.Helper()
	key := func(n byte) task.IdentityKey {
		k, err := task.GenerateIdentityKey(bytes.NewReader(bytes.Repeat([]byte{n}, ed25519.SeedSize)))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	text := fmt.Sprintf(`
version: 1
owner: Example
parties:
  shufflers:
    - {url: %q, identity: %q}
  analyzer: {url: "http://127.0.0.1:18472", identity: %q}
metrics:
  page:
    question: Which pages are popular?
    consent: Your device tells public pages.
    record: {url: {type: string, max: 1024}, dwell: {type: int, range: [0, 300], buckets: [0, 5, 15, 60, 300]}, activity: {type: int, range: [0, 3], buckets: [0, 1, 3]}}
    crowd: [url]
    privacy: {threshold: 20, drop: 12, sigma: 2}
    per_epoch: 100
    per_crowd: 1
    epoch: 1d
    expires: 2027-01-01
`, shuffler, task.FormatPublic(key(1).Public()), task.FormatPublic(key(2).Public()))
	now := time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC)
	f, err := metric.ReadSimulated("metrics.yaml", []byte(text), now)
	if err != nil {
		t.Fatal(err)
	}
	b, err := f.Build(nil, key(3), now)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(dir, "tasks.bundle")
	if err := os.WriteFile(file, encoded, 0o600); err != nil {
		t.Fatal(err)
	}
	return file, task.FormatPublic(key(3).Public())
}

// TestReplayQueues: messages wait in an outbox that the other commands show,
// and only for parties on this machine.
func TestReplayQueues(t *testing.T) {
	dir, replay := recorded(t)
	box := filepath.Join(dir, "box")
	for name, c := range map[string]discoverReplayCmd{
		"no outbox":          {},
		"an outbox, but dry": {DryRun: true, Outbox: box},
		"no such tasks":      {Outbox: box, Tasks: filepath.Join(dir, "none"), Owner: "ed25519:Ibr0rWvVGPpw0IsSOxCq5JjTm8NDzVvdHVAzOVHDjO8"},
		"no owner":           {Outbox: box, Tasks: filepath.Join(dir, "rules.bundle"), Owner: "nobody"},
	} {
		if out, err := replay(c); fail(&bytes.Buffer{}, err) != 2 {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	file, owner := tasks(t, dir, "https://shuffler.example.org")
	if _, err := replay(discoverReplayCmd{Outbox: box, Tasks: file, Owner: owner}); fail(&bytes.Buffer{}, err) != 2 || !strings.Contains(err.Error(), "without a relay, credentials, a hardened quorum") {
		t.Errorf("a shuffler elsewhere: %v", err)
	}
	file, owner = tasks(t, dir, "http://127.0.0.1:18471")
	out, err := replay(discoverReplayCmd{Outbox: box, Tasks: file, Owner: owner})
	if err != nil {
		t.Fatal(err)
	}
	queued := strings.Count(out, `message   {"name":"page",`)
	if !strings.Contains(out, fmt.Sprintf("%d messages wait in %s", queued, box)) || queued == 0 {
		t.Errorf("%d page messages:\n%s", queued, out)
	}
	var list, stderr bytes.Buffer
	if code := run([]string{"outbox", "list", "--dir", box}, &list, &stderr, clock.NewVirtual(time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC))); code != 0 {
		t.Fatal(stderr.String())
	}
	if n := strings.Count(list.String(), "http://127.0.0.1:18471"); n != queued {
		t.Errorf("%d reports wait, want %d:\n%s", n, queued, &list)
	}
}

// TestReplayErrors: an invalid recording is refused with its line.
func TestReplayErrors(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{
		"nonsense\n": ":1: ",
		`{"at":"2026-12-01T09:00:00Z","event":"tick"}` + "\n\n" + `{"at":"2026-12-01T08:00:00Z","event":"tick"}`: ":3: it happens before",
		`{"at":"2026-12-01T09:00:00Z","event":"navigated"}`:                                                      ":1: ",
	} {
		file := filepath.Join(dir, "events")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var stdout, stderr bytes.Buffer
		if code := run([]string{"discover", "replay", file, "--offline"}, &stdout, &stderr, clock.NewVirtual(time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC))); code != 2 || !strings.Contains(stderr.String(), want) {
			t.Errorf("%q: exit code %d, %s", text, code, &stderr)
		}
	}
	if code := run([]string{"discover", "replay", filepath.Join(dir, "none")}, &bytes.Buffer{}, &bytes.Buffer{}, clock.System()); code != 2 {
		t.Errorf("a file that is not there: exit code %d", code)
	}
}

// TestDiscoveryNames: metrics check knows every message of the engine.
func TestDiscoveryNames(t *testing.T) {
	var names []string
	for _, s := range message.Schemas() {
		names = append(names, s.Name)
	}
	known := metric.DiscoveryMetrics()
	slices.Sort(names)
	slices.Sort(known)
	if !slices.Equal(names, known) {
		t.Errorf("messages %v, reserved names %v", names, known)
	}
}
