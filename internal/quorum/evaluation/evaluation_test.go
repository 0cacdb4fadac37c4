package evaluation_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/shoal-project/shoal/crypto/voprf"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/durable/crashfs"
	"github.com/shoal-project/shoal/internal/quorum"
	"github.com/shoal-project/shoal/internal/quorum/evaluation"
	"github.com/shoal-project/shoal/internal/quorum/randomness"
	"github.com/shoal-project/shoal/metric/task"
)

const epoch = task.Epoch(20_000)

var start = time.Unix(86_400*int64(epoch), 0).UTC()

func hardened(t testing.TB, evaluations uint32) evaluation.Task {
	t.Helper()
	party := func(role task.Role, name string) task.Party {
		k, err := task.GenerateIdentityKey(mrand.NewChaCha8(sha256.Sum256([]byte(name))))
		if err != nil {
			t.Fatal(err)
		}
		return task.Party{Role: role, URL: "https://" + name + ".example", Identity: k.Public()}
	}
	tk := &task.Task{
		Owner: party(task.Shuffler, "owner").Identity, OwnedBy: "Example", Metric: "pages", Question: "Which pages?", Consent: "Pages.",
		Method: task.Crowd, Schema: task.Schema{{Name: "page", Kind: task.String, Max: 40}},
		Crowd:     task.CrowdRule{Kind: task.Payload, SaltEpochs: 1},
		Threshold: task.Threshold{Kind: task.NoisyDrop, T: 20, D: 12, SigmaMilli: 2000},
		Encoding:  task.Encoding{Kind: task.Quorum, Shares: 5},
		MinBatch:  100, EpochSeconds: 86_400, MaxDelay: 3600, ClockSkew: 300, PerEpoch: 100, PerCrowd: 1, PayloadSize: 256,
		NotBefore: start.Unix(), Expires: start.AddDate(0, 0, 90).Unix(),
		Hops:       []task.Party{party(task.Shuffler, "shuffler"), party(task.Analyzer, "analyzer")},
		Protection: task.Protection{CredentialEpochs: 7, Randomness: party(task.Randomness, "randomness"), Evaluations: evaluations},
	}
	if err := tk.Validate(); err != nil {
		t.Fatal(err)
	}
	id, err := tk.ID()
	if err != nil {
		t.Fatal(err)
	}
	return evaluation.Task{ID: id, Task: tk}
}

// A world is a randomness party and one device.
type world struct {
	t      testing.TB
	task   evaluation.Task
	clock  *clock.Virtual
	server *randomness.Server
	fs     *crashfs.FS // of the device
	client *evaluation.Client
	shown  int      // presentations that the device has allocated
	sent   [][]byte // bodies, in order
	times  []time.Time
	fail   func(*http.Request) (*http.Response, error) // in place of the party, if not nil
	values [][]byte
	rand   io.Reader

	key     func(*voprf.PublicKey) *voprf.PublicKey // what is announced in place of the party's, if not nil
	options func(*evaluation.Options)
}

