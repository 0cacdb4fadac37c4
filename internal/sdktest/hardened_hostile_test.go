package sdktest_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoal-project/shoal"
	"github.com/shoal-project/shoal/crypto/arc"
	"github.com/shoal-project/shoal/crypto/secretshare"
	"github.com/shoal-project/shoal/crypto/voprf"
	"github.com/shoal-project/shoal/internal/credential"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/encoder"
	"github.com/shoal-project/shoal/internal/quorum"
	"github.com/shoal-project/shoal/internal/quorum/randomness"
	"github.com/shoal-project/shoal/internal/relay"
	"github.com/shoal-project/shoal/internal/sdktest"
	"github.com/shoal-project/shoal/metric/task"
)

// A rogue has one credential of each party of a hardened task, and keeps no rule of the
// SDK: it speaks the protocol by itself.
type rogue struct {
	w       *requiring
	id      task.ID
	keys    []task.Key
	have    map[task.Role]*arc.Credential
	epoch   task.Epoch
	outputs map[string][]byte // by value
}

func newRogue(w *requiring) *rogue {
	w.t.Helper()
	r := &rogue{w: w, have: map[task.Role]*arc.Credential{}, epoch: w.task.EpochAt(w.clock.Now()), outputs: map[string][]byte{}}
	var err error
	r.id, err = w.task.ID()
	must(w.t, err)
	b, _ := r.call(w.task.Hops[0], http.MethodGet, "keys", "", nil)
	list, err := task.ParseKeyConfigList(b)
	must(w.t, err)
	configs, err := list.Open(w.task, w.clock.Now())
	must(w.t, err)
	r.keys, err = esa.ChooseKeys(w.task, configs, w.clock.Now())
	must(w.t, err)
	code := w.invite()
	for _, p := range w.task.Parties() {
		r.have[p.Role] = r.obtain(p, code)
	}
	return r
}

// call makes a request to a party about the task.
func (r *rogue) call(p task.Party, method, what, mediaType string, body []byte) (answer []byte, status int) {
	r.w.t.Helper()
	q, err := http.NewRequestWithContext(r.w.t.Context(), method, p.URL+"/tasks/"+r.id.String()+"/"+what, bytes.NewReader(body))
	must(r.w.t, err)
	q.Header.Set("Content-Type", mediaType)
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(q)
	must(r.w.t, err)
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	must(r.w.t, err)
	return answer, resp.StatusCode
}

// obtain gets a credential by the protocol alone.
func (r *rogue) obtain(p task.Party, code string) *arc.Credential {
	r.w.t.Helper()
	slot, _ := credential.SlotOf(r.w.task, p, r.epoch)
	what := "credentials/" + p.Role.String() + "/" + strconv.FormatInt(slot.Start, 10)
	signed, _ := r.call(p, http.MethodGet, what, "", nil)
	announced, err := relay.Slot{
		Slot: slotOf(slot), Length: time.Duration(slot.End-slot.Start) * time.Second,
	}.Open(signed)
	must(r.w.t, err)
	public, err := arc.ParsePublicKey(announced[1 : 1+arc.PublicKeySize])
	must(r.w.t, err)
	secrets, request, err := arc.NewRequest(rand.Reader, slot.RequestContext())
	must(r.w.t, err)
	body := append(append([]byte{1}, request.Bytes()...), make([]byte, 8)...)
	body = append(binary.BigEndian.AppendUint16(body, uint16(len(code))), code...)
	answer, _ := r.call(p, http.MethodPost, what, credential.RequestType, body)
	response, err := arc.ParseResponse(answer)
	must(r.w.t, err)
	made, err := secrets.Finalize(public, request, response)
	must(r.w.t, err)
	return made
}

// shows makes a presentation for a party, with a nonce that the rogue chooses.
func (r *rogue) shows(p task.Party, of credential.Context, nonce uint32, digest [32]byte) ([]byte, error) {
	ctx, err := arc.NewContext(of.Data[:], of.Limit)
	if err != nil {
		return nil, err
	}
	made, err := r.have[p.Role].Present(rand.Reader, ctx, nonce, credential.Binding(r.id, digest))
	if err != nil {
		return nil, err
	}
	return made.Bytes(), nil
}

func (r *rogue) fragment(value string) encoder.Fragment {
	r.w.t.Helper()
	enc, err := encoder.New(r.w.task, r.id)
	must(r.w.t, err)
	all, err := enc.Encode(use(value), rand.Reader)
	must(r.w.t, err)
	return all[0]
}

