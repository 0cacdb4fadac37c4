package analyzer_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/shoal-project/shoal/crypto/arc"
	"github.com/shoal-project/shoal/crypto/voprf"
	"github.com/shoal-project/shoal/internal/credential"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/internal/esa/analyzer/storetest"
	"github.com/shoal-project/shoal/internal/esa/hoptest"
	"github.com/shoal-project/shoal/internal/quorum"
	"github.com/shoal-project/shoal/metric/task"
)

// A hardenedBench is an analyzer of a hardened task, with its issuer, the key of the
// randomness party, and clients.
type hardenedBench struct {
	*bench
	key     *voprf.PrivateKey
	clients []*arc.Credential // of the analyzer
	last    []byte            // presentation
}

func newHardened(t testing.TB, clients int) *hardenedBench {
	t.Helper()
	random, err := task.GenerateIdentityKey(hoptest.Random(77))
	must(t, err)
	edit := func(t *task.Task) {
		t.Schema = task.Schema{{Name: "word", Kind: task.String, Max: 40}, {Name: "n", Kind: task.Int, High: 1 << 20}}
		t.Threshold = task.Threshold{Kind: task.Naive, T: shares}
		t.Encoding = task.Encoding{Kind: task.Quorum, Shares: shares}
		t.PayloadSize = 256
		t.Protection = task.Protection{
			CredentialEpochs: 6, Evaluations: 1,
			Randomness: task.Party{Role: task.Randomness, URL: "http://127.0.0.1:9", Identity: random.Public()},
		}
	}
	h := &hardenedBench{bench: &bench{World: hoptest.New(t, 1, edit), store: storetest.NewModel(), fs: durable.Mem(), engine: hoptest.NewEngine()}}
	must(t, h.Task.Validate())
	h.key, err = voprf.GenerateKey(rand.Reader)
	must(t, err)
	p := h.Parties[1]
	h.issuer, err = credential.NewIssuer(credential.IssuerConfig{
		FS: h.fs, Dir: "credentials", Role: task.Analyzer, Party: p.ID.Public(), Tasks: []*task.Task{h.Task},
		Gates: []credential.Gate{credential.Work(1)}, Clock: h.Clock,
		Sign: func(_ credential.Slot, b []byte) ([]byte, error) { return b, nil },
	})
	must(t, err)
	h.start(t)
	for range clients {
		h.clients = append(h.clients, h.obtain(t))
	}
	return h
}

// obtain gets a credential of the analyzer, by the protocol alone.
func (h *hardenedBench) obtain(t testing.TB) *arc.Credential {
	t.Helper()
	slot, ok := credential.SlotOf(h.Task, h.Task.Hops[1], h.Epoch(0))
	if !ok {
		t.Fatal("the analyzer asks for no credentials")
	}
	path := "/tasks/" + h.ID.String() + "/credentials/analyzer/" + strconv.FormatInt(slot.Start, 10)
	w := httptest.NewRecorder()
	h.a.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	if w.Code != http.StatusOK {
		t.Fatalf("the key: HTTP %d: %s", w.Code, w.Body)
	}
	public, err := arc.ParsePublicKey(w.Body.Bytes()[1 : 1+arc.PublicKeySize])
	must(t, err)
	secrets, request, err := arc.NewRequest(rand.Reader, slot.RequestContext())
	must(t, err)
	for work := byte(0); work < 64; work++ { // of one bit: half of all nonces will do
		body := append([]byte{1}, request.Bytes()...)
		body = append(body, 0, 0, 0, 0, 0, 0, 0, work, 0, 0)
		w = httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
		r.Header.Set("Content-Type", credential.RequestType)
		h.a.Handler().ServeHTTP(w, r)
		if w.Code == http.StatusOK {
			break
		}
	}
	response, err := arc.ParseResponse(w.Body.Bytes())
	must(t, err)
	cr, err := secrets.Finalize(public, request, response)
	must(t, err)
	return cr
}

// A making is one report that a client makes, with all that a hostile one can change.
type making struct {
	client int
	word   string // that is evaluated
	record string // that is sealed, if another
	n      int64
	epoch  task.Epoch // of presentation and value, if another than the report's
	crowd  string     // under whose tag it is sent, if another
	edit   func(content []byte)
	other  int  // with whose credential it shows, if not 0
	moved  bool // it shows the presentation of the report before
}

