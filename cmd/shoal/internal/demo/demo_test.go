package demo

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/cmd/shoal/internal/programs"
	"github.com/shoal-project/shoal/cmd/shoal/internal/received"
	"github.com/shoal-project/shoal/internal/console"
	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/metric/task"
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
	checkReceived(t, r)
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

// checkReceived: the parties are those of the demo, each has received something, and the
// table of it is printed. That a party has what it must not have fails the demo itself,
// and so does a search that has not opened all reports; see TestBrokenPromises.
func checkReceived(t *testing.T, r *Result) {
	t.Helper()
	var text strings.Builder
	if err := r.received(&text); err != nil {
		t.Fatal(err)
	}
	for i, roles := range []string{"relay", "shuffler, helper", "analyzer, leader, collector"} {
		if len(r.Received) <= i || strings.Join(r.Received[i].Roles, ", ") != roles || r.Received[i].Bytes == 0 || r.Received[i].Searched < 20 {
			t.Errorf("%s: %+v", roles, r.Received)
		}
		if !strings.Contains(text.String(), roles) {
			t.Errorf("no row for %s:\n%s", roles, &text)
		}
	}
	relay, first, last := r.Received[0], r.Received[1], r.Received[2]
	if relay.Requests+relay.Reports+relay.Records+relay.Shares != 0 || first.Guesses == 0 || last.Released != len(r.Released) {
		t.Errorf("the relay opens something, the shuffler confirms no guess, or the analyzer has not all of %d crowds: %+v", len(r.Released), r.Received)
	}
}

// TestBrokenPromises: each thing that a party must not have ends the demo, and so does a
// search that has seen less than there was.
func TestBrokenPromises(t *testing.T) {
	for name, c := range map[string]struct {
		roles []task.Role
		give  func(*Received)
	}{
		"the address of a connection":    {[]task.Role{task.Shuffler}, func(v *Received) { v.Devices = 1 }},
		"an address":                     {[]task.Role{task.Analyzer}, func(v *Received) { v.Addresses = 1 }},
		"a value at the shuffler":        {[]task.Role{task.Shuffler, task.Helper}, func(v *Received) { v.Released = 1 }},
		"a value at the relay":           {[]task.Role{task.Relay}, func(v *Received) { v.Released = 1 }},
		"a guess at the relay":           {[]task.Role{task.Relay}, func(v *Received) { v.Guesses = 1 }},
		"a rare value at the analyzer":   {[]task.Role{task.Analyzer}, func(v *Received) { v.Rare = 1 }},
		"a key of another":               {[]task.Role{task.Relay}, func(v *Received) { v.Secrets = 1 }},
		"what another party has opened":  {[]task.Role{task.Shuffler}, func(v *Received) { v.Opened = 1 }},
		"what another opens, at a relay": {[]task.Role{task.Relay}, func(v *Received) { v.Opened = 1 }},
	} {
		v := Received{Finding: received.Finding{Party: "Someone"}}
		if err := v.promised(c.roles, false); err != nil {
			t.Errorf("nothing: %v", err)
		}
		c.give(&v)
		if err := v.promised(c.roles, false); err == nil || !strings.Contains(err.Error(), "Someone received what it must not have: 1 ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	hardened := Received{Finding: received.Finding{Party: "Someone", Guesses: 1}}
	if hardened.promised([]task.Role{task.Shuffler}, true) == nil || hardened.promised([]task.Role{task.Shuffler}, false) != nil {
		t.Error("a shuffler confirms a guess of a hardened quorum, or must not of another one")
	}
	s := &Stage{task: &task.Task{}, devices: addresses(3), aggregates: []*task.Task{{}, {}}}
	r := &Result{Sent: 10, People: 3, Analyzer: analyzer.Counts{Records: 5}, Released: []Crowd{{}}}
	all := Received{Finding: received.Finding{Devices: len(s.devices), Reports: 10, Records: 5, Shares: 6}, Released: 1, findable: 1}
	for role, less := range map[task.Role]func(*Received){
		task.Relay:    func(v *Received) { v.Devices -= min(1, len(s.devices)) },
		task.Shuffler: func(v *Received) { v.Reports-- },
		task.Analyzer: func(v *Received) { v.Released = 0 },
		task.Leader:   func(v *Received) { v.Shares-- },
		task.Helper:   func(v *Received) { v.Shares-- },
	} {
		v := all
		if err := s.searched(r, &v, []task.Role{role}); err != nil {
			t.Errorf("%v: %v", role, err)
		}
		less(&v)
		if err := s.searched(r, &v, []task.Role{role}); err == nil && (role != task.Relay || s.devices != nil) {
			t.Errorf("%v: a search that has seen less passes", role)
		}
	}
}
