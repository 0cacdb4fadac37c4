package sdk_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/internal/golden"
	sdk "github.com/shoal-project/shoal/web/sdk"
)

// TestEmbedded: the SDK that "shoal demo --web" serves is what the sources make.
func TestEmbedded(t *testing.T) {
	needsTools(t)
	built, err := os.ReadFile(filepath.Join("dist", "index.js"))
	must(t, err)
	golden.Equal(t, filepath.Join("embedded", "index.js"), built)
}

// TestShop: the shop is served with all that it loads, under a strict policy, and
// nothing else is.
func TestShop(t *testing.T) {
	shop := sdk.Shop([]byte("the tasks"), "ed25519:owner")
	get := func(path string) (int, http.Header, string) {
		r := httptest.NewRecorder()
		shop.ServeHTTP(r, httptest.NewRequest(http.MethodGet, path, http.NoBody))
		return r.Code, r.Header(), r.Body.String()
	}
	for path, want := range map[string][2]string{
		"/example/":             {"text/html; charset=utf-8", "shop.js"},
		"/example/shop.js":      {"text/javascript; charset=utf-8", "../dist/index.js"},
		"/example/shop.css":     {"text/css; charset=utf-8", "color-scheme"},
		"/example/tasks.bundle": {"application/octet-stream", "the tasks"},
		"/example/owner.txt":    {"text/plain; charset=utf-8", "ed25519:owner"},
		"/dist/index.js":        {"text/javascript; charset=utf-8", "export"},
	} {
		code, header, body := get(path)
		if code != http.StatusOK || header.Get("Content-Type") != want[0] || !strings.Contains(body, want[1]) {
			t.Errorf("%s: HTTP %d, %s, %d bytes", path, code, header.Get("Content-Type"), len(body))
		}
		if !strings.HasPrefix(header.Get("Content-Security-Policy"), "default-src 'self'") {
			t.Errorf("%s: no content security policy", path)
		}
	}
	if code, header, _ := get("/"); code != http.StatusFound || header.Get("Location") != "/example/" {
		t.Errorf("/: HTTP %d to %q", code, header.Get("Location"))
	}
	for _, path := range []string{"/dist/other.js", "/embed.go", "/embedded/index.js", "/dist/..%2fembed.go"} {
		if code, _, _ := get(path); code != http.StatusNotFound {
			t.Errorf("%s: HTTP %d, want 404", path, code)
		}
	}
}
