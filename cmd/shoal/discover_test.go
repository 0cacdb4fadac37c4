package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
)

// TestBundleVerify: a bundle is good between its dates, for the version that
// was seen last and later, and for the key that signed it.
func TestBundleVerify(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	shoal := func(at string, args ...string) (int, string, string) {
		now, err := time.Parse(time.DateOnly, at)
		if err != nil {
			t.Fatal(err)
		}
		var stdout, stderr bytes.Buffer
		code := run(append([]string{"discover", "bundle"}, args...), &stdout, &stderr, clock.NewVirtual(now))
		return code, stdout.String(), stderr.String()
	}
	rules := `{"format": 1, "name": "invented", "version": 3, "not_before": "2026-11-01T00:00:00Z", "expires": "2027-06-01T00:00:00Z",
		"engines": [{"name": "finch", "pages": [{"scheme": "https", "hosts": ["finch.example.net"], "path": "/search", "query": "q", "clean": "https://finch.example.net/search"}]}]}`
	if err := os.WriteFile(file("rules.json"), []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	_, key, _ := shoal("2026-12-01", "keygen", file("rules.key"))
	key = strings.TrimSpace(key)
	if code, _, stderr := shoal("2026-12-01", "sign", file("rules.json"), "--key", file("rules.key"), "-o", file("rules.bundle")); code != 0 {
		t.Fatal(stderr)
	}
	for _, c := range []struct {
		at, newest string
		want       int
		says       string
	}{
		{"2026-12-01", "0", 0, "ok: invented version 3, engines finch"},
		{"2026-12-01", "3", 0, "ok: "},
		{"2026-12-01", "4", 2, "older than one that was seen before"},
		{"2026-10-31", "0", 2, "not valid yet"},
		{"2027-06-01", "0", 2, "expired"},
	} {
		code, stdout, stderr := shoal(c.at, "verify", file("rules.bundle"), "--trust", key, "--newest", c.newest)
		if code != c.want || !strings.Contains(stdout+stderr, c.says) {
			t.Errorf("on %s after version %s: exit code %d, %s%s", c.at, c.newest, code, stdout, stderr)
		}
	}
	signed, err := os.ReadFile(file("rules.bundle"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file("turned"), bytes.Replace(signed, []byte(`"version":3`), []byte(`"version":9`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := shoal("2026-12-01", "verify", file("turned"), "--trust", key); code != 2 || !strings.Contains(stderr, "signature is wrong") {
		t.Errorf("a byte turned: exit code %d, %s", code, stderr)
	}
}

// TestExplainAsTheEngine: what a page claims about itself does not make the rules
// lax, as it does not in the engine.
func TestExplainAsTheEngine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "page.html")
	page := `<html><head><title>A walk along the river</title><link rel=canonical href="/story"></head><body>` + strings.Repeat("<p>There is much to see on the way there and back.</p>", 9)
	if err := os.WriteFile(file, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "verdict  mask: parameters.count"},
		{[]string{"--public-link"}, "verdict  public"},
	} {
		var stdout, stderr bytes.Buffer
		args := append([]string{"discover", "explain", "https://news.example.org/story?part=two&x=1", "--before", file, "--after", file}, c.args...)
		if code := run(args, &stdout, &stderr, clock.NewVirtual(time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC))); code != 0 || !strings.Contains(stdout.String(), c.want) {
			t.Errorf("%v: exit code %d, want %q in\n%s%s", c.args, code, c.want, &stdout, &stderr)
		}
	}
}
