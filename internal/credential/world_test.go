package credential

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/shoal-project/shoal/crypto/arc"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/metric/task"
)

var begin = time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)

// A world is a task that requires credentials, its issuer, and a network without sockets.
type world struct {
	t        testing.TB
	clock    *clock.Virtual
	owner    task.IdentityKey
	shuffler task.IdentityKey
	task     *task.Task
	id       task.ID
	signed   []byte
	disk     durable.FS // of the issuer
	issuer   *Issuer
	gates    []Gate
	lose     bool                                        // answers get lost
	change   func(r *http.Request, answer []byte) []byte // nil: nothing
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func identity(t testing.TB) task.IdentityKey {
	t.Helper()
	key, err := task.GenerateIdentityKey(rand.Reader)
	must(t, err)
	return key
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, clock: clock.NewVirtual(begin.Add(time.Hour)), owner: identity(t), shuffler: identity(t), disk: durable.Mem()}
	w.gates = []Gate{Invitations{w.owner.Public()}}
	w.task = &task.Task{
		Owner: w.owner.Public(), OwnedBy: "Example", Metric: "words", Question: "Which words?", Consent: "Words.", Method: task.Crowd,
		Schema: task.Schema{{Name: "word", Kind: task.String, Max: 16}},
		Crowd:  task.CrowdRule{Kind: task.Payload, SaltEpochs: 1}, Threshold: task.Threshold{Kind: task.Naive, T: 2}, MinBatch: 2,
		EpochSeconds: 86400, MaxDelay: 3600, ClockSkew: 60, PerEpoch: 3, PerCrowd: 1, PayloadSize: 64,
		Hops: []task.Party{
			{Role: task.Shuffler, URL: "http://127.0.0.1:1", Identity: w.shuffler.Public()},
			{Role: task.Analyzer, URL: "http://127.0.0.1:2", Identity: identity(t).Public()},
		},
		NotBefore: begin.Add(-24 * time.Hour).Unix(), Expires: begin.AddDate(0, 2, 0).Unix(),
		Protection: task.Protection{CredentialEpochs: 2},
	}
	w.fix()
	must(t, w.start())
	return w
}

func (w *world) fix() {
	signed, err := task.Sign(w.task, w.owner)
	must(w.t, err)
	w.id = sha256.Sum256(signed.Bytes)
	w.signed, err = signed.Encode()
	must(w.t, err)
}

// start starts the issuer on what is on its disk.
func (w *world) start(more ...*task.Task) error {
	i, err := NewIssuer(IssuerConfig{
		FS: w.disk, Dir: "issuer", Role: task.Shuffler, Party: w.shuffler.Public(), Tasks: append(more, w.task), Gates: w.gates,
		Sign: func(_ Slot, b []byte) ([]byte, error) { return b, nil }, Clock: w.clock,
	})
	if err == nil {
		w.issuer = i
	}
	return err
}

// RoundTrip implements [http.RoundTripper].
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	in := httptest.NewRequestWithContext(r.Context(), r.Method, r.URL.String(), r.Body)
	in.Header = r.Header.Clone()
	out := httptest.NewRecorder()
	w.issuer.Handler().ServeHTTP(out, in)
	if w.lose {
		return nil, io.ErrUnexpectedEOF
	}
	if w.change != nil {
		b := w.change(r, out.Body.Bytes())
		out.Body.Reset()
		out.Body.Write(b)
	}
	return out.Result(), nil
}

func (w *world) invite() []byte {
	w.t.Helper()
	code, err := Invite(w.owner, begin.AddDate(1, 0, 0), rand.Reader)
	must(w.t, err)
	return []byte(code)
}

func (w *world) openTask(signed []byte) (*task.Task, task.ID, error) {
	s, err := task.ParseSigned(signed)
	if err != nil {
		return nil, task.ID{}, err
	}
	t, err := task.Parse(s.Bytes)
	return t, sha256.Sum256(s.Bytes), err
}

func (w *world) wallet(disk durable.FS, admission []byte) (*Wallet, error) {
	return OpenWallet(WalletOptions{
		Dir: "wallet", FS: disk, Key: make([]byte, 32), Admission: admission, Clock: w.clock, Tasks: w.openTask,
		Open: func(_ *task.Task, _ Slot, b []byte) ([]byte, error) { return b, nil },
	})
}

// enrolled returns a wallet on a perfect disk that takes part.
func (w *world) enrolled(admission []byte) *Wallet {
	w.t.Helper()
	wallet, err := w.wallet(durable.Mem(), admission)
	must(w.t, err)
	must(w.t, wallet.Enrol(w.signed))
	return wallet
}

// fetch lets a wallet fetch until a time.
func (w *world) fetch(wallet *Wallet, until time.Time) (failed error) {
	w.t.Helper()
	for range 200 {
		next, err := wallet.Fetch(w.t.Context(), Direct(w))
		failed = errors.Join(failed, err)
		if next.IsZero() || next.After(until) {
			w.clock.Forward(until)
			return failed
		}
		w.clock.Forward(next)
	}
	w.t.Fatal("fetching does not come to an end")
	return nil
}

// show allocates for one report of the present epoch, presents and verifies: the tags.
func (w *world) show(wallet *Wallet, crowd string) ([]arc.Tag, error) {
	w.t.Helper()
	e := w.task.EpochAt(w.clock.Now())
	shown, err := wallet.Allocate(w.task, e, []byte(crowd), nil)
	if err != nil {
		return nil, err
	}
	binding := Binding(w.id, sha256.Sum256([]byte(crowd)))
	presentations, err := shown.Present(w.task.Hops[0], binding)
	must(w.t, err)
	v, err := w.issuer.Verifier(w.id, e)
	must(w.t, err)
	var tags []arc.Tag
	for i, c := range ContextsOf(w.task, w.task.Hops[0], e, []byte(crowd)) {
		tag, err := v.Verify(c, presentations[i], binding)
		must(w.t, err)
		tags = append(tags, tag)
	}
	return tags, nil
}
