package randomness_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoal-project/shoal/crypto/voprf"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/durable/crashfs"
	"github.com/shoal-project/shoal/internal/quorum/randomness"
	"github.com/shoal-project/shoal/metric/task"
)

const (
	epoch = task.Epoch(20_000)
	skew  = 300 * time.Second
)

var start = time.Unix(86_400*int64(epoch), 0).UTC()

func hardened(t testing.TB) randomness.Task {
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
		MinBatch:  100, EpochSeconds: 86_400, MaxDelay: 3600, ClockSkew: uint32(skew / time.Second), PerEpoch: 10, PerCrowd: 1, PayloadSize: 256,
		NotBefore: start.Unix(), Expires: start.AddDate(0, 0, 90).Unix(),
		Hops:       []task.Party{party(task.Shuffler, "shuffler"), party(task.Analyzer, "analyzer")},
		Protection: task.Protection{CredentialEpochs: 7, Randomness: party(task.Randomness, "randomness"), Evaluations: 2},
	}
	if err := tk.Validate(); err != nil {
		t.Fatal(err)
	}
	id, err := tk.ID()
	if err != nil {
		t.Fatal(err)
	}
	return randomness.Task{ID: id, Task: tk}
}

// admit stands for credentials: a presentation is its tag and the digest of its request.
func admit(_ context.Context, _ task.ID, _ task.Epoch, p []byte, request [32]byte) ([]byte, error) {
	if len(p) != 64 || !bytes.Equal(p[32:], request[:]) {
		return nil, fmt.Errorf("bound to another request: %w", randomness.ErrPresentation)
	}
	return p[:32], nil
}

func config(t testing.TB, fs durable.FS, c clock.Clock) randomness.Config {
	return randomness.Config{
		Dir: "randomness", FS: fs, Tasks: []randomness.Task{hardened(t)}, Admit: admit, Clock: c,
		Sign: func(_ randomness.KeySlot, b []byte) ([]byte, error) { return b, nil },
	}
}

func opened(t testing.TB, c randomness.Config) *randomness.Server {
	t.Helper()
	s, err := randomness.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A client has one request.
type client struct {
	pending *voprf.Pending
	request *voprf.Request
	body    []byte
}

func newClient(t testing.TB, id task.ID, e task.Epoch, tag byte, inputs ...string) client {
	t.Helper()
	var in [][]byte
	for _, s := range inputs {
		in = append(in, []byte(s))
	}
	pending, request, err := voprf.NewRequest(rand.Reader, in, randomness.Points)
	if err != nil {
		t.Fatal(err)
	}
	q := randomness.Request{Points: request.Bytes()}
	digest := q.Digest(id, e)
	q.Presentation = append(bytes.Repeat([]byte{tag}, 32), digest[:]...)
	body, err := q.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return client{pending, request, body}
}

func path(id task.ID, e task.Epoch) string { return fmt.Sprintf("/tasks/%v/evaluations/%d", id, e) }

func do(s *randomness.Server, method, path, mediaType string, body []byte) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, path, bytes.NewReader(body))
	if mediaType != "" {
		r.Header.Set("Content-Type", mediaType)
	}
	s.Handler().ServeHTTP(w, r)
	return w
}

func keyOf(t testing.TB, s *randomness.Server, id task.ID, e task.Epoch) *voprf.PublicKey {
	t.Helper()
	w := do(s, http.MethodGet, path(id, e), "", nil)
	k, err := randomness.ParseAnnouncement(w.Body.Bytes())
	if err != nil || w.Code != http.StatusOK {
		t.Fatalf("the key: HTTP %d, %v", w.Code, err)
	}
	return k
}

func (c client) finalize(t testing.TB, k *voprf.PublicKey, body []byte) [][]byte {
	t.Helper()
	a, err := voprf.ParseResponse(body)
	if err != nil {
		t.Fatal(err)
	}
	outputs, err := c.pending.Finalize(k, c.request, a)
	if err != nil {
		t.Fatal(err)
	}
	return outputs
}

