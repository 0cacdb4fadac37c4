package hardened_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	mrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/credential"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/durable/crashfs"
	"github.com/shoal-project/shoal/internal/esa/encoder"
	"github.com/shoal-project/shoal/internal/hardened"
	"github.com/shoal-project/shoal/internal/outbox"
	"github.com/shoal-project/shoal/internal/quorum/evaluation"
	"github.com/shoal-project/shoal/internal/quorum/randomness"
	"github.com/shoal-project/shoal/metric/task"
)

var midnight = time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)

// A world is a hardened task, the issuers of its parties and its randomness party, and one
// device on a disk that crashes.
type world struct {
	t       testing.TB
	clock   *clock.Virtual
	owner   task.IdentityKey
	task    *task.Task
	id      task.ID
	signed  []byte
	issuers map[string]*credential.Issuer // by host
	party   *randomness.Server
	code    []byte
	away    bool // the randomness party does not answer

	disk   *crashfs.FS
	box    *outbox.Box
	wallet *credential.Wallet
	all    *hardened.Records
	sent   map[outbox.ID][]byte // what left, by entry
	epochs map[outbox.ID]task.Epoch
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newWorld(t testing.TB, seed uint64) *world {
	t.Helper()
	w := &world{
		t: t, clock: clock.NewVirtual(midnight.Add(time.Hour)), issuers: map[string]*credential.Issuer{}, disk: crashfs.New(seed),
		sent: map[outbox.ID][]byte{}, epochs: map[outbox.ID]task.Epoch{},
	}
	identity := func() task.IdentityKey {
		k, err := task.GenerateIdentityKey(rand.Reader)
		must(t, err)
		return k
	}
	w.owner = identity()
	var parties []task.Party
	for i, role := range []task.Role{task.Shuffler, task.Analyzer, task.Randomness} {
		parties = append(parties, task.Party{Role: role, URL: fmt.Sprintf("http://127.0.0.1:%d", i+1), Identity: identity().Public()})
	}
	w.task = &task.Task{
		Owner: w.owner.Public(), OwnedBy: "Example", Metric: "pages", Question: "Which pages?", Consent: "Pages.", Method: task.Crowd,
		Schema: task.Schema{{Name: "page", Kind: task.String, Max: 40}}, Crowd: task.CrowdRule{Kind: task.Payload, SaltEpochs: 1},
		Threshold: task.Threshold{Kind: task.NoisyDrop, T: 20, D: 12, SigmaMilli: 2000}, Encoding: task.Encoding{Kind: task.Quorum, Shares: 5},
		MinBatch: 100, EpochSeconds: 86_400, MaxDelay: 3600, ClockSkew: 300, PerEpoch: 10, PerCrowd: 1, PayloadSize: 256,
		Hops: parties[:2], NotBefore: midnight.AddDate(0, 0, -1).Unix(), Expires: midnight.AddDate(0, 1, 0).Unix(),
		Protection: task.Protection{CredentialEpochs: 7, Randomness: parties[2], Evaluations: 1},
	}
	signed, err := task.Sign(w.task, w.owner)
	must(t, err)
	w.id = sha256.Sum256(signed.Bytes)
	w.signed, err = signed.Encode()
	must(t, err)
	for _, p := range parties {
		w.issuers[strings.TrimPrefix(p.URL, "http://")], err = credential.NewIssuer(credential.IssuerConfig{
			FS: durable.Mem(), Dir: "issuer", Role: p.Role, Party: p.Identity, Tasks: []*task.Task{w.task}, Clock: w.clock,
			Gates: []credential.Gate{credential.Invitations{w.owner.Public()}},
			Sign:  func(_ credential.Slot, b []byte) ([]byte, error) { return b, nil },
		})
		must(t, err)
	}
	w.party, err = randomness.New(t.Context(), randomness.Config{
		Dir: "randomness", FS: durable.Mem(), Tasks: []randomness.Task{{ID: w.id, Task: w.task}}, Clock: w.clock, Admit: w.admit,
		Sign: func(_ randomness.KeySlot, b []byte) ([]byte, error) { return b, nil },
	})
	must(t, err)
	code, err := credential.Invite(w.owner, midnight.AddDate(1, 0, 0), rand.Reader)
	must(t, err)
	w.code = []byte(code)
	return w
}

// admit verifies the presentation of a request, as the server of the role does.
func (w *world) admit(_ context.Context, id task.ID, e task.Epoch, presentation []byte, request [32]byte) ([]byte, error) {
	p := w.task.Protection.Randomness
	v, err := w.issuers[strings.TrimPrefix(p.URL, "http://")].Verifier(id, e)
	if err != nil {
		return nil, errors.Join(randomness.ErrPresentation, err)
	}
	tag, err := v.Verify(credential.ContextsOf(w.task, p, e, nil)[0], presentation, credential.Binding(id, request))
	if err != nil {
		return nil, errors.Join(randomness.ErrPresentation, err)
	}
	return tag[:], nil
}

// RoundTrip is the network.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	out := httptest.NewRecorder()
	in := httptest.NewRequestWithContext(r.Context(), r.Method, r.URL.RequestURI(), r.Body)
	in.Header = r.Header.Clone()
	switch {
	case strings.Contains(r.URL.Path, "/credentials/"):
		w.issuers[r.URL.Host].Handler().ServeHTTP(out, in)
	case w.away:
		return nil, errors.New("no answer")
	default:
		w.party.Handler().ServeHTTP(out, in)
	}
	return out.Result(), nil
}

