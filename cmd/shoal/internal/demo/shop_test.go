package demo

import (
	"crypto/rand"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// TestShop: in each of several epochs the shop's answers are exactly what the simulated
// customers buy, all questions have one, none comes twice, and the page gets the tasks.
func TestShop(t *testing.T) {
	start := time.Date(2026, 12, 1, 12, 0, 30, 0, time.UTC)
	s, err := OpenShop(t.Context(), ShopConfig{Dir: t.TempDir(), Start: start, Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/example/tasks.bundle", http.NoBody))
	if w.Code != http.StatusOK || w.Body.String() != string(s.parties.Bundle) {
		t.Errorf("HTTP %d, %d bytes of tasks, want %d", w.Code, w.Body.Len(), len(s.parties.Bundle))
	}
	want := map[string]map[string]float64{
		"shop.checkout": {"count": Customers}, "shop.spent": {"sum": Customers * bookPrice}, "shop.items": {"mean": 1}, "shop.theme": {"light": Customers},
		"shop.milliseconds": {"50 to 99": Customers}, "shop.departments": {department: Customers}, "shop.hours": {"2": Customers},
	}
	type batch struct {
		metric string
		start  time.Time
	}
	seen := map[batch]bool{}
	for now := start; now.Before(start.Add(5 * time.Minute)); now = now.Add(5 * time.Second) {
		answers, err := s.Step(t.Context(), now)
		if err != nil {
			t.Fatalf("%v: %v", now, err)
		}
		for _, a := range answers {
			b := batch{a.Metric, a.Start}
			if seen[b] {
				t.Errorf("a second answer to %v", b)
			}
			seen[b] = true
			items := maps.Clone(a.Items)
			delete(items, "answered")
			maps.DeleteFunc(items, func(_ string, x float64) bool { return x == 0 })
			if a.Reports != Customers || !maps.Equal(items, want[a.Metric]) {
				t.Errorf("%v\n%v, want %v of %d", a, items, want[a.Metric], Customers)
			}
		}
	}
	if len(seen) < 2*ShopQuestions() {
		t.Errorf("%d answers, want at least 2 of each of %d questions", len(seen), ShopQuestions())
	}
}