// TestEvaluate: equal inputs have equal outputs for all clients of an epoch, over a
// restart, and others in the next epoch; a repetition is answered, another request with a
// spent presentation is not; the key is gone when the epoch is over.
func TestEvaluate(t *testing.T) {
	fs := crashfs.New(1)
	now := clock.NewVirtual(start.Add(time.Hour))
	c := config(t, fs, now)
	id := c.Tasks[0].ID
	s := opened(t, c)
	key := keyOf(t, s, id, epoch)
	a := newClient(t, id, epoch, 1, "x", "y")
	w := do(s, http.MethodPost, path(id, epoch), randomness.RequestType, a.body)
	if w.Code != http.StatusOK || w.Body.Len() != randomness.AnswerSize {
		t.Fatalf("HTTP %d with %d bytes", w.Code, w.Body.Len())
	}
	first := a.finalize(t, key, w.Body.Bytes())

	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = opened(t, c)
	if !bytes.Equal(keyOf(t, s, id, epoch).Bytes(), key.Bytes()) {
		t.Fatal("another key after a restart")
	}
	again := a.finalize(t, key, do(s, http.MethodPost, path(id, epoch), randomness.RequestType, a.body).Body.Bytes())
	b := newClient(t, id, epoch, 2, "y")
	second := b.finalize(t, key, do(s, http.MethodPost, path(id, epoch), randomness.RequestType, b.body).Body.Bytes())
	if !bytes.Equal(first[0], again[0]) || !bytes.Equal(first[1], second[0]) || bytes.Equal(first[0], first[1]) {
		t.Error("outputs do not depend on the input alone")
	}
	if w := do(s, http.MethodPost, path(id, epoch), randomness.RequestType, newClient(t, id, epoch, 1, "z").body); w.Code != http.StatusConflict {
		t.Errorf("a spent presentation: HTTP %d", w.Code)
	}

	now.Set(start.Add(24*time.Hour + skew - time.Second))
	if w := do(s, http.MethodPost, path(id, epoch), randomness.RequestType, newClient(t, id, epoch, 3, "z").body); w.Code != http.StatusOK {
		t.Errorf("within the skew after the epoch: HTTP %d", w.Code)
	}
	now.Set(start.Add(24*time.Hour + skew))
	if err := s.Tick(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w := do(s, http.MethodPost, path(id, epoch), randomness.RequestType, newClient(t, id, epoch, 4, "z").body); w.Code != http.StatusGone {
		t.Errorf("after the epoch: HTTP %d", w.Code)
	}
	entries, err := fs.ReadDir("randomness")
	if err != nil || len(entries) != 1 {
		t.Errorf("after the epoch the folder has %v, %v", entries, err)
	}
	next := newClient(t, id, epoch+1, 1, "x")
	got := next.finalize(t, keyOf(t, s, id, epoch+1), do(s, http.MethodPost, path(id, epoch+1), randomness.RequestType, next.body).Body.Bytes())
	if bytes.Equal(got[0], first[0]) {
		t.Error("two epochs give one output")
	}

	// A clock that is set back makes no second key of the epoch.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	c.Clock = clock.NewVirtual(start.Add(2 * time.Hour))
	s = opened(t, c)
	if w := do(s, http.MethodGet, path(id, epoch), "", nil); w.Code != http.StatusGone {
		t.Errorf("with the clock set back: HTTP %d, want 410", w.Code)
	}
}

// TestCauses: every bad request has its own problem and counter, and all answers to
// evaluations have one length.
func TestCauses(t *testing.T) {
	now := clock.NewVirtual(start.Add(time.Hour))
	c := config(t, crashfs.New(1), now)
	id := c.Tasks[0].ID
	s := opened(t, c)
	good := newClient(t, id, epoch, 1, "x").body
	moved := newClient(t, id, epoch+1, 1, "x").body
	identity := bytes.Clone(good)
	clear(identity[len(identity)-32:])
	for _, tc := range []struct {
		cause     string
		path      string
		mediaType string
		body      []byte
		code      int
	}{
		{"unknown_task", path(task.ID{}, epoch), randomness.RequestType, good, 404},
		{"unknown_task", path(id, 7), randomness.RequestType, good, 404},
		{"unknown_task", "/tasks/" + id.String() + "/evaluations/020000", randomness.RequestType, good, 404},
		{"too_early", path(id, epoch+1), randomness.RequestType, moved, 403},
		{"bad_type", path(id, epoch), "text/plain", good, 415},
		{"malformed", path(id, epoch), randomness.RequestType, nil, 400},
		{"malformed", path(id, epoch), randomness.RequestType, good[:len(good)-32], 400},
		{"malformed", path(id, epoch), randomness.RequestType, append(bytes.Clone(good), 0), 400},
		{"malformed", path(id, epoch), randomness.RequestType, bytes.Repeat([]byte{1}, 1<<20), 400},
		{"malformed", path(id, epoch), randomness.RequestType, identity, 400},
		{"invalid_presentation", path(id, epoch), randomness.RequestType, moved, 403},
		{"answered", path(id, epoch), randomness.RequestType, good, 200},
	} {
		before, err := s.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		w := do(s, http.MethodPost, tc.path, tc.mediaType, tc.body)
		after, err := s.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if w.Code != tc.code || after.Requests[tc.cause] != before.Requests[tc.cause]+1 || w.Body.Len() != randomness.AnswerSize {
			t.Errorf("%s: HTTP %d, %d bytes, counted %v", tc.cause, w.Code, w.Body.Len(), after.Requests)
		}
	}
}

// TestFlood: requests beyond those that may wait are refused at once, and those that
// wait are answered.
func TestFlood(t *testing.T) {
	c := config(t, crashfs.New(1), clock.NewVirtual(start.Add(time.Hour)))
	c.Waiting = 2
	gate := make(chan struct{})
	c.Admit = func(ctx context.Context, id task.ID, e task.Epoch, p []byte, request [32]byte) ([]byte, error) {
		<-gate
		return admit(ctx, id, e, p, request)
	}
	id := c.Tasks[0].ID
	s := opened(t, c)
	const refused = 20
	within := c.Waiting + runtime.GOMAXPROCS(0)
	codes := make(chan int, within+refused)
	for i := range within + refused {
		body := newClient(t, id, epoch, byte(i+1), "x").body
		go func() { codes <- do(s, http.MethodPost, path(id, epoch), randomness.RequestType, body).Code }()
	}
	for range refused { // while the others wait at the gate
		if code := <-codes; code != http.StatusServiceUnavailable {
			t.Fatalf("HTTP %d, want 503", code)
		}
	}
	close(gate)
	for range within {
		if code := <-codes; code != http.StatusOK {
			t.Fatalf("HTTP %d for a request that may wait", code)
		}
	}
}

// TestSameTime: of requests with one presentation at the same time one is answered.
func TestSameTime(t *testing.T) {
	c := config(t, crashfs.New(1), clock.NewVirtual(start.Add(time.Hour)))
	id := c.Tasks[0].ID
	s := opened(t, c)
	var wg sync.WaitGroup
	codes := make([]int, 16)
	for i := range codes {
		body := newClient(t, id, epoch, 9, fmt.Sprint(i)).body
		wg.Go(func() { codes[i] = do(s, http.MethodPost, path(id, epoch), randomness.RequestType, body).Code })
	}
	wg.Wait()
	ok := 0
	for _, code := range codes {
		switch code {
		case http.StatusOK:
			ok++
		case http.StatusConflict:
		default:
			t.Errorf("HTTP %d", code)
		}
	}
	if ok != 1 {
		t.Errorf("%d requests with one presentation were answered", ok)
	}
}

// TestEpochEndsWhileRequestWaits: a request whose epoch's key is due to be destroyed by the
// time that its presentation has been verified is not evaluated.
func TestEpochEndsWhileRequestWaits(t *testing.T) {
	now := clock.NewVirtual(start.Add(time.Hour))
	c := config(t, crashfs.New(1), now)
	id := c.Tasks[0].ID
	c.Admit = func(ctx context.Context, id task.ID, e task.Epoch, p []byte, request [32]byte) ([]byte, error) {
		now.Forward(c.Tasks[0].Task.EvaluationEnds(e))
		return admit(ctx, id, e, p, request)
	}
	s := opened(t, c)
	body := newClient(t, id, epoch, 1, "x").body
	if got := do(s, http.MethodPost, path(id, epoch), randomness.RequestType, body); got.Code != http.StatusGone {
		t.Errorf("HTTP %d, want 410", got.Code)
	}
}

// TestLostKey: a key that is gone is reported and not replaced within its epoch.
func TestLostKey(t *testing.T) {
	fs := crashfs.New(1)
	c := config(t, fs, clock.NewVirtual(start.Add(time.Hour)))
	id := c.Tasks[0].ID
	s := opened(t, c)
	keyOf(t, s, id, epoch)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join("randomness", fmt.Sprintf("%x-%d", id[:], epoch), "key")
	if err := fs.Remove(name); err != nil {
		t.Fatal(err)
	}
	s = opened(t, c)
	if w := do(s, http.MethodGet, path(id, epoch), "", nil); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "evaluationKeyLost") {
		t.Errorf("HTTP %d: %s", w.Code, w.Body)
	}
	if st, err := s.Status(t.Context()); err != nil || len(st.Lost) != 1 {
		t.Errorf("status %+v, %v", st, err)
	}
	if err := fs.Remove(filepath.Join("randomness", "index")); err != nil {
		t.Fatal(err)
	}
	if _, err := randomness.New(t.Context(), c); err == nil {
		t.Error("a folder with keys and no index is taken for a new one")
	}
}

