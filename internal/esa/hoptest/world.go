// Package hoptest is what the tests of the hops share: parties with keys, a
// task between them, its reports, a network without sockets, and a simple
// engine to compare with.
package hoptest

import (
	"bytes"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoal-project/shoal/crypto/blind"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/hop"
	"github.com/shoal-project/shoal/metric/task"
)

// Begin is when a world begins: at the start of an epoch.
var Begin = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)

// A Party is a hop with its keys.
type Party struct {
	task.Party
	ID   task.IdentityKey
	Keys hop.Keys
	key  *esa.PrivateKey
}

// A World is a task with its parties.
type World struct {
	Task    *task.Task
	ID      task.ID
	Clock   *clock.Virtual
	Net     *Network
	Parties []*Party // in the order of the hops
	sealer  *esa.Sealer
}

// Random returns a reader of reproducible randomness.
func Random(seed uint64) io.Reader {
	return rand.NewChaCha8([32]byte{0: byte(seed), 1: byte(seed >> 8)})
}

// New returns a world with the given number of shufflers and an analyzer. The
// task's records are a word, which makes the crowd, and a number; edit may
// change the task before it is fixed.
func New(t testing.TB, shufflers int, edit func(*task.Task)) *World {
	t.Helper()
	random := Random(1)
	owner, err := task.GenerateIdentityKey(random)
	must(t, err)
	w := &World{Clock: clock.NewVirtual(Begin), Net: &Network{hosts: map[string]http.Handler{}}}
	w.Task = &task.Task{
		Owner: owner.Public(), OwnedBy: "Example", Metric: "words", Question: "Which words?", Method: task.Crowd,
		Schema: task.Schema{{Name: "word", Kind: task.String, Max: 16}, {Name: "n", Kind: task.Int, High: 1 << 40}},
		Crowd:  task.CrowdRule{Kind: task.Attributes, Fields: []uint8{0}, SaltEpochs: 1}, Threshold: task.Threshold{Kind: task.Naive, T: 3},
		MinBatch: 1, EpochSeconds: 3600, MaxDelay: 600, ClockSkew: 60, PerEpoch: 1, PerCrowd: 1, PayloadSize: 64,
		NotBefore: Begin.Unix(), Expires: Begin.AddDate(1, 0, 0).Unix(),
	}
	for i := range shufflers + 1 {
		role := task.Shuffler
		if i == shufflers {
			role = task.Analyzer
		}
		p := newParty(t, role, i)
		w.Parties = append(w.Parties, p)
		w.Task.Hops = append(w.Task.Hops, p.Party)
	}
	if edit != nil {
		edit(w.Task)
	}
	w.fix(t)
	return w
}

// With returns a world with another task of the same parties, network and clock.
func (w *World) With(t testing.TB, edit func(*task.Task)) *World {
	t.Helper()
	other, of := *w, *w.Task
	edit(&of)
	other.Task = &of
	other.fix(t)
	return &other
}

