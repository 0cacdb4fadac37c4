package collector_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/dap/auth"
	"github.com/shoal-project/shoal/internal/dap/collector"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/durable/crashfs"
	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/internal/release"
)

const header = "epoch,item,reports,estimate,stddev,low,high\n"

// TestSchedule: every epoch is asked for once, not before its end and the time
// that reports may be late, and released under the labels of the question.
func TestSchedule(t *testing.T) {
	for _, v := range []*dap.Variant{dap.DAP18(), dap.DAP19(), dap.Janus()} {
		t.Run(v.String(), func(t *testing.T) {
			w := newWorld(t, setting{variant: v})
			w.leader.fill(hour(0), 30, 20, 10, 5)
			w.leader.fill(hour(1), 0, 60, 0, 0)
			if err := w.pass(69 * time.Minute); err != nil || w.states() != "" || w.leader.created > 0 {
				t.Fatalf("before the epoch has closed: %q, %d jobs, %v", w.states(), w.leader.created, err)
			}
			if err := w.pass(2 * time.Hour); err != nil {
				t.Fatal(err)
			}
			const want = header +
				"2026-11-23T12:00:00Z,red,65,30,0,30,30\n2026-11-23T12:00:00Z,green,65,20,0,20,20\n2026-11-23T12:00:00Z,blue,65,10,0,10,10\n2026-11-23T12:00:00Z,answered,65,60,0,60,60\n" +
				"2026-11-23T13:00:00Z,red,60,0,0,0,0\n2026-11-23T13:00:00Z,green,60,60,0,60,60\n2026-11-23T13:00:00Z,blue,60,0,0,0,0\n2026-11-23T13:00:00Z,answered,60,60,0,60,60\n"
			if got := w.rows(); got != want {
				t.Errorf("released\n%s\nwant\n%s", got, want)
			}
			if err := w.pass(9 * time.Hour); err != nil {
				t.Fatal(err)
			}
			if got, want := w.states(), "released released asked asked asked"; got != want || w.leader.created != 5 {
				t.Errorf("after the task's end: %q, %d jobs; want %q, 5", got, w.leader.created, want)
			}
		})
	}
}

// TestBeginning: of a task without a beginning, or one that is old, the schedule
// begins where the collector does, and goes on from there after a long stop.
func TestBeginning(t *testing.T) {
	w := newWorld(t, setting{begins: -100 * 24 * time.Hour})
	w.leader.fill(hour(0), 60, 0, 0, 0)
	w.leader.fill(hour(1), 0, 60, 0, 0)
	if err := w.pass(3 * time.Minute); err != nil || w.leader.created > 0 {
		t.Fatalf("%d jobs at once, %v", w.leader.created, err)
	}
	w.clock.Forward(noon.Add(4 * time.Hour))
	w.start()
	if err := w.pass(10 * time.Minute); err != nil {
		t.Fatal(err)
	}
	if got := w.states(); got != "released released asked asked" || !strings.Contains(w.rows(), "12:00:00Z,red,60") {
		t.Errorf("states %q, released\n%s", got, w.rows())
	}
}

// TestManifest: the manifest contains the rules, and states that there is no noise.
func TestManifest(t *testing.T) {
	w := newWorld(t, setting{})
	w.leader.fill(hour(0), 30, 20, 10, 5)
	if err := w.pass(80 * time.Minute); err != nil {
		t.Fatal(err)
	}
	entries := must(w.tables.Entries(t.Context()))
	if len(entries) != 1 {
		t.Fatalf("%d entries", len(entries))
	}
	m := entries[0].Manifest
	id := must(w.shoal.ID())
	if m.Task != id.String() || m.DAPTask != w.task.ID().String() || m.Reports != 65 || m.Parameters.Noise != (dp.Noise{}).String() ||
		m.Parameters.Presence != "hidden" || m.Parameters.MinBatch != 50 || !m.Start.Equal(noon) || !m.End.Equal(noon.Add(time.Hour)) {
		t.Errorf("manifest %+v", m)
	}
	file := must(durable.ReadFile(w.fs, "collector/tables/"+entryDir(t, w)+"/"+release.ManifestFile))
	var again collector.Manifest
	if err := json.Unmarshal(file, &again); err != nil || again.Digest != m.Digest || len(again.Tables) != 1 {
		t.Errorf("the file beside the table says %s, %v", file, err)
	}
}

func entryDir(t *testing.T, w *world) string {
	t.Helper()
	dirs := must(w.fs.ReadDir("collector/tables"))
	if len(dirs) != 1 {
		t.Fatalf("%d folders of tables, want 1", len(dirs))
	}
	return dirs[0].Name()
}