// TestCrashes ends the process at each call of the disk: an answer that left is of the
// key that every later answer is of, no presentation is spent twice on different requests,
// and a key whose destruction began never answers again.
func TestCrashes(t *testing.T) {
	var bodies [2][4][]byte // by life and tag
	for life := range bodies {
		for tag := range bodies[life] {
			bodies[life][tag] = newClient(t, hardened(t).ID, epoch, byte(tag), "x").body
		}
	}
	for crash := 1; ; crash++ {
		fs := crashfs.New(uint64(crash))
		now := clock.NewVirtual(start.Add(time.Hour))
		c := config(t, fs, now)
		id := c.Tasks[0].ID
		var public []byte
		var spent []byte // tags of answered requests
		life := func(turn int) {
			s, err := randomness.New(t.Context(), c)
			if err != nil {
				return
			}
			defer s.Close()
			w := do(s, http.MethodGet, path(id, epoch), "", nil)
			if w.Code == http.StatusOK {
				if public != nil && !bytes.Equal(public, w.Body.Bytes()) {
					t.Fatalf("crash %d: another key", crash)
				}
				public = bytes.Clone(w.Body.Bytes())
			}
			for tag := byte(1); tag < 4; tag++ {
				w := do(s, http.MethodPost, path(id, epoch), randomness.RequestType, bodies[turn][tag])
				if w.Code != http.StatusOK {
					continue
				}
				if bytes.IndexByte(spent, tag) >= 0 {
					t.Fatalf("crash %d: presentation %d was spent twice", crash, tag)
				}
				spent = append(spent, tag)
			}
		}
		fs.CrashAt(crash)
		life(0)
		crashed := fs.Crashed()
		fs = fs.Restart()
		c.FS = fs
		life(1)
		if len(spent) != 3 && !crashed {
			t.Fatalf("crash %d: %d presentations spent", crash, len(spent))
		}
		now.Set(start.Add(25 * time.Hour))
		fs.CrashAt(crash)
		s, err := randomness.New(t.Context(), c)
		if err == nil {
			_ = s.Close()
		}
		crashed = crashed || fs.Crashed()
		c.FS = fs.Restart()
		c.Clock = clock.NewVirtual(start.Add(2 * time.Hour)) // and set back
		s, err = randomness.New(t.Context(), c)
		if err != nil {
			t.Fatalf("crash %d: %v", crash, err)
		}
		if w := do(s, http.MethodGet, path(id, epoch), "", nil); w.Code == http.StatusOK && !bytes.Equal(w.Body.Bytes(), public) {
			t.Fatalf("crash %d: a key was made again", crash)
		}
		_ = s.Close()
		if !crashed {
			return
		}
	}
}

