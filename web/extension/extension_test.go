package main

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestReproducible builds twice, in two folders, and compares byte by byte.
func TestReproducible(t *testing.T) {
	if os.Getenv("SHOAL_WEB") == "" {
		t.Skip("compiles the engine for WebAssembly twice: make test-web does")
	}
	var builds [2]string
	for i := range builds {
		builds[i] = t.TempDir()
		if err := build(filepath.Join("..", ".."), builds[i]); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"chromium.zip", "firefox.zip", "source.zip"} {
		a, b := readFile(t, filepath.Join(builds[0], name)), readFile(t, filepath.Join(builds[1], name))
		if !bytes.Equal(a, b) {
			t.Errorf("%s: two builds differ", name)
		}
		t.Logf("%s: %d bytes", name, len(a))
		contents(t, name, a)
	}
}

// contents holds what must be in a zip and what must not.
func contents(t *testing.T, name string, b []byte) {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"manifest.json", "discovery.wasm", "wasm_exec.js", "background.js", "_locales/de/messages.json"}
	if name == "source.zip" {
		want = []string{"go.mod", "go.sum", "internal/discovery/wasm/main_js.go", "internal/discovery/model.bin", "web/extension/build.go"}
	}
	for _, w := range want {
		if _, err := z.Open(w); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if f, err := z.Open("address.js"); err == nil {
		text, err := io.ReadAll(f)
		if err != nil || !strings.Contains(string(text), "connected = (ip) => ip;") {
			t.Errorf("%s: address.js changes the address that the browser reports", name)
		}
	}
}

// TestRemoteCode holds the sources to their own code: nothing is loaded from elsewhere or
// made of text.
func TestRemoteCode(t *testing.T) {
	forbidden := regexp.MustCompile(`\beval\b|new Function|importScripts|innerHTML\s*=|insertAdjacentHTML|document\.write|<script[^>]*src="?https?:|import\(`)
	paths, err := filepath.Glob(filepath.Join("src", "*.*"))
	if err != nil || len(paths) < 8 {
		t.Fatalf("%d sources: %v", len(paths), err)
	}
	for _, path := range paths {
		if m := forbidden.Find(readFile(t, path)); m != nil {
			t.Errorf("%s has %q", path, m)
		}
	}
}

// TestPermissions holds README.md to the permissions of the manifests.
func TestPermissions(t *testing.T) {
	readme := string(readFile(t, "README.md"))
	var rows []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(readme, -1) {
		rows = append(rows, m[1])
	}
	want := append(permissions("chromium"), "http://*/*", "wasm-unsafe-eval")
	slices.Sort(rows)
	slices.Sort(want)
	if !slices.Equal(rows, want) {
		t.Errorf("README.md explains %q, the manifests have %q", rows, want)
	}
	for _, p := range permissions("firefox") {
		if !slices.Contains(want, p) {
			t.Errorf("README.md does not explain %q", p)
		}
	}
}

// TestLanguages holds all languages to the same messages, and the code to those that exist.
func TestLanguages(t *testing.T) {
	read := func(language string) map[string]struct{ Message string } {
		var m map[string]struct{ Message string }
		if err := json.Unmarshal(readFile(t, filepath.Join("src", "_locales", language, "messages.json")), &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	en, de := read("en"), read("de")
	for name, m := range en {
		if m.Message == "" || de[name].Message == "" || m.Message == de[name].Message {
			t.Errorf("message %s: %q and %q", name, m.Message, de[name].Message)
		}
	}
	if len(en) != len(de) {
		t.Errorf("%d messages in English, %d in German", len(en), len(de))
	}
	var code strings.Builder
	for _, name := range []string{"popup.html", "popup.js", "background.js"} {
		code.Write(readFile(t, filepath.Join("src", name)))
	}
	for _, m := range regexp.MustCompile(`(?:text|getMessage)\("(\w+)"|data-text="(\w+)"`).FindAllStringSubmatch(code.String(), -1) {
		if name := m[1] + m[2]; en[name].Message == "" {
			t.Errorf("there is no message %q", name)
		}
	}
}

// TestChromium plays a person who shares links in Chromium. The extension is the one
// that is published except address.js: on loopback no address is public.
func TestChromium(t *testing.T) {
	if os.Getenv("SHOAL_WEB") == "" {
		t.Skip("needs the tools that scripts/web installs: make test-web runs it")
	}
	dir := t.TempDir()
	if err := build(filepath.Join("..", ".."), dir); err != nil {
		t.Fatal(err)
	}
	extension := filepath.Join(dir, "chromium")
	seam := []byte("export const connected = (ip) => (ip === \"127.0.0.1\" ? \"93.184.216.34\" : ip);\n")
	if err := os.WriteFile(filepath.Join(extension, "address.js"), seam, 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := json.Marshal(map[string]string{"extension": extension, "chromium": chromium(t), "screenshots": os.Getenv("SHOAL_SCREENSHOTS")})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", filepath.Join("test", "chromium.mjs"))
	cmd.Stdin = bytes.NewReader(in)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node: %v\n%s%s", err, out, &stderr)
	}
	t.Logf("%s", out)
}

// chromium returns the path of Chromium, or skips the test without it.
func chromium(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("SHOAL_CHROMIUM"); path != "" {
		return path
	}
	for _, name := range []string{"chromium", "chromium-browser"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatal("Chromium is missing, and continuous integration must not do without")
	}
	t.Skip("no Chromium was found (set SHOAL_CHROMIUM)")
	return ""
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