func newWorld(t testing.TB, evaluations uint32, seed uint64) *world {
	t.Helper()
	w := &world{t: t, task: hardened(t, evaluations), clock: clock.NewVirtual(start.Add(time.Hour)), fs: crashfs.New(seed), rand: mrand.NewChaCha8([32]byte{byte(seed)})}
	server, err := randomness.New(t.Context(), randomness.Config{
		Dir: "randomness", FS: durable.Mem(), Tasks: []randomness.Task{{ID: w.task.ID, Task: w.task.Task}}, Clock: w.clock,
		Sign: func(_ randomness.KeySlot, b []byte) ([]byte, error) { return b, nil },
		Admit: func(_ context.Context, _ task.ID, _ task.Epoch, p []byte, request [32]byte) ([]byte, error) {
			if len(p) < 32 || !bytes.Equal(p[:32], request[:]) {
				return nil, randomness.ErrPresentation
			}
			return p[32:], nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.server = server
	return w
}

// open starts the device's program.
func (w *world) open() error {
	var err error
	o := evaluation.Options{
		Dir: "device", FS: w.fs, Key: make([]byte, 32), Rand: w.rand,
		Transport: func(*task.Task) (http.RoundTripper, error) { return w, nil },
		Present: func(_ context.Context, _ *task.Task, _ task.ID, _ task.Epoch, request [32]byte) ([]byte, error) {
			w.shown++
			return append(request[:], fmt.Sprint("nonce ", w.shown)...), nil
		},
		PublicKey: func(_ context.Context, _ *task.Task, id task.ID, e task.Epoch) (*voprf.PublicKey, error) {
			r := httptest.NewRecorder()
			w.server.Handler().ServeHTTP(r, httptest.NewRequest(http.MethodGet, fmt.Sprintf("/tasks/%v/evaluations/%d", id, e), nil))
			k, err := randomness.ParseAnnouncement(r.Body.Bytes())
			if err == nil && w.key != nil {
				k = w.key(k)
			}
			return k, err
		},
	}
	if w.options != nil {
		w.options(&o)
	}
	w.client, err = evaluation.Open(o)
	return err
}

// RoundTrip is the network.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	w.sent = append(w.sent, body)
	w.times = append(w.times, w.clock.Now())
	if w.fail != nil {
		if resp, err := w.fail(r); resp != nil || err != nil {
			return resp, err
		}
	}
	rec := httptest.NewRecorder()
	again := httptest.NewRequest(http.MethodPost, r.URL.Path, bytes.NewReader(body))
	again.Header = r.Header
	w.server.Handler().ServeHTTP(rec, again)
	return rec.Result(), nil
}

func (w *world) tick() (time.Time, error) {
	return w.client.Tick(w.t.Context(), w.clock.Now(), []evaluation.Task{w.task}, func(task.ID, task.Epoch) ([][]byte, error) { return w.values, nil })
}

// until runs the device until a time.
func (w *world) until(end time.Time) {
	w.t.Helper()
	for n := 0; n < 10_000; n++ {
		next, err := w.tick()
		if err != nil && w.fail == nil {
			w.t.Fatal(err)
		}
		if next.IsZero() || !next.Before(end) {
			w.clock.Forward(end)
			return
		}
		w.clock.Forward(next)
	}
	w.t.Fatal("no end")
}

// TestFixedNumber: with records and without, each epoch has the same number of requests, of
// one length, at times that are the same whatever is recorded.
func TestFixedNumber(t *testing.T) {
	var times [][]time.Time
	var lengths []int
	for _, records := range []int{0, 1, 3, 100} {
		w := newWorld(t, 3, 1)
		if err := w.open(); err != nil {
			t.Fatal(err)
		}
		for i := range records {
			w.values = append(w.values, fmt.Append(nil, "value ", i))
		}
		// The random source of blinding differs with records; times must not: they are drawn
		// when the epoch is first seen.
		w.until(start.Add(24 * time.Hour))
		if len(w.sent) != 3 {
			t.Errorf("%d records: %d requests an epoch, want 3", records, len(w.sent))
		}
		for _, body := range w.sent {
			lengths = append(lengths, len(body))
		}
		times = append(times, w.times)
		for i, v := range w.values {
			if _, err := w.client.Output(w.task.ID, epoch, v); err != nil {
				t.Errorf("%d records: value %d: %v", records, i, err)
			}
		}
	}
	for _, at := range times {
		if fmt.Sprint(at) != fmt.Sprint(times[0]) {
			t.Errorf("requests at %v with records, at %v without", at, times[0])
		}
	}
	for _, n := range lengths {
		if n != lengths[0] {
			t.Errorf("requests of %d and %d bytes", n, lengths[0])
		}
	}
}

// TestOutputs: outputs are those of the epoch's key; an answer under another key, or cut,
// or changed gives none; more values than points wait for the next request.
func TestOutputs(t *testing.T) {
	w := newWorld(t, 1, 2)
	if err := w.open(); err != nil {
		t.Fatal(err)
	}
	for i := range 70 {
		w.values = append(w.values, fmt.Append(nil, "value ", i))
	}
	other, err := voprf.GenerateKey(w.rand)
	if err != nil {
		t.Fatal(err)
	}
	bad := []func(*randomness.Request) []byte{
		func(q *randomness.Request) []byte { // another key
			r, err := voprf.ParseRequest(q.Points)
			if err != nil {
				t.Fatal(err)
			}
			a, err := other.Evaluate(w.rand, r)
			if err != nil {
				t.Fatal(err)
			}
			return a.Bytes()
		},
		func(*randomness.Request) []byte { return []byte("short") },
		func(*randomness.Request) []byte { return make([]byte, randomness.AnswerSize) },
		func(*randomness.Request) []byte { return make([]byte, 1<<20) },
	}
	turn := 0
	w.fail = func(*http.Request) (*http.Response, error) {
		if turn >= len(bad) {
			return nil, nil
		}
		q, err := randomness.ParseRequest(w.sent[len(w.sent)-1])
		if err != nil {
			t.Fatal(err)
		}
		turn++
		return &http.Response{StatusCode: 200, Body: io.NopCloser(bytes.NewReader(bad[turn-1](q)))}, nil
	}
	w.until(start.Add(24 * time.Hour))
	if len(w.sent) != len(bad)+1 || w.shown != 1 {
		t.Errorf("%d requests with %d presentations, want %d with one", len(w.sent), w.shown, len(bad)+1)
	}
	for _, body := range w.sent {
		if !bytes.Equal(body, w.sent[0]) {
			t.Error("a repetition differs from the request")
		}
	}
	have := 0
	for _, v := range w.values {
		if _, err := w.client.Output(w.task.ID, epoch, v); err == nil {
			have++
		} else if !errors.Is(err, evaluation.ErrMissing) {
			t.Error(err)
		}
	}
	if have != randomness.Points {
		t.Errorf("%d values evaluated, want %d", have, randomness.Points)
	}
	if _, err := w.client.Output(w.task.ID, epoch+1, w.values[0]); !errors.Is(err, evaluation.ErrMissing) {
		t.Errorf("an output of one epoch serves in another: %v", err)
	}
	w.fail = nil
	w.until(start.Add(48 * time.Hour))
	next, err := w.client.Output(w.task.ID, epoch+1, w.values[0])
	if err != nil {
		t.Fatal(err)
	}
	if was, err := w.client.Output(w.task.ID, epoch, w.values[0]); err == nil && bytes.Equal(was, next) {
		t.Error("two epochs have one output")
	}
	// The outputs are forgotten when the epoch's batch has closed.
	w.clock.Forward(w.task.Task.Closes(epoch).Add(time.Second))
	if _, err := w.tick(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.client.Output(w.task.ID, epoch, w.values[0]); !errors.Is(err, evaluation.ErrMissing) {
		t.Errorf("an output outlives its epoch: %v", err)
	}
}

// TestAway: a party that does not answer is waited for until the epoch's end; the next epoch
// begins as any.
func TestAway(t *testing.T) {
	w := newWorld(t, 2, 3)
	if err := w.open(); err != nil {
		t.Fatal(err)
	}
	w.values = [][]byte{[]byte("value")}
	for i, fail := range []func(*http.Request) (*http.Response, error){
		func(*http.Request) (*http.Response, error) { return nil, errors.New("away") },
		func(*http.Request) (*http.Response, error) { return status(503, ""), nil },
		func(*http.Request) (*http.Response, error) { return status(302, ""), nil },
		func(*http.Request) (*http.Response, error) { return status(403, ""), nil }, // a proxy
	} {
		w.fail = fail
		w.sent, w.shown = nil, 0
		w.until(start.Add(time.Duration(i+1) * 24 * time.Hour))
		if len(w.sent) < 3 || w.shown > 2 {
			t.Errorf("failure %d: %d requests with %d presentations", i, len(w.sent), w.shown)
		}
	}
	w.fail = func(*http.Request) (*http.Response, error) {
		return status(409, `{"type":"urn:shoal:problem:spentPresentation"}`), nil
	}
	w.sent, w.shown = nil, 0
	w.until(start.Add(5 * 24 * time.Hour))
	if len(w.sent) != 2 || w.shown != 2 {
		t.Errorf("refused by the party: %d requests with %d presentations, want 2 with 2", len(w.sent), w.shown)
	}
	w.fail = nil
	w.until(start.Add(6 * 24 * time.Hour))
	if _, err := w.client.Output(w.task.ID, epoch+5, w.values[0]); err != nil {
		t.Errorf("after all failures: %v", err)
	}
}

func status(code int, document string) *http.Response {
	return &http.Response{StatusCode: code, Header: http.Header{"Content-Type": {"application/problem+json"}}, Body: io.NopCloser(bytes.NewReader([]byte(document)))}
}

// TestAsleep: a device that was off makes its requests at new times, and as many.
func TestAsleep(t *testing.T) {
	w := newWorld(t, 2, 4)
	if err := w.open(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.tick(); err != nil {
		t.Fatal(err)
	}
	w.clock.Set(start.Add(23 * time.Hour)) // all times are past, or nearly so
	if _, err := w.tick(); err != nil {
		t.Fatal(err)
	}
	if len(w.sent) > 1 {
		t.Error("what was overdue was sent at once")
	}
	w.until(start.Add(24 * time.Hour))
	if len(w.sent) != 2 {
		t.Errorf("%d requests, want 2", len(w.sent))
	}
}

// TestCrashes ends the program at each call of the disk: no presentation is sent with two
// requests, and an output that was there stays.
func TestCrashes(t *testing.T) {
	for crash := 1; ; crash++ {
		w := newWorld(t, 2, uint64(crash))
		w.values = [][]byte{[]byte("value")}
		w.fail = func(*http.Request) (*http.Response, error) { return nil, nil } // errors are expected
		w.fs.CrashAt(crash)
		had, crashed := false, false
		for life := range 3 {
			if err := w.open(); err != nil {
				crashed = true
				w.fs = w.fs.Restart()
				continue
			}
			for range 40 {
				next, err := w.tick()
				if w.fs.Crashed() {
					break
				}
				if err != nil {
					t.Fatalf("crash %d: %v", crash, err)
				}
				_, err = w.client.Output(w.task.ID, epoch, w.values[0])
				if had && err != nil {
					t.Fatalf("crash %d, life %d: an output is lost", crash, life)
				}
				had = had || err == nil
				if !next.Before(start.Add(24 * time.Hour)) {
					break
				}
				w.clock.Forward(next)
			}
			if !w.fs.Crashed() {
				break
			}
			crashed = true
			w.fs = w.fs.Restart()
		}
		by := map[string][]byte{}
		for _, body := range w.sent {
			q, err := randomness.ParseRequest(body)
			if err != nil {
				t.Fatal(err)
			}
			nonce := string(q.Presentation[32:])
			if had := by[nonce]; had != nil && !bytes.Equal(had, body) {
				t.Fatalf("crash %d: one presentation with two requests", crash)
			}
			by[nonce] = body
		}
		if len(by) != 2 && w.clock.Now().Before(start.Add(20*time.Hour)) {
			t.Fatalf("crash %d: %d different requests, want 2", crash, len(by))
		}
		if !crashed {
			if crash < 10 {
				t.Errorf("only %d calls of the disk", crash)
			}
			return
		}
	}
}

// TestAtRest: the file shows no value and no output, and opens under its key alone.
func TestAtRest(t *testing.T) {
	w := newWorld(t, 1, 5)
	if err := w.open(); err != nil {
		t.Fatal(err)
	}
	w.values = [][]byte{[]byte("a value that is easy to find")}
	w.until(start.Add(24 * time.Hour))
	out, err := w.client.Output(w.task.ID, epoch, w.values[0])
	if err != nil {
		t.Fatal(err)
	}
	b, err := durable.ReadFile(w.fs, "device/evaluations")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b, w.values[0]) || bytes.Contains(b, out) || bytes.Contains(b, quorum.Input(w.task.ID, epoch, w.values[0])) {
		t.Error("the file shows what it holds")
	}
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 1
		if err := durable.WriteFile(w.fs, "device/evaluations", bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := w.open(); err == nil {
			t.Fatalf("byte %d changed: it opens", i)
		}
		if i > 64 {
			break
		}
	}
}