// evaluate asks for the evaluation of values, with a nonce, and returns the status of
// the answer.
func (r *rogue) evaluate(nonce uint32, values ...string) int {
	r.w.t.Helper()
	var inputs [][]byte
	for _, v := range values {
		inputs = append(inputs, quorum.Input(r.id, r.epoch, r.fragment(v).Crowd))
	}
	p := r.w.task.Protection.Randomness
	secrets, request, err := voprf.NewRequest(rand.Reader, inputs, randomness.Points)
	must(r.w.t, err)
	q := randomness.Request{Points: request.Bytes()}
	q.Presentation, err = r.shows(p, credential.ContextsOf(r.w.task, p, r.epoch, nil)[0], nonce, q.Digest(r.id, r.epoch))
	must(r.w.t, err)
	body, err := q.Encode()
	must(r.w.t, err)
	what := fmt.Sprintf("evaluations/%d", r.epoch)
	signed, status := r.call(p, http.MethodGet, what, "", nil)
	if status != http.StatusOK {
		return status
	}
	announced, err := relay.EvaluationSlot(r.w.task, r.id, r.epoch).Open(signed)
	must(r.w.t, err)
	key, err := randomness.ParseAnnouncement(announced)
	must(r.w.t, err)
	answer, status := r.call(p, http.MethodPost, what, randomness.RequestType, body)
	if status != http.StatusOK {
		return status
	}
	response, err := voprf.ParseResponse(answer)
	must(r.w.t, err)
	outputs, err := secrets.Finalize(key, request, response)
	must(r.w.t, err)
	for i, v := range values {
		r.outputs[v] = outputs[i]
	}
	return status
}

// report seals a report of a value that was evaluated, with nonces for the shuffler; for
// the analyzer there is one.
func (r *rogue) report(value string, epochNonce, crowdNonce uint32) []byte {
	r.w.t.Helper()
	tk, f := r.w.task, r.fragment(value)
	v, err := quorum.New(tk, r.id, r.epoch, f.Crowd, r.outputs[value])
	must(r.w.t, err)
	crowd, tag := v.Crowd(), v.Tag()
	last := tk.Hops[len(tk.Hops)-1]
	counted := credential.ContextsOf(tk, last, r.epoch, tag[:])[0]
	ctx, err := arc.NewContext(counted.Data[:], counted.Limit)
	must(r.w.t, err)
	own, err := r.have[task.Analyzer].Tag(ctx, 0)
	must(r.w.t, err)
	content, err := v.Content(quorum.XOf(own[:]), f.Payload, rand.Reader)
	must(r.w.t, err)
	sealer, err := esa.NewSealer(tk, r.id, r.keys)
	must(r.w.t, err)
	report, err := sealer.SealShowing(r.epoch, []esa.CrowdTag{esa.CrowdTag(crowd)}, content, func(i int, digest [sha256.Size]byte) ([][]byte, error) {
		p, nonces, of := tk.Hops[i], []uint32{0}, tag[:]
		if p.Role == task.Shuffler {
			nonces, of = []uint32{epochNonce, crowdNonce}, crowd[:]
		}
		var all [][]byte
		for k, c := range credential.ContextsOf(tk, p, r.epoch, of) {
			shown, err := r.shows(p, c, nonces[k], digest)
			if err != nil {
				return nil, err
			}
			all = append(all, shown)
		}
		return all, nil
	})
	must(r.w.t, err)
	return report
}

// sends posts reports.
func (r *rogue) sends(reports ...[]byte) {
	r.w.t.Helper()
	for _, report := range reports {
		if answer, status := r.call(r.w.task.Hops[0], http.MethodPost, "reports", "application/shoal-report;v=1", report); status != http.StatusCreated {
			r.w.t.Fatalf("HTTP %d: %s", status, answer)
		}
	}
}

// TestOneShareAClient covers a client that has one credential and keeps no rule: in
// whatever many reports, over restarts of all servers, it gives one share of a quorum
// value. With an honest client less than the quorum wants its value stays unreadable
// although the crowd is large enough, and where honest clients are enough it adds one record.
// A second credential is a second share, so the test can fail.
func TestOneShareAClient(t *testing.T) {
	w := newHardened(t, func(tk *task.Task) { tk.PerEpoch, tk.PerCrowd = 9, 3 })
	w.startAll()
	a, b := w.client(w.invite(), ""), w.client(w.invite(), "")
	w.settled(midnight.Add(day).Add(time.Hour), a, b)
	for value, of := range map[string][]*shoal.Client{"cat": {a}, "dog": {a, b}, "eel": {a}} {
		for _, c := range of {
			if o := c.Record("api_use", use(value)); !o.Queued() {
				t.Fatal(o.Err)
			}
		}
	}
	one, two := newRogue(w), newRogue(w)
	for i, r := range []*rogue{one, two} {
		if status := r.evaluate(0, "cat", "dog", "eel"); status != http.StatusOK {
			t.Fatalf("rogue %d: HTTP %d", i, status)
		}
	}
	if status := one.evaluate(0, "fox"); status != http.StatusConflict {
		t.Errorf("a presentation that was shown with another request: HTTP %d", status)
	}
	w.settled(midnight.Add(2*day).Add(time.Hour), a, b) // the keys of the epoch are destroyed
	if status := one.evaluate(1, "fox"); status != http.StatusGone {
		t.Errorf("after the key was destroyed: HTTP %d", status)
	}
	for k, value := range []string{"cat", "dog", "eel"} {
		for i := range uint32(3) {
			one.sends(one.report(value, uint32(3*k)+i, i))
			if i == 1 {
				w.restart()
			}
		}
	}
	two.sends(two.report("eel", 0, 0))
	w.settled(midnight.Add(4*day), a, b)
	w.restart()
	got := w.release()
	if len(got) != 2 || got["dog"] != 3 || got["eel"] != 3 {
		t.Errorf("released %v, want dog: two honest clients and one record of the rogue; eel: one and one of each rogue; no cat", got)
	}
}

