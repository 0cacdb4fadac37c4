package server

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/quorum/randomness"
	"github.com/shoal-project/shoal/metric/task"
)

// hardened founds a randomness party for the organisations of a world, and asks the
// question again with it.
func (w *world) hardened() *org {
	w.t.Helper()
	o := w.found(task.Randomness)
	for _, each := range []*org{w.a, w.b, o} {
		each.adjust = func(c *Config) { c.Credentials.Work = 1 }
	}
	w.task.Schema = task.Schema{{Name: "name", Kind: task.String, Max: 16}}
	w.task.Crowd = task.CrowdRule{Kind: task.Payload, SaltEpochs: 1}
	w.task.Encoding = task.Encoding{Kind: task.Quorum, Shares: 10}
	w.task.PayloadSize = 256
	w.task.Protection = task.Protection{
		CredentialEpochs: 24, Evaluations: 2,
		Randomness: task.Party{Role: task.Randomness, URL: o.url(), Identity: o.public()},
	}
	signed, err := task.Sign(w.task, w.owner)
	must(w.t, err)
	w.id, err = w.task.ID()
	must(w.t, err)
	b, err := (&task.Bundle{Tasks: []*task.Signed{signed}}).Encode()
	must(w.t, err)
	for _, to := range []*org{w.a, w.b, o} {
		must(w.t, os.WriteFile(filepath.Join(to.dir, "tasks.bundle"), b, 0o600))
	}
	return o
}

// evaluations is the address of the evaluations of the present epoch.
func (w *world) evaluations() string {
	return fmt.Sprintf("%s/tasks/%v/evaluations/%d", w.task.Protection.Randomness.URL, w.id, w.task.EpochAt(w.clock.Now()))
}

