// Command extension builds the browser extension: for each browser a folder and a
// zip, and a zip of the sources that they are built from.
//
// # Use
//
//	go run ./web/extension [-out dist/extension]
//
// in the module's root. It writes chromium.zip, firefox.zip, source.zip and the
// folders chromium and firefox, which browsers load while developing. The same
// sources and the same Go release give the same bytes. What a zip contains is
// what lies in src, the discovery engine as WebAssembly, its wasm_exec.js, and the
// manifest of the browser.
package main

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	out := flag.String("out", filepath.Join("dist", "extension"), "folder to write")
	flag.Parse()
	if err := build(".", *out); err != nil {
		fmt.Fprintln(os.Stderr, "extension:", err)
		os.Exit(1)
	}
}

// files are what a zip contains, by name.
type files map[string][]byte

// build builds everything from the module in root.
func build(root, out string) error {
	common, err := program(root)
	if err != nil {
		return err
	}
	for _, browser := range []string{"chromium", "firefox"} {
		all := maps.Clone(common)
		if all["manifest.json"], err = json.MarshalIndent(manifest(browser), "", "  "); err != nil {
			return fmt.Errorf("writing the manifest of %s: %w", browser, err)
		}
		if browser == "firefox" {
			delete(all, "offscreen.html")
			delete(all, "offscreen.js")
		}
		if err := errors.Join(all.folder(filepath.Join(out, browser)), all.zip(filepath.Join(out, browser+".zip"))); err != nil {
			return fmt.Errorf("writing the extension of %s: %w", browser, err)
		}
	}
	source, err := sources(root)
	if err != nil {
		return err
	}
	return source.zip(filepath.Join(out, "source.zip"))
}

// program returns what both browsers run.
func program(root string) (files, error) {
	all := files{}
	src := filepath.Join(root, "web", "extension", "src")
	err := filepath.WalkDir(src, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(src, path)
		if err != nil {
			return err
		}
		all[filepath.ToSlash(name)], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the sources: %w", err)
	}
	if all["discovery.wasm"], err = engine(root); err != nil {
		return nil, err
	}
	goroot, err := run(root, "go", "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	all["wasm_exec.js"], err = os.ReadFile(filepath.Join(strings.TrimSpace(string(goroot)), "lib", "wasm", "wasm_exec.js"))
	return all, err
}

// engine compiles the discovery engine.
func engine(root string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "shoal-extension-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "discovery.wasm")
	if _, err := run(root, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", path, "./internal/discovery/wasm"); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

// sources returns all files of the module that the extension is built from.
func sources(root string) (files, error) {
	const format = `{{if .Module}}{{if .Module.Main}}{{$d := .Dir}}{{range .GoFiles}}{{$d}}/{{.}}
{{end}}{{range .EmbedFiles}}{{$d}}/{{.}}
{{end}}{{end}}{{end}}`
	list, err := run(root, "go", "list", "-deps", "-f", format, "./internal/discovery/wasm")
	if err != nil {
		return nil, err
	}
	base, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	paths := strings.Fields(string(list))
	for _, name := range []string{"go.mod", "go.sum", "LICENSE"} {
		paths = append(paths, filepath.Join(base, name))
	}
	err = filepath.WalkDir(filepath.Join(base, "web", "extension"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing the sources: %w", err)
	}
	all := files{}
	for _, path := range paths {
		name, err := filepath.Rel(base, path)
		if err != nil {
			return nil, fmt.Errorf("naming a source: %w", err)
		}
		if all[filepath.ToSlash(name)], err = os.ReadFile(path); err != nil {
			return nil, fmt.Errorf("reading a source: %w", err)
		}
	}
	return all, nil
}

// run runs a command for WebAssembly and returns its output.
func run(dir, name string, args ...string) ([]byte, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("running %s %s: %w\n%s", name, strings.Join(args, " "), err, &stderr)
	}
	return out, nil
}

// zip writes a zip whose bytes depend on nothing but names and contents.
func (f files) zip(path string) error {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(f)) {
		h := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)}
		h.SetMode(0o644)
		e, err := w.CreateHeader(h)
		if err != nil {
			return err
		}
		if _, err := e.Write(f[name]); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}

// folder writes the files into a folder of their own.
func (f files) folder(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	for name, b := range f {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			return err
		}
	}
	return nil
}