// TestNoise: estimates below zero stay, intervals are as wide as the noise.
func TestNoise(t *testing.T) {
	noise := must(dp.NewLaplaceNoise(1, 1, 2))
	w := newWorld(t, setting{noise: noise})
	w.leader.fill(hour(0), 100, -3, 0, 0)
	if err := w.pass(80 * time.Minute); err != nil {
		t.Fatal(err)
	}
	for row, err := range must(release.Select(t.Context(), w.tables, release.Query{Metric: "colour"}))[0].Rows(collector.ResultsTable) {
		if err != nil {
			t.Fatal(err)
		}
		within := float64(noise.Within95())
		estimate, low, high := row[3].(float64), row[5].(float64), row[6].(float64)
		switch row[1] {
		case "red":
			if estimate != 100 || low != 100-within || high != 100+within || row[4].(float64) <= 0 {
				t.Errorf("red: %v", row)
			}
		case "green":
			if estimate != -3 || low != 0 || high != within-3 {
				t.Errorf("green: %v", row)
			}
		}
	}
}

// TestNotEnough: the leader's coarse count is kept, the rest of its answer is not,
// and in the end the ask is given up.
func TestNotEnough(t *testing.T) {
	w := newWorld(t, setting{})
	w.leader.waits["Shoal-Missing-Reports"] = "26"
	if err := w.pass(71 * time.Minute); err != nil {
		t.Fatal(err)
	}
	pending := must(w.c.Status(t.Context(), w.task.ID(), 100))
	if len(pending) != 1 || pending[0].Missing != "up to 26 of 50 reports" || !pending[0].Start.Equal(noon) || pending[0].Err != nil {
		t.Fatalf("pending %+v", pending)
	}
	w.leader.waits["Shoal-Missing-Reports"] = "all; call 555-0199"
	if err := w.pass(5 * time.Minute); err != nil {
		t.Fatal(err)
	}
	if pending := must(w.c.Status(t.Context(), w.task.ID(), 100)); pending[0].Missing != "" {
		t.Errorf("%q is shown", pending[0].Missing)
	}
	w.clock.Forward(w.clock.Now().Add(8 * 24 * time.Hour))
	if err := w.c.Tick(t.Context()); err != nil {
		t.Fatal(err)
	}
	pending = must(w.c.Status(t.Context(), w.task.ID(), 100))
	if pending[0].State != collector.Abandoned || !strings.Contains(pending[0].Reason, "not enough reports") {
		t.Errorf("after a week: %+v", pending[0])
	}
}

// TestProblems: what may pass is tried again, what may not is given up with the
// leader's reason.
func TestProblems(t *testing.T) {
	for name, tt := range map[string]struct {
		status int
		p      dap.ProblemType
		want   string
	}{
		"too few":       {400, dap.ProblemInvalidBatchSize, "asked"},
		"unknown task":  {404, dap.ProblemUnrecognizedTask, "asked"},
		"overlap":       {400, dap.ProblemBatchOverlap, "abandoned"},
		"not this form": {400, dap.ProblemBatchInvalid, "abandoned"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, setting{})
			w.leader.fail = func(*http.Request) bool { return false }
			refuse := http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { problem(rw, tt.status, tt.p) })
			old := w.leader.server.Config.Handler
			w.leader.server.Config.Handler = refuse
			_ = w.pass(90 * time.Minute) // errors are those of the leader
			if got := w.states(); got != tt.want {
				t.Fatalf("state %q, want %q", got, tt.want)
			}
			w.leader.server.Config.Handler = old
			w.leader.fill(hour(0), 60, 0, 0, 0)
			if err := w.pass(3 * time.Hour); err != nil {
				t.Fatal(err)
			}
			if got := strings.Contains(w.rows(), "12:00:00Z,red,60,60"); got != (tt.want == "asked") {
				t.Errorf("released\n%s", w.rows())
			}
		})
	}
}

