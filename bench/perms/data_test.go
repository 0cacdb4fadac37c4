package perms

import (
	"math"
	"testing"
)

// TestNaiveCounts: the naive threshold finds as many pages as in the paper. The data is a
// function of the seed.
func TestNaiveCounts(t *testing.T) {
	paper := map[string]int{"geolocation": 6610, "notifications": 12_200, "audio": 620}
	for _, f := range features() {
		if testing.Short() && f.Name != "audio" {
			continue
		}
		counts := make([]int, Pages)
		for r := range requests(f, 1) {
			counts[r.page]++
		}
		n := 0
		for _, c := range counts {
			if c >= 100 {
				n++
			}
		}
		t.Logf("%s: %d pages, %d in the paper", f.Name, n, paper[f.Name])
		if math.Abs(float64(n)/float64(paper[f.Name])-1) > 0.01 {
			t.Errorf("%s: %d pages with 100 requests, want %d within 1 %%", f.Name, n, paper[f.Name])
		}
	}
}