// TestRandomnessStatus: each figure of a randomness party's status is a gauge or a
// reason.
func TestRandomnessStatus(t *testing.T) {
	st := randomness.Status{
		Requests: map[string]uint64{"answered": 1, "malformed": 2}, Keys: 3, Destroyed: 4, Undestroyed: 5, Full: 6, Cut: 7, Overdue: 8,
		Lost: []string{"folder"}, ClockUnsure: true,
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[randomness.Status]()) {
		if reflect.ValueOf(st).FieldByIndex(f.Index).IsZero() {
			t.Fatalf("the test lacks %s", f.Name)
		}
	}
	got := shownBy(t, noon, func(int) Health {
		h := randomnessHealth(st)
		h.cut(int(st.Cut))
		return h
	})
	for _, want := range []string{
		`shoal_evaluations{role="leader",state="answered"} 1`, `shoal_evaluations{role="leader",state="malformed"} 2`,
		`shoal_evaluation_keys{role="leader"} 3`, `shoal_evaluation_keys_destroyed{role="leader"} 4`, `shoal_evaluation_keys_undestroyed{role="leader"} 5`,
		`shoal_evaluations_disk_full{role="leader"} 6`, `shoal_spent_rows_cut{role="leader"} 7`, `shoal_evaluation_keys_overdue{role="leader"} 8`,
		`shoal_evaluation_keys_lost{role="leader"} 1`,
	} {
		if !strings.Contains(got.metrics, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	all := strings.Join(got.reasons, "\n")
	for _, want := range []string{"the first is folder", "8 evaluation keys are still there", "no key is destroyed"} {
		if !strings.Contains(all, want) {
			t.Errorf("reasons %q lack %q", all, want)
		}
	}
	if strings.Count(got.log, "may be used again") != 1 || !strings.Contains(got.log, "rows=7") {
		t.Errorf("log:\n%s", got.log)
	}
}

// TestRandomnessRole covers a flood of requests without credentials and of malformed ones
// (they are counted by cause, and nothing is evaluated), and keys that outlive their
// epochs: with the epoch's end and the skew the key is gone from the disk, also of a server that did not
// run then.
func TestRandomnessRole(t *testing.T) {
	w := newWorld(t)
	o := w.hardened()
	o.start()
	for _, what := range []struct {
		mediaType string
		body      []byte
		status    int
	}{
		{randomness.RequestType, []byte("short"), http.StatusBadRequest},
		{"text/plain", nil, http.StatusUnsupportedMediaType},
		{randomness.RequestType, append([]byte{1, 0, 0}, make([]byte, 64*32)...), http.StatusBadRequest}, // the identity is no point
		{randomness.RequestType, make([]byte, 1<<20), http.StatusBadRequest},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.evaluations(), bytes.NewReader(what.body))
		must(t, err)
		r.Header.Set("Content-Type", what.mediaType)
		resp, err := http.DefaultTransport.RoundTrip(r)
		must(t, err)
		must(t, resp.Body.Close())
		if resp.StatusCode != what.status {
			t.Errorf("%d bytes of %s: HTTP %d, want %d", len(what.body), what.mediaType, resp.StatusCode, what.status)
		}
	}
	if status, _, _ := get(t, w.evaluations(), ""); status != http.StatusOK {
		t.Fatalf("the key: HTTP %d", status)
	}
	key := filepath.Join(o.dir, "data", "randomness", "keys", fmt.Sprintf("%x-%d", w.id[:], w.task.EpochAt(w.clock.Now())), "key")
	if _, err := os.Stat(key); err != nil {
		t.Fatal(err)
	}
	_ = w.tick(o)
	_, _, body := get(t, "http://"+o.server.Addr("ops")+"/metrics", "")
	for _, want := range []string{
		`shoal_evaluations{role="randomness",state="malformed"} 3`, `shoal_evaluations{role="randomness",state="bad_type"} 1`,
		`shoal_evaluations{role="randomness",state="answered"} 0`, `shoal_evaluation_keys{role="randomness"} 1`,
	} {
		if !strings.Contains(string(body), want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	o.halt()
	w.clock.Forward(w.task.EvaluationEnds(w.task.EpochAt(w.clock.Now())))
	o.start()
	if _, err := os.Stat(filepath.Dir(key)); !os.IsNotExist(err) {
		t.Errorf("the key is there after its epoch: %v", err)
	}
}

// TestRandomnessRestored covers an organisation that is restored, or starts without its
// data, in the middle of an epoch: a second key of the epoch would give one value two
// evaluations, so no key is made until the next epoch. No backup has a key.
func TestRandomnessRestored(t *testing.T) {
	w := newWorld(t)
	o := w.hardened()
	o.start()
	if status, _, _ := get(t, w.evaluations(), ""); status != http.StatusOK {
		t.Fatalf("before: HTTP %d", status)
	}
	o.halt()
	to := filepath.Join(t.TempDir(), "backup")
	c := o.config()
	c.Tasks.Bundles = nil // those of the file
	info, err := Backup(t.Context(), c, o.file, to, w.clock.Now(), func(string, int, int) {})
	must(t, err)
	for _, f := range info.Files {
		if strings.Contains(f.Path, "randomness") {
			t.Errorf("the backup has %s", f.Path)
		}
	}
	o.dir = filepath.Join(t.TempDir(), "restored")
	var remarks []string
	o.file, remarks, err = Restore(t.Context(), to, o.dir, w.clock.Now(), func(string, int, int) {})
	must(t, err)
	if !strings.Contains(strings.Join(remarks, "\n"), "randomness: its keys are in no backup") {
		t.Errorf("remarks %q", remarks)
	}
	must(t, os.WriteFile(filepath.Join(o.dir, "tasks.bundle"), must2(os.ReadFile(filepath.Join(w.a.dir, "tasks.bundle"))), 0o600))
	o.start()
	status, _, body := get(t, w.evaluations(), "")
	if status != http.StatusServiceUnavailable || !strings.Contains(string(body), "evaluationKeyLost") {
		t.Errorf("restored: HTTP %d: %s", status, body)
	}
	_ = w.tick(o)
	if reasons := strings.Join(o.server.unready(t.Context()), " "); !strings.Contains(reasons, "the evaluation keys of 1 epochs are lost") {
		t.Errorf("reasons %q", reasons)
	}
	w.clock.Forward(w.task.EvaluationEnds(w.task.EpochAt(w.clock.Now())).Add(time.Minute))
	_ = w.tick(o)
	if status, _, _ := get(t, w.evaluations(), ""); status != http.StatusOK {
		t.Errorf("in the next epoch: HTTP %d", status)
	}
	if reasons := o.server.unready(t.Context()); len(reasons) != 0 {
		t.Errorf("reasons %q in the next epoch", reasons)
	}
}

func must2(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}