func (w *world) tasks(signed []byte) (*task.Task, task.ID, error) {
	s, err := task.ParseSigned(signed)
	if err != nil {
		return nil, task.ID{}, err
	}
	t, err := task.Parse(s.Bytes)
	return t, sha256.Sum256(s.Bytes), err
}

// open starts the device's program.
func (w *world) open() error {
	var err error
	seed := sha256.Sum256(fmt.Append(nil, "device", w.disk.Calls()))
	key, err := outbox.NewKey(make([]byte, 32))
	must(w.t, err)
	if w.box, _, err = outbox.Open("device", outbox.Options{FS: w.disk, Key: key, Clock: w.clock, Rand: mrand.NewChaCha8(seed)}); err != nil {
		return err
	}
	own, err := w.box.Subkey("wallet")
	if err != nil {
		return err
	}
	w.wallet, err = credential.OpenWallet(credential.WalletOptions{
		Dir: "device", FS: w.disk, Key: own, Admission: w.code, Clock: w.clock, Tasks: w.tasks,
		Open: func(_ *task.Task, _ credential.Slot, b []byte) ([]byte, error) { return b, nil },
	})
	if err != nil {
		return err
	}
	w.all, err = hardened.Open(hardened.Options{
		Dir: "device", FS: w.disk, Box: w.box, Wallet: w.wallet, Tasks: w.tasks, Direct: w, Clock: w.clock,
		OpenKey: func(_ *task.Task, _ task.ID, _ task.Epoch, b []byte) ([]byte, error) { return b, nil },
	})
	if err == nil {
		err = w.wallet.Enrol(w.signed)
	}
	return err
}

// record puts a page into the outbox.
func (w *world) record(page string) (ok bool) {
	payload, err := w.task.Encode(task.Record{page})
	must(w.t, err)
	c := outbox.ContributionOf(w.task, w.id, w.signed, w.clock.Now(), w.task.EpochAt(w.clock.Now()))
	c.Reports = []outbox.Report{{Record: payload, Crowd: payload, Recorded: page, Encoded: page}}
	verdicts, err := w.box.Add(c)
	return err == nil && len(verdicts) == 1 && verdicts[0] == outbox.Accepted
}

// Seal implements [outbox.Sealer]: a report is its value's evaluation.
func (w *world) Seal(_ context.Context, e outbox.Entry) ([]byte, error) {
	enc, err := encoder.New(w.task, w.id)
	must(w.t, err)
	f, err := enc.Parse(e.Record)
	must(w.t, err)
	output, err := w.all.Output(w.id, e.Epoch, f.Crowd)
	if err != nil {
		return nil, err
	}
	return append(append([]byte{byte(len(output))}, output...), e.Record...), nil
}

// split returns the evaluation and the record of a report.
func split(report []byte) (output, record []byte) {
	n := 1 + int(report[0])
	return report[1:n], report[n:]
}

// Send implements [outbox.Sender].
func (w *world) Send(_ context.Context, e outbox.Entry, report []byte) error {
	if had, again := w.sent[e.ID]; again && !bytes.Equal(had, report) {
		w.t.Errorf("entry %d left twice, as two reports", e.ID)
	}
	if over := w.task.Start(e.Epoch + 1); w.clock.Now().Before(over) {
		w.t.Errorf("entry %d left at %v, before its epoch was over", e.ID, w.clock.Now())
	}
	w.sent[e.ID], w.epochs[e.ID] = bytes.Clone(report), e.Epoch
	return nil
}

// step does what is due and lets the clock go on to what comes next, at most an hour.
func (w *world) step() error {
	fetch, errF := w.wallet.Fetch(w.t.Context(), credential.Direct(w))
	prepare, errP := w.all.Prepare(w.t.Context())
	pass, errS := w.box.SendDue(w.t.Context(), w.clock.Now(), w, w)
	if w.disk.Crashed() {
		return nil
	}
	next := w.clock.Now().Add(time.Hour)
	for _, at := range []time.Time{fetch, prepare, pass.Next} {
		if !at.IsZero() && at.Before(next) {
			next = at
		}
	}
	if next.After(w.clock.Now()) {
		w.clock.Forward(next)
	} else {
		w.clock.Advance(time.Minute)
	}
	return errors.Join(errF, errP, errS)
}

