package demo

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/cmd/shoal/internal/programs"
	"github.com/shoal-project/shoal/internal/console"
	"github.com/shoal-project/shoal/metric/plan"
)

// TestDemo plays the demo with invented programs and holds the answer against
// the truth. The threat it covers: a small crowd's name in anything that either
// organisation has on disk.
func TestDemo(t *testing.T) {
	found := []programs.Program{{Name: "rarely-used-program", APIs: 1}}
	for i := range 40 {
		found = append(found, programs.Program{Name: "tool-" + string(rune('a'+i/26)) + string(rune('a'+i%26)), APIs: uint64(i*i+1) & 0xffff})
	}
	in, err := Programs(found, [32]byte{3})
	if err != nil {
		t.Fatal(err)
	}
	// 400 people of four tools each, drawn by popularity, and one person with the rare one:
	// with 1600 reports a noised minimum of 1000 is missed in 1 of 10^15 runs.
	in.Who = Zipf([32]byte{3}, 400, 4, 40)
	for _, has := range in.Who {
		for i := range has {
			has[i]++ // none has the rare program ...
		}
	}
	in.Who[7][0] = 0 // ... but this one
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s, err := Set(ctx, Config{Input: in, Dir: dir, Start: time.Date(2027, 3, 1, 10, 20, 0, 0, time.UTC), Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Play(ctx)
	if err != nil {
		t.Fatal(err)
	}
	checkConsole(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if r.Sent != 1600 || r.Shuffler.Reports == nil || *r.Shuffler.Reports > 1800 || *r.Shuffler.Reports < 1400 {
		t.Errorf("sent %d, told %+v", r.Sent, r.Shuffler)
	}
	if sum := r.Analyzer.Records + uint64(r.Suppressed.Reports); sum > 1600 {
		t.Errorf("%d reports are accounted for, of 1600", sum)
	}
	if len(r.Released) == 0 || r.Suppressed.Crowds == 0 || r.Accuracy.Invented != 0 {
		t.Errorf("%d released, %d suppressed, %d invented", len(r.Released), r.Suppressed.Crowds, r.Accuracy.Invented)
	}
	if r.Accuracy.WorstErr > 12 {
		t.Errorf("a count is off by %.0f: six standard deviations of the noise", r.Accuracy.WorstErr)
	}
	checkSums(t, r)
	checkSees(t, s, r)
	var text strings.Builder
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text.String(), "rarely-used") {
		t.Error("a program that one person uses is in the printed answer")
	}
	err = filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(name)
		if strings.Contains(string(b), "rarely-used") {
			t.Errorf("%s holds the name of a program that one person uses", name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// checkSums: the count, which has no noise, is the truth; the histogram's numbers
// are off by no more than noise of its kind ever is.
func checkSums(t *testing.T, r *Result) {
	t.Helper()
	if len(r.Sums) != 2 {
		t.Fatalf("%d aggregate questions were answered, want 2", len(r.Sums))
	}
	count, histogram := r.Sums[0], r.Sums[1]
	if count.Reports != uint64(r.People) || histogram.Reports != uint64(r.People) {
		t.Errorf("%d and %d reports of %d people", count.Reports, histogram.Reports, r.People)
	}
	if len(count.Rows) != 1 || count.Exact != 1 || count.Noise != "none" {
		t.Errorf("the count is %+v, want the truth", count)
	}
	people := 0
	for _, row := range histogram.Rows {
		people += row.True
		if off := row.Estimate - float64(row.True); off > 40 || off < -40 || row.Estimate > 20 && row.High-row.Low < 4 {
			t.Errorf("%s: %+v", row.Label, row)
		}
	}
	if people != r.People || len(histogram.Rows) != 6 || histogram.Inside < 4 {
		t.Errorf("the histogram has %d people in %d buckets, %d intervals hold", people, len(histogram.Rows), histogram.Inside)
	}
}

// checkConsole: the pages of the aggregate questions show what was released, how
// exact it is, and export it.
func checkConsole(t *testing.T, s *Stage) {
	t.Helper()
	h, err := console.New(console.FromServer(s.analyzer), console.Options{Clock: s.clock})
	if err != nil {
		t.Fatal(err)
	}
	get := func(path string) string {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Host = "localhost"
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			t.Errorf("%s: status %d", path, w.Code)
		}
		return w.Body.String()
	}
	list := get("/")
	for _, task := range s.aggregates {
		id, err := task.ID()
		if err != nil {
			t.Fatal(err)
		}
		path := "/questions/" + id.String()
		page, csv := get(path), get(path+"/export.csv")
		wants := map[string][]string{
			countMetric:     {"exactly what was sent", `class="dot"`, "Noise</dt><dd>none"},
			histogramMetric: {"10 and above", `class="error"`, "discrete Laplace, epsilon 1", "Leader and helper together"},
		}[task.Metric]
		for _, want := range append(wants, "400", "released", "Collector") {
			if !strings.Contains(page, want) {
				t.Errorf("the page of %s does not say %q", task.Metric, want)
			}
		}
		if !strings.Contains(list, path) || !strings.HasPrefix(csv, "epoch,item,reports,estimate,stddev,low,high,task,version\n") {
			t.Errorf("%s is not in the list, or exports %q", task.Metric, csv)
		}
	}
}

// checkSees: what the parties could see is in the words of the plan.
func checkSees(t *testing.T, s *Stage, r *Result) {
	t.Helper()
	views := append(plan.Views(s.task), plan.Views(s.aggregates[0])...)
	for _, got := range r.Sees {
		quotes := func(v plan.View) bool {
			return v.Who == got.Party && strings.HasPrefix(got.Sees, v.Sees) && got.Never == v.Never()
		}
		if !slices.ContainsFunc(views, quotes) {
			t.Errorf("%+v is not in the plan", got)
		}
	}
	if len(r.Sees) != 7 {
		t.Errorf("%d parties, want 7", len(r.Sees))
	}
}