// TestFullDisk: what cannot be made durable is not answered, and the process goes on.
func TestFullDisk(t *testing.T) {
	fs := crashfs.New(1)
	c := config(t, fs, clock.NewVirtual(start.Add(time.Hour)))
	id := c.Tasks[0].ID
	s := opened(t, c)
	key := keyOf(t, s, id, epoch)
	broken := errors.New("broken")
	for _, op := range []string{"write", "sync", "open", "rename"} {
		fs.FailWith(func(o, _ string) error {
			if strings.Contains(o, op) {
				return broken
			}
			return nil
		})
		a := newClient(t, id, epoch, op[0], "x")
		w := do(s, http.MethodPost, path(id, epoch), randomness.RequestType, a.body)
		fs.FailWith(nil)
		if (op == "write" || op == "sync") && w.Code != http.StatusServiceUnavailable {
			t.Errorf("%s fails: HTTP %d", op, w.Code)
		}
		w = do(s, http.MethodPost, path(id, epoch), randomness.RequestType, a.body)
		if w.Code != http.StatusOK {
			t.Fatalf("after %s has failed: HTTP %d", op, w.Code)
		}
		a.finalize(t, key, w.Body.Bytes())
		if w := do(s, http.MethodPost, path(id, epoch), randomness.RequestType, newClient(t, id, epoch, op[0], "other").body); w.Code != http.StatusConflict {
			t.Errorf("after %s has failed the presentation can be spent again: HTTP %d", op, w.Code)
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add(newClient(f, task.ID{}, epoch, 1).body)
	f.Add([]byte{})
	f.Add([]byte{1, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := randomness.ParseRequest(b)
		if err != nil {
			return
		}
		if back, err := q.Encode(); err != nil || !bytes.Equal(back, b) {
			t.Errorf("%x is not the one form of its request: %v", b, err)
		}
	})
}

// BenchmarkEvaluate is one request with its presentation admitted: 64 points, the
// presentation durable.
func BenchmarkEvaluate(b *testing.B) {
	c := config(b, durable.OS(), clock.NewVirtual(start.Add(time.Hour)))
	c.Dir = b.TempDir()
	n := uint64(0)
	c.Admit = func(context.Context, task.ID, task.Epoch, []byte, [32]byte) ([]byte, error) {
		n++
		return fmt.Append(nil, n), nil
	}
	s, err := randomness.New(b.Context(), c)
	if err != nil {
		b.Fatal(err)
	}
	id := c.Tasks[0].ID
	body := newClient(b, id, epoch, 1, "x").body
	for b.Loop() {
		if w := do(s, http.MethodPost, path(id, epoch), randomness.RequestType, body); w.Code != http.StatusOK {
			b.Fatal(w.Code)
		}
	}
}

// TestSince covers a party whose folder was restored or given up: a second key of an epoch
// that had begun is not made, since values that were evaluated under two never come
// together; the next epoch has one.
func TestSince(t *testing.T) {
	at := clock.NewVirtual(start.Add(time.Hour))
	c := config(t, durable.Mem(), at)
	c.Since = start.Add(time.Minute)
	id := c.Tasks[0].ID
	s := opened(t, c)
	if w := do(s, http.MethodGet, path(id, epoch), "", nil); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "evaluationKeyLost") {
		t.Errorf("HTTP %d: %s", w.Code, w.Body)
	}
	if st, err := s.Status(t.Context()); err != nil || len(st.Lost) != 1 {
		t.Errorf("status %+v, %v", st, err)
	}
	at.Forward(start.Add(25 * time.Hour))
	if err := s.Tick(t.Context()); err != nil {
		t.Fatal(err)
	}
	keyOf(t, s, id, epoch+1)
	if st, err := s.Status(t.Context()); err != nil || len(st.Lost) != 0 || st.Keys != 1 {
		t.Errorf("in the next epoch: status %+v, %v", st, err)
	}
}

// TestSetTasks: tasks are added to a party at work; keys of one that is taken away are
// destroyed at their time.
func TestSetTasks(t *testing.T) {
	at := clock.NewVirtual(start.Add(time.Hour))
	c := config(t, durable.Mem(), at)
	all := c.Tasks
	c.Tasks = nil
	s := opened(t, c)
	id := all[0].ID
	if w := do(s, http.MethodGet, path(id, epoch), "", nil); w.Code != http.StatusNotFound {
		t.Errorf("before: HTTP %d", w.Code)
	}
	s.SetTasks(all)
	keyOf(t, s, id, epoch)
	s.SetTasks(nil)
	if w := do(s, http.MethodGet, path(id, epoch), "", nil); w.Code != http.StatusNotFound {
		t.Errorf("afterwards: HTTP %d", w.Code)
	}
	at.Forward(all[0].Task.EvaluationEnds(epoch))
	if err := s.Tick(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st, err := s.Status(t.Context()); err != nil || st.Keys != 0 || st.Destroyed != 1 || st.Overdue != 0 {
		t.Errorf("status %+v, %v", st, err)
	}
}

// TestListsAreCut: a list of presentations whose end was damaged is reported.
func TestListsAreCut(t *testing.T) {
	fs := durable.Mem()
	c := config(t, fs, clock.NewVirtual(start.Add(time.Hour)))
	id := c.Tasks[0].ID
	s := opened(t, c)
	if w := do(s, http.MethodPost, path(id, epoch), randomness.RequestType, newClient(t, id, epoch, 1, "value").body); w.Code != http.StatusOK {
		t.Fatalf("HTTP %d", w.Code)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join("randomness", fmt.Sprintf("%x-%d", id[:], epoch), "spent")
	b, err := durable.ReadFile(fs, name)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-1] ^= 1
	if err := durable.WriteFile(fs, name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s = opened(t, c)
	keyOf(t, s, id, epoch)
	if st, err := s.Status(t.Context()); err != nil || st.Cut != 1 {
		t.Errorf("status %+v, %v", st, err)
	}
}