// TestBatchInvalidIsEarly: a leader that chooses the batch may answer that it is
// invalid until one is full, and a leader that gives a time to ask again waits.
func TestBatchInvalidIsEarly(t *testing.T) {
	for name, tt := range map[string]struct {
		mode  dap.BatchMode
		retry string
		query dap.Query
	}{
		"leader-selected": {dap.LeaderSelectedMode, "", dap.NextBatchQuery()},
		"told to wait":    {dap.TimeIntervalMode, "60", hour(0)},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, setting{mode: tt.mode})
			old := w.leader.server.Config.Handler
			refuse := http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
				if tt.retry != "" {
					rw.Header().Set("Retry-After", tt.retry)
				}
				problem(rw, 400, dap.ProblemBatchInvalid)
			})
			w.leader.server.Config.Handler = refuse
			if err := w.pass(90 * time.Minute); err != nil {
				t.Fatal(err)
			}
			if got := w.states(); got != "asked" {
				t.Fatalf("state %q while the leader has no batch", got)
			}
			w.leader.server.Config.Handler = old
			w.leader.fill(tt.query, 60, 0, 0, 0)
			if err := w.pass(30 * time.Minute); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(w.rows(), ",red,60,60") {
				t.Errorf("released\n%s", w.rows())
			}
			w.leader.server.Config.Handler = refuse
			w.clock.Forward(w.clock.Now().Add(2 * time.Hour))
			_ = w.c.Tick(t.Context())
			w.clock.Forward(w.clock.Now().Add(8 * 24 * time.Hour))
			_ = w.c.Tick(t.Context())
			if got := w.states(); !strings.HasPrefix(got, "expired abandoned") {
				t.Errorf("states %q after a week without a batch", got)
			}
		})
	}
}

// TestLeaderThatIsNotReady: leaders report that a result is not ready by an answer
// without a body, 200 or 202.
func TestLeaderThatIsNotReady(t *testing.T) {
	for _, v := range []*dap.Variant{dap.DAP18(), dap.DAP19(), dap.Janus()} {
		for _, status := range []int{200, 202} {
			w := newWorld(t, setting{variant: v})
			w.leader.notReady = status
			if err := w.pass(80 * time.Minute); err != nil {
				t.Fatal(err)
			}
			if got := w.states(); got != "asked" {
				t.Fatalf("%v, %d: state %q", v, status, got)
			}
			w.leader.fill(hour(0), 60, 0, 0, 0)
			if err := w.pass(10 * time.Minute); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(w.rows(), ",red,60,60") {
				t.Errorf("%v, %d: released\n%s", v, status, w.rows())
			}
		}
	}
}

// TestNoLocation: where the collector chooses the ID of the job, a leader need not
// send its location; Janus does not.
func TestNoLocation(t *testing.T) {
	w := newWorld(t, setting{variant: dap.Janus()})
	w.leader.mute = true
	w.leader.fill(hour(0), 60, 0, 0, 0)
	puts := 0
	w.leader.fail = func(r *http.Request) bool {
		if r.Method == http.MethodPut {
			puts++
		}
		return false
	}
	if err := w.pass(100 * time.Minute); err != nil {
		t.Fatal(err)
	}
	if got := w.rows(); puts != 1 || !strings.Contains(got, "12:00:00Z,red,60,60") {
		t.Errorf("%d requests, released\n%s", puts, got)
	}
}

// TestLostReports: the count of reports that a leader reports as missing in the
// result is in the manifest, if it is a number.
func TestLostReports(t *testing.T) {
	for header, want := range map[string]string{
		"": "", "0": "", "many; call 555-0199": "", "3": "3 accepted reports have expired and are not in the result",
	} {
		w := newWorld(t, setting{})
		w.leader.lost = header
		w.leader.fill(hour(0), 60, 0, 0, 0)
		if err := w.pass(80 * time.Minute); err != nil {
			t.Fatal(err)
		}
		file := must(durable.ReadFile(w.fs, "collector/tables/"+entryDir(t, w)+"/"+release.ManifestFile))
		var m collector.Manifest
		if err := json.Unmarshal(file, &m); err != nil || m.Missing != want {
			t.Errorf("%q: missing %q, want %q, error %v", header, m.Missing, want, err)
		}
	}
}

// TestForgetfulLeader: a leader that has lost the job is asked to create it again.
func TestForgetfulLeader(t *testing.T) {
	w := newWorld(t, setting{})
	if err := w.pass(72 * time.Minute); err != nil {
		t.Fatal(err)
	}
	w.leader.mu.Lock()
	w.leader.jobs = map[string]*job{}
	w.leader.mu.Unlock()
	w.leader.fill(hour(0), 60, 0, 0, 0)
	if err := w.pass(30 * time.Minute); err != nil {
		t.Fatal(err)
	}
	if w.states() != "released" {
		t.Errorf("states %q", w.states())
	}
}