func (h *hardenedBench) value(t testing.TB, e task.Epoch, word string) *quorum.Value {
	t.Helper()
	rec := task.Record{word, int64(0)}
	payload, err := h.Task.Encode(rec)
	must(t, err)
	material, err := esa.CrowdMaterial(h.Task, payload, rec)
	must(t, err)
	output, err := h.key.Output(quorum.Input(h.ID, e, material))
	must(t, err)
	v, err := quorum.New(h.Task, h.ID, e, material, output)
	must(t, err)
	return v
}

// report makes a report of the epoch.
func (h *hardenedBench) report(t testing.TB, e task.Epoch, m making) []byte {
	t.Helper()
	made := e
	if m.epoch != 0 {
		made = m.epoch
	}
	v := h.value(t, made, m.word)
	tag, crowd := v.Tag(), v.Crowd()
	if m.crowd != "" {
		crowd = h.value(t, made, m.crowd).Crowd()
	}
	at := credential.ContextsOf(h.Task, h.Task.Hops[1], made, tag[:])[0]
	context, err := arc.NewContext(at.Data[:], at.Limit)
	must(t, err)
	own, err := h.clients[m.client].Tag(context, 0)
	must(t, err)
	if m.record == "" {
		m.record = m.word
	}
	payload, err := h.Task.Encode(task.Record{m.record, m.n})
	must(t, err)
	content, err := v.Content(quorum.XOf(own[:]), payload, rand.Reader)
	must(t, err)
	if m.edit != nil {
		m.edit(content)
	}
	shows := h.clients[m.client]
	if m.other != 0 {
		shows = h.clients[m.other]
	}
	return h.SealShowing(t, e, esa.CrowdTag(crowd), content, func(i int, digest [sha256.Size]byte) ([][]byte, error) {
		if i == 0 { // the shuffler has verified its own
			var all [][]byte
			for _, p := range h.Task.Presentations(h.Task.Hops[0]) {
				all = append(all, make([]byte, arc.PresentationSize(p.Limit)))
			}
			return all, nil
		}
		p, err := shows.Present(rand.Reader, context, 0, credential.Binding(h.ID, digest))
		if err != nil {
			return nil, err
		}
		if !m.moved {
			h.last = p.Bytes()
		}
		return [][]byte{h.last}, nil
	})
}

// released returns the numbers of the records of each word.
func (h *hardenedBench) released(t testing.TB, entry analyzer.Entry) map[string]map[int64]bool {
	t.Helper()
	out := map[string]map[int64]bool{}
	for _, row := range table(t, h.a.Tables(), entry, analyzer.RecordsTable) {
		word := row[1].(string)
		if out[word] == nil {
			out[word] = map[int64]bool{}
		}
		out[word][row[2].(int64)] = true
	}
	return out
}