// fix computes what follows from the task.
func (w *World) fix(t testing.TB) {
	t.Helper()
	var err error
	w.ID, err = w.Task.ID()
	must(t, err)
	var public []task.Key
	for _, p := range w.Parties {
		public = append(public, p.key.Public())
	}
	w.sealer, err = esa.NewSealer(w.Task, w.ID, public)
	must(t, err)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newParty(t testing.TB, role task.Role, i int) *Party {
	random := Random(uint64(100 + i))
	id, err := task.GenerateIdentityKey(random)
	must(t, err)
	from, to := Begin.AddDate(0, 0, -1), Begin.AddDate(1, 0, 0)
	key, err := esa.GenerateKey(esa.X25519, from, to, random)
	must(t, err)
	config, err := task.SignKeyConfig(&task.KeyConfig{
		Role: role, Identity: id.Public(), Keys: []task.Key{key.Public()}, NotBefore: from.Unix(), NotAfter: to.Unix(),
	}, id)
	must(t, err)
	return &Party{
		Party: task.Party{Role: role, URL: "http://127.0.0.1:" + string(rune('1'+i)), Identity: id.Public()},
		ID:    id, Keys: hop.Keys{Private: []*esa.PrivateKey{key}, Config: config}, key: key,
	}
}

// Epoch returns the number of the i-th epoch of the world.
func (w *World) Epoch(i int) task.Epoch { return w.Task.EpochAt(Begin) + task.Epoch(i) }

// Report seals the record {word, n} for an epoch. Two calls give two different
// reports.
func (w *World) Report(t testing.TB, e task.Epoch, word string, n int64) []byte {
	t.Helper()
	return w.ReportOf(t, e, task.Record{word, n})
}

// ReportOf seals any record, under the tag of its crowd.
func (w *World) ReportOf(t testing.TB, e task.Epoch, rec task.Record) []byte {
	t.Helper()
	payload, err := w.Task.Encode(rec)
	must(t, err)
	var points [][blind.Size]byte
	var tags []esa.CrowdTag
	materials, err := esa.CrowdMaterials(w.Task, payload, rec)
	must(t, err)
	for _, material := range materials {
		points = append(points, esa.CrowdPoint(w.ID, e, material))
		tags = append(tags, esa.CrowdTagOf(w.Task, w.ID, e, material))
	}
	seal := func() ([]byte, error) { return w.sealer.SealShowing(e, tags, payload, nil) }
	if w.Task.Protection.Blinded {
		seal = func() ([]byte, error) { return w.sealer.SealBlinded(e, points, payload, nil) }
	}
	report, err := seal()
	must(t, err)
	return report
}

// Point returns the point of the crowd of a record, of a task with blinded crowds.
func (w *World) Point(t testing.TB, e task.Epoch, rec task.Record) [blind.Size]byte {
	t.Helper()
	payload, err := w.Task.Encode(rec)
	must(t, err)
	material, err := esa.CrowdMaterial(w.Task, payload, rec)
	must(t, err)
	return esa.CrowdPoint(w.ID, e, material)
}

// SealBlinded seals any payload under the point of any crowd.
func (w *World) SealBlinded(t testing.TB, e task.Epoch, point [blind.Size]byte, payload []byte) []byte {
	t.Helper()
	report, err := w.sealer.SealBlinded(e, [][blind.Size]byte{point}, payload, nil)
	must(t, err)
	return report
}

// Tag returns the tag of the crowd of a record.
func (w *World) Tag(t testing.TB, e task.Epoch, rec task.Record) esa.CrowdTag {
	t.Helper()
	payload, err := w.Task.Encode(rec)
	must(t, err)
	material, err := esa.CrowdMaterial(w.Task, payload, rec)
	must(t, err)
	return esa.CrowdTagOf(w.Task, w.ID, e, material)
}

// SealTagged seals any payload under any tag.
func (w *World) SealTagged(t testing.TB, e task.Epoch, tag esa.CrowdTag, payload []byte) []byte {
	t.Helper()
	report, err := w.sealer.Seal(e, tag, payload)
	must(t, err)
	return report
}

// SealShowing seals any payload under any tag, with presentations of credentials.
func (w *World) SealShowing(t testing.TB, e task.Epoch, tag esa.CrowdTag, payload []byte, present esa.Presenter) []byte {
	t.Helper()
	report, err := w.sealer.SealShowing(e, []esa.CrowdTag{tag}, payload, present)
	must(t, err)
	return report
}

// Seal seals any payload, under the tag of the crowd that material describes.
func (w *World) Seal(t testing.TB, e task.Epoch, material string, payload []byte) []byte {
	t.Helper()
	report, err := w.sealer.Seal(e, esa.SaltedTag(w.ID, w.Task.SaltWindow(e), []byte(material)), payload)
	must(t, err)
	return report
}

// Post sends a report to the first hop and returns the answer's status, or 0
// without an answer.
func (w *World) Post(t testing.TB, report []byte) int {
	t.Helper()
	url := w.Parties[0].URL + "/tasks/" + w.ID.String() + "/reports"
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(report))
	must(t, err)
	req.Header.Set("Content-Type", "application/shoal-report;v=1")
	resp, err := w.Net.RoundTrip(req)
	if err != nil {
		return 0
	}
	return resp.StatusCode
}

// A Network carries requests to handlers by host. Hosts without one are down.
type Network struct {
	// Lose, if not nil, is asked whether the answer to a request gets lost
	// after the request has been served.
	Lose func(*http.Request) bool

	mu    sync.Mutex
	hosts map[string]http.Handler
	puts  map[string]map[[32]byte]bool
}

// Serve makes the handler answer for a party; nil takes it down.
func (n *Network) Serve(p *Party, h http.Handler) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts[p.URL[len("http://"):]] = h
}

// Client returns a client of the network.
func (n *Network) Client() *http.Client { return &http.Client{Transport: n} }

// Variants returns how many different batches have been put at one address, at
// most over all addresses.
func (n *Network) Variants() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	most := 0
	for _, bodies := range n.puts {
		most = max(most, len(bodies))
	}
	return most
}

// RoundTrip implements [http.RoundTripper].
func (n *Network) RoundTrip(r *http.Request) (*http.Response, error) {
	n.mu.Lock()
	h := n.hosts[r.URL.Host]
	n.mu.Unlock()
	if h == nil {
		return nil, io.ErrUnexpectedEOF
	}
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r.Body.Close()
	}
	in := httptest.NewRequestWithContext(r.Context(), r.Method, r.URL.String(), bytes.NewReader(body))
	in.Header = r.Header.Clone()
	in.RemoteAddr = "203.0.113.77:4711"
	w := httptest.NewRecorder()
	h.ServeHTTP(w, in)
	if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/batches/") {
		n.remember(r.URL.Path, body)
	}
	if n.Lose != nil && n.Lose(r) {
		return nil, io.ErrUnexpectedEOF
	}
	return w.Result(), nil
}

func (n *Network) remember(path string, body []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.puts == nil {
		n.puts = map[string]map[[32]byte]bool{}
	}
	if n.puts[path] == nil {
		n.puts[path] = map[[32]byte]bool{}
	}
	n.puts[path][sha256.Sum256(body)] = true
}

// Forget makes the network forget what has been put.
func (n *Network) Forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.puts, n.Lose = nil, nil
}