// TestWrongKey: an answer that cannot be opened is kept until the key is back.
func TestWrongKey(t *testing.T) {
	w := newWorld(t, setting{})
	w.leader.fill(hour(0), 60, 0, 0, 0)
	right := w.key
	w.key = must(dapkey.Generate(8, hpke.X25519, rand.Reader))
	w.start()
	w.key = right
	_ = w.pass(80 * time.Minute)
	pending := must(w.c.Status(t.Context(), w.task.ID(), 100))
	if w.states() != "received" || pending[0].Err == nil || !strings.Contains(pending[0].Err.Error(), "restore the collector's keys") {
		t.Fatalf("%+v", pending)
	}
	w.start()
	if err := w.c.Tick(t.Context()); err != nil || w.states() != "released" {
		t.Errorf("%q, %v", w.states(), err)
	}
}

// TestByHand: longer intervals than an epoch can be asked for, no report twice,
// and none that may still arrive.
func TestByHand(t *testing.T) {
	w := newWorld(t, setting{})
	two := dap.IntervalQuery(dap.Interval{Start: dap.Time(noon.Unix() / 3600), Duration: 2})
	w.leader.fill(two, 90, 0, 0, 0)
	ask := func(from, to int) error {
		_, err := w.c.Collect(t.Context(), w.task.ID(), noon.Add(time.Duration(from)*time.Hour), noon.Add(time.Duration(to)*time.Hour))
		return err
	}
	if err := ask(0, 2); err == nil || !strings.Contains(err.Error(), "may still arrive until 2026-11-23T14:10:00Z") {
		t.Fatalf("before the end: %v", err)
	}
	w.clock.Set(noon.Add(131 * time.Minute))
	if err := ask(1, 1); err == nil {
		t.Error("an empty interval was asked for")
	}
	if err := errors.Join(ask(0, 2), ask(0, 2)); err != nil {
		t.Fatal(err)
	}
	if err := ask(1, 2); !errors.Is(err, collector.ErrOverlap) {
		t.Errorf("a part again: %v", err)
	}
	if _, err := w.c.Collect(t.Context(), dap.TaskID{9}, noon, noon); !errors.Is(err, collector.ErrUnknownTask) {
		t.Errorf("an unknown task: %v", err)
	}
	if err := w.pass(10 * time.Minute); err != nil {
		t.Fatal(err)
	}
	if got := w.states(); got != "released" || !strings.Contains(w.rows(), "12:00:00Z,red,90,90") {
		t.Errorf("states %q, released\n%s", got, w.rows())
	}
}

// TestLeaderSelected: the leader chooses batches. It answers an equal request with
// the job that it has, so that one is deleted before the next batch is asked for,
// and no batch is released twice.
func TestLeaderSelected(t *testing.T) {
	for _, v := range []*dap.Variant{dap.DAP18(), dap.Janus()} {
		w := newWorld(t, setting{mode: dap.LeaderSelectedMode, variant: v})
		next := dap.NextBatchQuery()
		w.leader.fill(next, 60, 0, 0, 0)
		if err := w.pass(75 * time.Minute); err != nil {
			t.Fatal(err)
		}
		w.leader.fill(next, 0, 70, 0, 0)
		if err := w.pass(20 * time.Minute); err != nil {
			t.Fatal(err)
		}
		if err := w.pass(30 * time.Minute); err != nil {
			t.Fatal(err)
		}
		got := w.rows()
		if strings.Count(got, ",red,60,60,") != 1 || strings.Count(got, ",green,70,70,") != 1 || strings.Count(got, "answered") != 2 {
			t.Errorf("%v: states %q, released\n%s", v, w.states(), got)
		}
	}
}