// restart stops and starts all servers.
func (w *requiring) restart() {
	w.t.Helper()
	for _, o := range w.all {
		o.stop()
	}
	w.startAll()
}

// recorder keeps what is posted to a path.
type posted struct {
	mu      sync.Mutex
	suffix  string
	reports [][]byte
}

// RoundTrip implements [http.RoundTripper].
func (r *posted) RoundTrip(q *http.Request) (*http.Response, error) {
	if q.Method == http.MethodPost && strings.HasSuffix(q.URL.Path, r.suffix) {
		b, err := io.ReadAll(q.Body)
		if err != nil {
			return nil, err
		}
		r.mu.Lock()
		r.reports = append(r.reports, b)
		r.mu.Unlock()
		q.Body = io.NopCloser(bytes.NewReader(b))
	}
	return (&http.Transport{DisableKeepAlives: true}).RoundTrip(q)
}

// An adversary is shuffler and analyzer as one: all their private keys, and the reports
// that clients have sent.
type adversary struct {
	w       *requiring
	id      task.ID
	private map[task.Role][]*esa.PrivateKey
	reports [][]byte
}

func (w *requiring) adversary(reports [][]byte) *adversary {
	w.t.Helper()
	a := &adversary{w: w, private: map[task.Role][]*esa.PrivateKey{}, reports: reports}
	var err error
	a.id, err = w.task.ID()
	must(w.t, err)
	for _, role := range []task.Role{task.Shuffler, task.Analyzer} {
		b, err := os.ReadFile(filepath.Join(w.orgs[role].dir, "keys", role.String()+".keys"))
		must(w.t, err)
		for line := range strings.Lines(string(b)) {
			if k, err := esa.ParsePrivateKey(strings.TrimSpace(line)); err == nil {
				a.private[role] = append(a.private[role], k)
			}
		}
	}
	return a
}

// seen returns all plaintext of one hop in the reports: tags and content.
func (a *adversary) seen(e task.Epoch) (shuffler, analyzer [][]byte) {
	a.w.t.Helper()
	for _, layer := range a.reports {
		for i, hop := range a.w.task.Hops {
			o, err := esa.NewOpener(a.w.task, a.id, i, a.private[hop.Role]...)
			must(a.w.t, err)
			l, err := o.Open(layer, e)
			must(a.w.t, err)
			plain := append(bytes.Clone(l.Crowd[:]), l.Next...)
			if hop.Role == task.Shuffler {
				shuffler = append(shuffler, plain)
			} else {
				analyzer = append(analyzer, plain)
			}
			layer = l.Next
		}
	}
	return shuffler, analyzer
}

// marks are what a guess lets one compute: with what a randomness party has given for it, and
// without (nil).
func (a *adversary) marks(e task.Epoch, guess string, output []byte) [][]byte {
	a.w.t.Helper()
	tk := a.w.task
	enc, err := encoder.New(tk, a.id)
	must(a.w.t, err)
	all, err := enc.Encode(use(guess), rand.Reader)
	must(a.w.t, err)
	f := all[0]
	tag := esa.CrowdTagOf(tk, a.id, e, f.Crowd)
	digest := sha256.Sum256(f.Crowd)
	marks := [][]byte{tag[:], digest[:16], []byte(guess)}
	message, err := task.Pad(f.Payload, tk.MessageSize())
	must(a.w.t, err)
	shares, err := secretshare.NewEncoder(secretshare.MessageHash{}, esa.QuorumBinding(a.id, e), int(tk.Encoding.Shares))
	must(a.w.t, err)
	sealed, err := shares.Encode(a.w.t.Context(), message, rand.Reader)
	must(a.w.t, err)
	marks = append(marks, sealed.Ciphertext[:16])
	if !tk.Hardened() {
		return marks
	}
	input := quorum.Input(a.id, e, f.Crowd)
	hashed, material := sha512.Sum512(input), sha512.Sum512(f.Crowd)
	outputs := [][]byte{make([]byte, voprf.OutputSize), hashed[:], material[:]}
	if output != nil {
		outputs = [][]byte{output}
	}
	for _, y := range outputs {
		v, err := quorum.New(tk, a.id, e, f.Crowd, y)
		must(a.w.t, err)
		crowd, group := v.Crowd(), v.Tag()
		marks = append(marks, crowd[:], group[:16])
	}
	return marks
}

