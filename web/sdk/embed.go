// Package sdk holds the example of the SDK for web pages, a small shop, for programs that
// serve it: "shoal demo --web" does, on machines without Node.js.
//
// The SDK itself is TypeScript and is published as @shoal/sdk (README.md beside this file).
// embedded/index.js is what its build makes; "make test-web" fails if it is not.
package sdk

import (
	"embed"
	"io/fs"
	"net/http"
	"path"
)

//go:embed example embedded
var files embed.FS

// Shop returns a handler that serves the example at /example/ and the SDK that it loads,
// with a strict content security policy, which allows requests to this machine alone.
// Of the page's files "tasks.bundle" is bundle, the signed tasks that the shop asks, and
// "owner.txt" is owner, their owner's public key ("ed25519:…").
func Shop(bundle []byte, owner string) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", http.RedirectHandler("/example/", http.StatusFound))
	mux.Handle("GET /example/", http.FileServerFS(files))
	mux.HandleFunc("GET /example/tasks.bundle", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = w.Write(bundle)
	})
	mux.HandleFunc("GET /example/owner.txt", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte(owner))
	})
	mux.HandleFunc("GET /dist/{name}", func(w http.ResponseWriter, r *http.Request) {
		b, err := fs.ReadFile(files, path.Join("embedded", r.PathValue("name")))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		_, _ = w.Write(b)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; img-src data:; connect-src 'self' http://127.0.0.1:*; worker-src 'self'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	})
}