// TestForeign: a task without a question is collected by hand, as bare sums.
func TestForeign(t *testing.T) {
	w := newWorld(t, setting{foreign: true, variant: dap.Janus()})
	w.leader.fill(hour(0), 30, 20, 10, 0)
	if err := w.pass(3 * time.Hour); err != nil || w.states() != "" {
		t.Fatalf("something is scheduled: %q, %v", w.states(), err)
	}
	if _, err := w.c.Collect(t.Context(), w.task.ID(), noon, noon.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := w.pass(2 * time.Minute); err != nil {
		t.Fatal(err)
	}
	if want := header + "2026-11-23T12:00:00Z,0,60,30,0,30,30\n"; !strings.HasPrefix(w.rows(), want) {
		t.Errorf("released\n%s", w.rows())
	}
}

// TestExpiry: tables are deleted when the task requires it, and stay in the
// catalogue.
func TestExpiry(t *testing.T) {
	w := newWorld(t, setting{})
	w.leader.fill(hour(0), 60, 0, 0, 0)
	if err := w.pass(80 * time.Minute); err != nil {
		t.Fatal(err)
	}
	w.clock.Set(noon.Add(50 * time.Hour))
	if err := w.c.Tick(t.Context()); err != nil {
		t.Fatal(err)
	}
	if dirs := must(w.fs.ReadDir("collector/tables")); len(dirs) > 0 {
		t.Errorf("%d folders are left", len(dirs))
	}
	batches := must(w.tables.Released(t.Context()))
	if len(batches) != 1 || batches[0].Kept || !strings.HasPrefix(w.states(), "expired") {
		t.Errorf("%d batches, states %q", len(batches), w.states())
	}
}

// TestCrashes stops the machine at every call of the disk and at every change of
// the store, before and after it, and loses the first answers of the leader: in
// the end the batch is there once, with the right numbers.
func TestCrashes(t *testing.T) {
	run := func(w *world) { _ = w.pass(75 * time.Minute) }
	finish := func(t *testing.T, w *world) {
		t.Helper()
		w.leader.lose = true
		w.start()
		if err := w.pass(100 * time.Minute); err != nil {
			t.Fatal(err)
		}
		if got := w.rows(); strings.Count(got, ",red,60,60,") != 1 || w.leader.created > 2 {
			t.Errorf("%d jobs at the leader, released\n%s", w.leader.created, got)
		}
	}
	fill := func(w *world) *world {
		w.leader.fill(hour(0), 60, 0, 0, 0)
		return w
	}
	steps := fill(newWorld(t, setting{}))
	run(steps)
	for n := 1; n <= steps.store.Calls(); n++ {
		for _, after := range []bool{false, true} {
			w := fill(newWorld(t, setting{}))
			w.store.CrashAt(n, after)
			run(w)
			w.store = w.store.Restart()
			finish(t, w)
		}
	}
	count := crashfs.New(1)
	w := fill(newWorld(t, setting{}))
	w.fs = count
	w.start()
	before := count.Calls()
	run(w)
	for n := 1; n <= count.Calls()-before; n++ {
		w := fill(newWorld(t, setting{}))
		disk := crashfs.New(uint64(n))
		w.fs = disk
		w.start()
		disk.CrashAt(n)
		w.store.Crashed = disk.Crashed
		run(w)
		w.fs, w.store = disk.Restart(), w.store.Restart()
		finish(t, w)
	}
}

// TestRefusedQuestions: what does not belong together is not served.
func TestRefusedQuestions(t *testing.T) {
	w := newWorld(t, setting{})
	other := *w.shoal
	other.Question = "Another?"
	for name, q := range map[string]collector.Question{
		"no task":          {Leader: w.token, Shoal: w.shoal},
		"no token":         {Task: w.task, Shoal: w.shoal},
		"another question": {Task: w.task, Leader: w.token, Shoal: &other},
	} {
		if err := w.c.Serve(t.Context(), q); err == nil {
			t.Errorf("%s: served", name)
		}
	}
	if err := w.c.Serve(t.Context(), collector.Question{Task: w.task, Leader: must(auth.NewToken(rand.Reader)), Shoal: w.shoal}); err != nil {
		t.Errorf("another token: %v", err)
	}
	w.c.Drop(w.task.ID())
	if err := w.pass(2 * time.Hour); err != nil || w.states() != "" {
		t.Errorf("a question that was dropped is asked: %q, %v", w.states(), err)
	}
}

// TestRun: the loop does what Tick does, and ends with its context.
func TestRun(t *testing.T) {
	w := newWorld(t, setting{})
	w.leader.fill(hour(0), 60, 0, 0, 0)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.c.Run(ctx, nil) }()
	for !strings.Contains(w.rows(), ",red,60,60,") {
		w.clock.Forward(w.clock.Now().Add(time.Minute))
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

// FuzzAnswer: whatever a leader answers, the collector neither panics nor
// releases what the helper has not sealed.
func FuzzAnswer(f *testing.F) {
	f.Add(uint16(200), "", []byte{})
	f.Add(uint16(200), dap.TypeCollectionJobResp.MediaType(), make([]byte, 60))
	f.Add(uint16(202), "text/plain", []byte("wait"))
	f.Add(uint16(409), dap.ProblemMediaType, []byte(`{"type":"urn:ietf:params:ppm:dap:error:batchOverlap"}`))
	f.Fuzz(func(t *testing.T, status uint16, media string, body []byte) {
		w := newWorld(t, setting{})
		w.leader.server.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header()["Content-Type"] = []string{media}
			rw.WriteHeader(200 + int(status)%400)
			_, _ = rw.Write(body)
		})
		w.clock.Forward(noon.Add(75 * time.Minute))
		_ = w.c.Tick(t.Context())
		if strings.Contains(w.states(), "released") {
			t.Errorf("released %q", w.rows())
		}
	})
}