func confirms(seen, marks [][]byte) bool {
	for _, s := range seen {
		for _, m := range marks {
			if bytes.Contains(s, m) {
				return true
			}
		}
	}
	return false
}

// TestGuess covers the threat of shuffler and analyzer that work together, with all their
// private keys, and confirm what a client has sent by guessing it. Without hardening each of
// them can; in a hardened task neither can, until the randomness party evaluates the guess, which
// it does in the epoch itself, for a credential, and never afterwards.
func TestGuess(t *testing.T) {
	const sent, wrong = "unlisted.example/a", "unlisted.example/b"
	run := func(t *testing.T, hardens bool) (*adversary, task.Epoch, *rogue) {
		w := newHardened(t, func(tk *task.Task) {
			if !hardens {
				tk.Protection = task.Protection{CredentialEpochs: 4}
			}
		})
		w.startAll()
		rec := &posted{suffix: "/reports"}
		c := sdktest.Open(t, shoal.Options{
			Bundle: w.bundle, Owner: task.FormatPublic(w.owner.Public()), Metrics: []string{"api_use"}, Mode: shoal.On,
			Clock: w.clock, NoSender: true, Admission: w.invite(), Transport: rec,
		})
		w.settled(midnight.Add(day).Add(time.Hour), c)
		if o := c.Record("api_use", use(sent)); !o.Queued() {
			t.Fatal(o.Err)
		}
		e := w.task.EpochAt(w.clock.Now())
		var r *rogue
		if hardens {
			r = newRogue(w)
			if status := r.evaluate(0, sent, wrong); status != http.StatusOK {
				t.Fatalf("HTTP %d", status)
			}
			if keys := evaluationKeys(t, w); len(keys) != 1 {
				t.Errorf("keys %v within the epoch, want one", keys)
			}
		}
		w.settled(midnight.Add(3*day).Add(20*time.Hour), c)
		if len(rec.reports) != 1 {
			t.Fatalf("%d reports, want 1", len(rec.reports))
		}
		return w.adversary(rec.reports), e, r
	}
	t.Run("unhardened", func(t *testing.T) {
		a, e, _ := run(t, false)
		shuffler, analyzer := a.seen(e)
		if !confirms(shuffler, a.marks(e, sent, nil)) || !confirms(analyzer, a.marks(e, sent, nil)) {
			t.Error("a right guess is not confirmed: the test could not fail")
		}
		if confirms(append(shuffler, analyzer...), a.marks(e, wrong, nil)) {
			t.Error("a wrong guess is confirmed")
		}
	})
	t.Run("hardened", func(t *testing.T) {
		a, e, r := run(t, true)
		shuffler, analyzer := a.seen(e)
		both := append(shuffler, analyzer...)
		if confirms(both, a.marks(e, sent, nil)) {
			t.Error("a guess is confirmed without the randomness party")
		}
		// With what it evaluates in the epoch both are: the reports are there.
		if !confirms(shuffler, a.marks(e, sent, r.outputs[sent])) || !confirms(analyzer, a.marks(e, sent, r.outputs[sent])) || confirms(both, a.marks(e, wrong, r.outputs[wrong])) {
			t.Error("an evaluation does not decide on a guess")
		}
		if status := r.evaluate(1, sent); status != http.StatusGone {
			t.Errorf("after the epoch: HTTP %d", status)
		}
		for _, key := range evaluationKeys(t, a.w) {
			if strings.HasSuffix(key, fmt.Sprintf("-%d/key", e)) {
				t.Errorf("the key of the epoch is still there: %s", key)
			}
		}
	})
}

// evaluationKeys returns the key files of the randomness party.
func evaluationKeys(t *testing.T, w *requiring) (all []string) {
	t.Helper()
	dir := filepath.Join(w.orgs[task.Randomness].dir, "data", "randomness", "keys")
	must(t, filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		if filepath.Base(name) == "key" {
			all = append(all, filepath.ToSlash(name))
		}
		return err
	}))
	return all
}