// TestHardened covers the threats to a hardened quorum at the analyzer: one client that
// makes several shares of a value, bad shares, records of another value under the key of a
// group, reports under the crowd of others, presentations of other clients, values and
// epochs. Each costs the report that has it, and every report is accounted for.
func TestHardened(t *testing.T) {
	h := newHardened(t, shares+9)
	e := h.Epoch(0)
	var reports [][]byte
	put := func(m making) { reports = append(reports, h.report(t, e, m)) }
	for i := range shares + 4 {
		put(making{client: i, word: "often", n: int64(i)})
	}
	put(making{client: 0, word: "often", n: 100})                                               // again
	put(making{client: shares + 4, word: "often", n: 101, edit: func(c []byte) { c[32] ^= 1 }}) // a bad share
	put(making{client: shares + 5, word: "often", record: "secret", n: 102})                    // another value inside
	put(making{client: shares + 6, word: "often", n: 103, edit: func(c []byte) { c[60] ^= 1 }}) // no record
	put(making{client: shares + 7, word: "often", n: 104, crowd: "single"})                     // another crowd
	put(making{client: shares + 8, other: shares + 7, word: "often", n: 105})                   // another's credential
	put(making{client: shares + 8, word: "often", n: 106, epoch: h.Epoch(1)})                   // another epoch
	put(making{client: shares + 8, word: "often", n: 107, moved: true})                         // another report's presentation
	for i := range shares {                                                                     // exactly enough
		put(making{client: i, word: "just", n: int64(i)})
	}
	for i := range shares - 1 { // one client fewer, of whom one has three reports
		put(making{client: i, word: "rare", n: int64(i)})
	}
	put(making{client: 0, word: "rare", n: 7})
	put(making{client: 0, word: "rare", n: 8})
	for i := range shares { // a crowd under the tag of others
		put(making{client: i, word: "hidden", n: int64(i), crowd: "just"})
	}
	entry := h.release(t, e, reports...)
	got := h.released(t, entry)
	if len(got) != 2 || len(got["just"]) != shares {
		t.Errorf("released %v", got)
	}
	for i := range int64(shares + 4) {
		if i > 0 && !got["often"][i] {
			t.Errorf("the record of client %d is lost: %v", i, got["often"])
		}
	}
	if n := len(got["often"]); n != shares+4 || got["often"][101] || got["often"][102] || got["often"][103] || got["often"][104] {
		t.Errorf("released of the word: %v", got["often"])
	}
	m, c := entry.Manifest.Analyzer, h.exact.of(entry)
	want := map[string]uint64{
		"duplicate_share": 1 + 2, "forged_share": 2, "foreign_record": 2, "credential": 2,
		"below_quorum": 1 + shares - 1, "wrong_crowd": shares,
	}
	if !maps.Equal(c.Invalid, want) || m.Records != 2*shares+4 || m.Quorum.Recovered != 2 || m.Crowds != 2 {
		t.Errorf("counts %+v\nwant   %v; %+v", c.Invalid, want, m)
	}
	sum := m.Records
	for _, n := range c.Invalid {
		sum += n
	}
	if sum != uint64(len(reports)) || c.Received != sum {
		t.Errorf("%d reports accounted for, %d received", sum, c.Received)
	}
}

// TestHardenedEqualRecords: records of a group that are equal, with others and foreign ones
// between them, are all released and counted.
func TestHardenedEqualRecords(t *testing.T) {
	h := newHardened(t, 2*shares+2)
	e := h.Epoch(0)
	var reports [][]byte
	for i := range 2 * shares {
		reports = append(reports, h.report(t, e, making{client: i, word: "often", n: int64(7 + i%2)}))
	}
	for i := 2 * shares; i < 2*shares+2; i++ {
		reports = append(reports, h.report(t, e, making{client: i, word: "often", record: "secret", n: 7}))
	}
	entry := h.release(t, e, reports...)
	got := map[int64]int{}
	for _, row := range table(t, h.a.Tables(), entry, analyzer.RecordsTable) {
		if row[1] != "often" {
			t.Errorf("released %v", row)
		}
		got[row[2].(int64)]++
	}
	if !maps.Equal(got, map[int64]int{7: shares, 8: shares}) {
		t.Errorf("released %v, want %d of 7 and of 8", got, shares)
	}
	m, c := entry.Manifest.Analyzer, h.exact.of(entry)
	if m.Records != 2*shares || !maps.Equal(c.Invalid, map[string]uint64{"foreign_record": 2}) {
		t.Errorf("%d records, counts %v", m.Records, c.Invalid)
	}
}

// TestHardenedBadShares: a group of t + 2e clients of whom e have bad shares is recovered, for
// each e, and the bad ones are dropped.
func TestHardenedBadShares(t *testing.T) {
	const most = 5
	h := newHardened(t, shares+2*most)
	slot, _ := credential.SlotOf(h.Task, h.Task.Hops[1], h.Epoch(0))
	bad := 0
	for i := 0; bad <= most; i++ {
		e := h.Epoch(i)
		if of, _ := credential.SlotOf(h.Task, h.Task.Hops[1], e); of != slot {
			break // another period's credentials
		}
		var reports [][]byte
		for i := range shares + 2*bad {
			m := making{client: i, word: "word", n: int64(i)}
			if i < bad {
				m.edit = func(c []byte) { c[40] ^= byte(1 + i) }
			}
			reports = append(reports, h.report(t, e, m))
		}
		entry := h.release(t, e, reports...)
		if got := h.released(t, entry)["word"]; len(got) != shares+bad || h.exact.of(entry).Invalid["forged_share"] != uint64(bad) {
			t.Errorf("%d bad shares of %d: %d records, %+v", bad, shares+2*bad, len(got), h.exact.of(entry).Invalid)
		}
		bad++
	}
	if bad < 2 {
		t.Error("no batch with bad shares was made: the period has ended")
	}
}