// atRest fails if a page or an evaluation can be read on the disk.
func (w *world) atRest(pages []string) {
	w.t.Helper()
	entries, err := w.disk.ReadDir("device")
	must(w.t, err)
	for _, e := range entries {
		f, err := w.disk.OpenFile("device/"+e.Name(), 0, 0)
		if errors.Is(err, fs.ErrNotExist) || e.IsDir() {
			continue
		}
		must(w.t, err)
		var b bytes.Buffer
		_, err = b.ReadFrom(f)
		must(w.t, errors.Join(err, f.Close()))
		for _, page := range pages {
			if bytes.Contains(b.Bytes(), []byte(page)) {
				w.t.Errorf("%s holds the page %q", e.Name(), page)
			}
		}
		for _, report := range w.sent {
			if output, _ := split(report); bytes.Contains(b.Bytes(), output) {
				w.t.Errorf("%s holds an evaluation", e.Name())
			}
		}
	}
}

// live runs the device until a time, over crashes, and returns the pages that were
// acknowledged: one is recorded in each of the first hours.
func (w *world) live(end time.Time) (pages []string, crashes int) {
	w.t.Helper()
	hour := -1
	for n := 0; w.clock.Now().Before(end); n++ {
		if n > 20_000 {
			w.t.Fatal("no end")
		}
		if w.all == nil || w.disk.Crashed() {
			if w.disk.Crashed() {
				w.disk, crashes = w.disk.Restart(), crashes+1
			}
			w.all = nil
			if err := w.open(); err != nil {
				if !w.disk.Crashed() {
					w.t.Fatal(err)
				}
				continue
			}
		}
		if h := int(w.clock.Now().Sub(midnight) / time.Hour); h > hour && h < 6 {
			hour = h
			if page := fmt.Sprintf("https://example.org/page-%d", h); w.record(page) {
				pages = append(pages, page)
			}
		}
		err := w.step()
		if errors.Is(err, evaluation.ErrExhausted) && crashes > 0 {
			err = nil // a crash costs the epoch's presentation, and records move to the next
		}
		if err != nil && !w.disk.Crashed() && !w.away && !errors.Is(err, credential.ErrWait) {
			w.t.Fatal(err)
		}
	}
	return pages, crashes
}

// check: what was acknowledged has left exactly once, with the evaluation of its epoch.
func (w *world) check(pages []string) {
	w.t.Helper()
	by := map[string]int{}
	outputs := map[string]bool{}
	for id, report := range w.sent {
		output, record := split(report)
		rec, err := w.task.Decode(record)
		must(w.t, err)
		by[rec[0].(string)]++
		if key := fmt.Sprint(w.epochs[id], string(output)); outputs[key] {
			w.t.Error("two values have one evaluation")
		} else {
			outputs[key] = true
		}
	}
	for _, page := range pages {
		if by[page] != 1 {
			w.t.Errorf("%s left %d times, want once", page, by[page])
		}
	}
}

// TestRecords: what is recorded is evaluated in its epoch or the next, and leaves once its
// epoch is over.
func TestRecords(t *testing.T) {
	w := newWorld(t, 1)
	pages, _ := w.live(midnight.AddDate(0, 0, 4))
	if len(pages) != 5 { // from one o'clock on
		t.Fatalf("%d pages were recorded", len(pages))
	}
	w.check(pages)
	w.atRest(pages)
}

// TestPartyAway: while the randomness party does not answer, records move to the next epoch,
// and leave with the evaluation of that one.
func TestPartyAway(t *testing.T) {
	w := newWorld(t, 2)
	w.away = true
	pages, _ := w.live(midnight.AddDate(0, 0, 1).Add(time.Minute))
	w.away = false
	w.live(midnight.AddDate(0, 0, 4))
	w.check(pages)
	for id, e := range w.epochs {
		if e != w.task.EpochAt(midnight)+1 {
			t.Errorf("entry %d left for epoch %d, want the second", id, e)
		}
	}
}

// TestCrashes ends the program at calls of the disk all over its way, at each of them with
// SHOAL_CRASHES=all: nothing that was acknowledged is lost or leaves as two reports, and
// nothing is on the disk unsealed.
func TestCrashes(t *testing.T) {
	calls := func() int {
		w := newWorld(t, 3)
		w.live(midnight.AddDate(0, 0, 4))
		return w.disk.Calls()
	}()
	if calls < 50 {
		t.Fatalf("%d calls: too few to be the whole way", calls)
	}
	step := max(1, calls/60)
	if os.Getenv("SHOAL_CRASHES") == "all" {
		step = 1
	}
	for n := 1; n <= calls; n += step {
		w := newWorld(t, uint64(n))
		w.disk.CrashAt(n)
		pages, crashes := w.live(midnight.AddDate(0, 0, 4))
		w.check(pages)
		w.atRest(pages)
		if t.Failed() {
			t.Fatalf("crash at call %d of %d (%d crashes)", n, calls, crashes)
		}
	}
}
