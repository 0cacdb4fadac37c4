package problem_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/problem"
)

func TestWrite(t *testing.T) {
	p := problem.Problem{Status: http.StatusServiceUnavailable, Type: problem.Shoal("busy"), Title: "Try again later.", Retry: 90 * time.Second}
	for _, size := range []int{0, 10, 300} {
		w := httptest.NewRecorder()
		p.Write(w, size)
		r := w.Result()
		if r.StatusCode != 503 || r.Header.Get("Content-Type") != "application/problem+json" || r.Header.Get("Retry-After") != "90" || r.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%d: %d %v", size, r.StatusCode, r.Header)
		}
		var doc struct {
			Type, Title string
			Status      int
		}
		if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
			t.Fatal(err)
		}
		if doc.Type != "urn:shoal:problem:busy" || doc.Title != p.Title || doc.Status != 503 {
			t.Errorf("%d: %+v", size, doc)
		}
		if want := max(size, len(p.Body(0))); w.Body.Len() != want || int(r.ContentLength) != want {
			t.Errorf("%d: %d bytes, length %d, want %d", size, w.Body.Len(), r.ContentLength, want)
		}
	}
}
