package route_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/shoal-project/shoal/internal/route"
)

func TestMethods(t *testing.T) {
	mux := http.NewServeMux()
	for _, pattern := range []string{"GET /a", "OPTIONS /a", "PUT /b/{id}", "DELETE /b/{id}", "/all/", "/"} {
		mux.HandleFunc(pattern, func(http.ResponseWriter, *http.Request) {})
	}
	for path, want := range map[string][]string{
		"/a":     {"GET", "HEAD", "OPTIONS"},
		"/b/1":   {"DELETE", "PUT"},
		"/all/x": {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"},
		"/b":     nil,
		"/b/1/2": nil,
		"/":      nil,
	} {
		if got := route.Methods(mux, httptest.NewRequest("POST", path, nil)); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
}