// TestHardenedGuess: of all that the analyzer holds of a batch, nothing confirms a guess of
// a value that is not released; the key of the randomness party does. In a task whose quorum
// is not hardened the analyzer confirms it alone.
func TestHardenedGuess(t *testing.T) {
	h := newHardened(t, shares)
	e := h.Epoch(0)
	row := h.rows(t, h.report(t, e, making{word: "guess", n: 1}))[0]
	opener, err := esa.NewOpener(h.Task, h.ID, 1, h.Parties[1].Keys.Private...)
	must(t, err)
	layer, err := opener.Open(row[16:], e)
	must(t, err)
	held := append(bytes.Clone(row[:16]), layer.Next...)
	rec := task.Record{"guess", int64(1)}
	payload, err := h.Task.Encode(rec)
	must(t, err)
	material, err := esa.CrowdMaterial(h.Task, payload, rec)
	must(t, err)
	// Everything that can be computed without the key: the crowd's tag, as in tasks
	// without it, and values of evaluations that are a function of the guess.
	public := esa.SaltedTag(h.ID, h.Task.SaltWindow(e), material)
	if bytes.Contains(held, public[:]) || bytes.Contains(held, material) {
		t.Error("the report has a public function of its value")
	}
	input := quorum.Input(h.ID, e, material)
	for range 4 {
		stand, err := voprf.GenerateKey(rand.Reader)
		must(t, err)
		output, err := stand.Output(input)
		must(t, err)
		if h.confirms(t, e, material, output, held) {
			t.Error("a guess is confirmed without the randomness party's key")
		}
	}
	output, err := h.key.Output(input)
	must(t, err)
	if !h.confirms(t, e, material, output, held) {
		t.Error("the key does not confirm what it evaluates")
	}

	plain := newQuorum(t, task.Payload, durable.Mem(), hoptest.NewEngine())
	message := encode(t, plain, "guess")
	content := plain.content(t, e, message)
	again := plain.content(t, e, message)
	if n := len(content) - 32; !bytes.Equal(content[:n], again[:n]) {
		t.Error("a quorum that is not hardened hides its value: this test could not fail")
	}
	if tag := plain.Tag(t, e, task.Record{"guess", true}); tag == (esa.CrowdTag{}) || tag != plain.Tag(t, e, task.Record{"guess", true}) {
		t.Error("the shuffler of a task that is not hardened cannot confirm a guess: this test could not fail")
	}
}

func (h *hardenedBench) confirms(t testing.TB, e task.Epoch, material, output, held []byte) bool {
	t.Helper()
	v, err := quorum.New(h.Task, h.ID, e, material, output)
	must(t, err)
	crowd, tag := v.Crowd(), v.Tag()
	return bytes.Equal(held[:16], crowd[:]) || bytes.Contains(held, tag[:])
}

// TestHardenedWantsAnIssuer: there is no analyzer of a hardened task that does not verify.
func TestHardenedWantsAnIssuer(t *testing.T) {
	h := newHardened(t, 0)
	_, err := analyzer.New(t.Context(), analyzer.Config{
		Store: storetest.NewModel(), FS: durable.Mem(), Dir: "data", Clock: h.Clock, Identity: h.Parties[1].ID.Public(),
		Keys: h.Parties[1].Keys, Tasks: []*task.Task{h.Task}, Engine: hoptest.NewEngine(),
	})
	if err == nil {
		t.Error("an analyzer without an issuer serves a hardened task")
	}
	if s := fmt.Sprint(err); err != nil && !bytes.Contains([]byte(s), []byte("requires credentials")) {
		t.Errorf("%v", err)
	}
}
