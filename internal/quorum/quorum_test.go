package quorum_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/shoal-project/shoal/crypto/secretshare"
	"github.com/shoal-project/shoal/crypto/voprf"
	"github.com/shoal-project/shoal/internal/golden"
	"github.com/shoal-project/shoal/internal/quorum"
	"github.com/shoal-project/shoal/metric/task"
)

const (
	epoch     = task.Epoch(20_000)
	threshold = 5
)

func identity(name string) task.IdentityKey {
	k, err := task.GenerateIdentityKey(mrand.NewChaCha8(sha256.Sum256([]byte(name))))
	if err != nil {
		panic(err)
	}
	return k
}

// pages is a hardened task whose crowds are the pages, and whose records say more.
func pages(t testing.TB) (*task.Task, task.ID) {
	t.Helper()
	start := time.Unix(86_400*20_000, 0)
	party := func(role task.Role, name string) task.Party {
		return task.Party{Role: role, URL: "https://" + name + ".example", Identity: identity(name).Public()}
	}
	tk := &task.Task{
		Owner: identity("owner").Public(), OwnedBy: "Example", Metric: "pages", Question: "Which pages?", Consent: "Pages.",
		Method:    task.Crowd,
		Schema:    task.Schema{{Name: "page", Kind: task.String, Max: 40}, {Name: "seconds", Kind: task.Int, Low: 0, High: 1000}},
		Crowd:     task.CrowdRule{Kind: task.Attributes, Fields: []uint8{0}, SaltEpochs: 1},
		Threshold: task.Threshold{Kind: task.NoisyDrop, T: 20, D: 12, SigmaMilli: 2000},
		Encoding:  task.Encoding{Kind: task.Quorum, Shares: threshold},
		MinBatch:  100, EpochSeconds: 86_400, MaxDelay: 3600, ClockSkew: 300, PerEpoch: 10, PerCrowd: 1, PayloadSize: 256,
		NotBefore: start.Unix(), Expires: start.AddDate(0, 0, 90).Unix(),
		Hops: []task.Party{party(task.Shuffler, "shuffler"), party(task.Analyzer, "analyzer")},
		Protection: task.Protection{
			CredentialEpochs: 7, Randomness: party(task.Randomness, "randomness"), Evaluations: 2,
		},
	}
	if err := tk.Validate(); err != nil {
		t.Fatal(err)
	}
	id, err := tk.ID()
	if err != nil {
		t.Fatal(err)
	}
	return tk, id
}

// material is the encoding of the page alone.
func material(tk *task.Task) quorum.Material {
	return func(payload []byte) ([]byte, error) {
		r, err := tk.Decode(payload)
		if err != nil {
			return nil, err
		}
		return tk.Schema.Encode(task.Record{r[0], nil})
	}
}

func payloadOf(t testing.TB, tk *task.Task, page string, seconds int64) []byte {
	t.Helper()
	p, err := tk.Encode(task.Record{page, seconds})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func keyOf(t testing.TB) *voprf.PrivateKey {
	t.Helper()
	k, err := voprf.DeriveKey(make([]byte, voprf.SeedSize), []byte("epoch 20000"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// valueOf evaluates a page, as a client does.
func valueOf(t testing.TB, tk *task.Task, id task.ID, key *voprf.PrivateKey, payload []byte) *quorum.Value {
	t.Helper()
	m, err := material(tk)(payload)
	if err != nil {
		t.Fatal(err)
	}
	pending, request, err := voprf.NewRequest(rand.Reader, [][]byte{quorum.Input(id, epoch, m)}, voprf.MaxBatch)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := key.Evaluate(rand.Reader, request)
	if err != nil {
		t.Fatal(err)
	}
	outputs, err := pending.Finalize(key.Public(), request, answer)
	if err != nil {
		t.Fatal(err)
	}
	v, err := quorum.New(tk, id, epoch, m, outputs[0])
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// A sent is what analyzer and shuffler have of one report.
type sent struct {
	crowd   quorum.CrowdTag
	content []byte
	x       secretshare.X
}

func send(t testing.TB, tk *task.Task, id task.ID, key *voprf.PrivateKey, client int, page string, seconds int64) sent {
	t.Helper()
	p := payloadOf(t, tk, page, seconds)
	v := valueOf(t, tk, id, key, p)
	tag := v.Tag()
	credential := sha256.Sum256(binary.BigEndian.AppendUint64(tag[:], uint64(client))) // as arc: a function of credential and context
	x := quorum.XOf(credential[:])
	content, err := v.Content(x, p, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return sent{v.Crowd(), content, x}
}

func split(t testing.TB, tk *task.Task, reports []sent) (parts []quorum.Part, shares []secretshare.Share) {
	t.Helper()
	for _, r := range reports {
		p, err := quorum.Split(tk, r.content)
		if err != nil {
			t.Fatal(err)
		}
		parts, shares = append(parts, p), append(shares, secretshare.Join(r.x, p.Y))
	}
	return parts, shares
}

func recoverer(t testing.TB, tk *task.Task, id task.ID, e task.Epoch) *quorum.Recoverer {
	t.Helper()
	r, err := quorum.NewRecoverer(tk, id, e, material(tk))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestGroup: enough clients with one page are read, with records that differ; fewer
// are not; another epoch's are not.
func TestGroup(t *testing.T) {
	tk, id := pages(t)
	key := keyOf(t)
	var reports []sent
	for i := range threshold {
		reports = append(reports, send(t, tk, id, key, i, "shoal.example/a", int64(i)))
	}
	parts, shares := split(t, tk, reports)
	r := recoverer(t, tk, id, epoch)
	if _, err := r.Recover(reports[0].crowd, parts[0].Tag, shares[:threshold-1], rand.Reader); !errors.Is(err, secretshare.ErrTooFew) {
		t.Fatalf("one client fewer: %v", err)
	}
	res, err := r.Recover(reports[0].crowd, parts[0].Tag, shares, rand.Reader)
	if err != nil || res.Distinct != threshold {
		t.Fatalf("%+v, %v", res, err)
	}
	for i, p := range parts {
		payload, err := r.Open(p.Record)
		if err != nil || !bytes.Equal(payload, payloadOf(t, tk, "shoal.example/a", int64(i))) {
			t.Fatalf("record %d: %x, %v", i, payload, err)
		}
	}
	if _, err := recoverer(t, tk, id, epoch+1).Recover(reports[0].crowd, parts[0].Tag, shares, rand.Reader); !errors.Is(err, secretshare.ErrNoKey) {
		t.Errorf("recovered in another epoch: %v", err)
	}
}

// TestOneClient: one credential has one share of a value, in however many reports.
func TestOneClient(t *testing.T) {
	tk, id := pages(t)
	key := keyOf(t)
	var reports []sent
	for i := range 3 * threshold {
		reports = append(reports, send(t, tk, id, key, i%(threshold-1), "shoal.example/a", int64(i)))
	}
	parts, shares := split(t, tk, reports)
	if _, err := recoverer(t, tk, id, epoch).Recover(reports[0].crowd, parts[0].Tag, shares, rand.Reader); !errors.Is(err, secretshare.ErrTooFew) {
		t.Fatalf("%d clients with %d reports: %v", threshold-1, len(reports), err)
	}
}

// TestForgers: what a client can put into a group of others harms its own report only.
func TestForgers(t *testing.T) {
	tk, id := pages(t)
	key := keyOf(t)
	var reports []sent
	for i := range threshold + 4 {
		reports = append(reports, send(t, tk, id, key, i, "shoal.example/a", 1))
	}
	// One has a bad share, one a record of another page under the group's key, and one
	// noise for a record.
	reports[0].content[32] ^= 1
	other := payloadOf(t, tk, "rare.example/secret", 1)
	v := valueOf(t, tk, id, key, payloadOf(t, tk, "shoal.example/a", 1))
	content, err := v.Content(reports[1].x, other, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	reports[1].content = content
	reports[2].content[len(reports[2].content)-1] ^= 1
	parts, shares := split(t, tk, reports)
	r := recoverer(t, tk, id, epoch)
	res, err := r.Recover(reports[0].crowd, parts[0].Tag, shares, rand.Reader)
	if err != nil || res.Forged != 1 || res.Valid[0] {
		t.Fatalf("%+v, %v", res, err)
	}
	for i, p := range parts {
		_, err := r.Open(p.Record)
		switch {
		case i == 1 && !errors.Is(err, quorum.ErrValue), i == 2 && !errors.Is(err, secretshare.ErrRecord), i > 2 && err != nil:
			t.Errorf("record %d: %v", i, err)
		}
	}
	crowd := reports[0].crowd
	crowd[0] ^= 1
	if _, err := r.Recover(crowd, parts[0].Tag, shares, rand.Reader); !errors.Is(err, quorum.ErrCrowd) {
		t.Errorf("under another crowd's tag: %v", err)
	}
	if _, err := r.Open(parts[3].Record); err == nil {
		t.Error("a record of a group that was not recovered opens")
	}
}

// guess looks for what a party with all bytes of a batch can compute from a guess of its
// value with public things alone: it tries every derivation of the encoding with the
// input, its hash, or the crowd's material in place of the evaluation.
func guess(t *testing.T, tk *task.Task, id task.ID, page string, r sent) bool {
	t.Helper()
	m, err := material(tk)(payloadOf(t, tk, page, 1))
	if err != nil {
		t.Fatal(err)
	}
	in := quorum.Input(id, epoch, m)
	hash := sha256.Sum256(in)
	for _, stand := range [][]byte{in, hash[:], m} {
		output := make([]byte, voprf.OutputSize)
		copy(output, stand)
		v, err := quorum.New(tk, id, epoch, m, output)
		if err != nil {
			t.Fatal(err)
		}
		if tag := v.Tag(); v.Crowd() == r.crowd || bytes.HasPrefix(r.content, tag[:]) {
			return true
		}
	}
	return false
}

// TestGuess: with the key a guess is confirmed, by the same comparison; without it,
// not. That the test can fail is shown by the holder of the key.
func TestGuess(t *testing.T) {
	tk, id := pages(t)
	key := keyOf(t)
	r := send(t, tk, id, key, 1, "guessable.example", 1)
	if guess(t, tk, id, "guessable.example", r) {
		t.Error("a guess is confirmed without the randomness party")
	}
	m, err := material(tk)(payloadOf(t, tk, "guessable.example", 1))
	if err != nil {
		t.Fatal(err)
	}
	output, err := key.Output(quorum.Input(id, epoch, m))
	if err != nil {
		t.Fatal(err)
	}
	v, err := quorum.New(tk, id, epoch, m, output)
	if err != nil {
		t.Fatal(err)
	}
	if tag := v.Tag(); v.Crowd() != r.crowd || !bytes.HasPrefix(r.content, tag[:]) {
		t.Error("the holder of the key cannot confirm what it can compute")
	}
	same := send(t, tk, id, key, 2, "guessable.example", 1)
	if bytes.Equal(r.content[48:], same.content[48:]) || bytes.Equal(r.content[32:48], same.content[32:48]) {
		t.Error("two clients with one record have equal shares or equal ciphertexts")
	}
}

func TestRefuses(t *testing.T) {
	tk, id := pages(t)
	if _, err := quorum.New(tk, id, epoch, nil, make([]byte, 32)); err == nil {
		t.Error("an evaluation of 32 bytes is taken")
	}
	for n := range quorum.ContentSize(tk) {
		if _, err := quorum.Split(tk, make([]byte, n)); err == nil {
			t.Fatalf("content of %d bytes is taken", n)
		}
	}
	plain := *tk
	plain.Protection = task.Protection{}
	if _, err := quorum.Split(&plain, make([]byte, quorum.ContentSize(tk))); err == nil {
		t.Error("a task without a hardened quorum is taken")
	}
	if _, err := quorum.New(&plain, id, epoch, nil, make([]byte, 64)); err == nil {
		t.Error("a value of a task without a hardened quorum")
	}
	if _, err := quorum.NewRecoverer(&plain, id, epoch, nil); err == nil {
		t.Error("a recoverer of a task without a hardened quorum")
	}
	v, err := quorum.New(tk, id, epoch, nil, make([]byte, 64))
	if err != nil {
		t.Fatal(err)
	}
	if s := fmt.Sprintf("%v %+v %#v", v, v, v); bytes.Contains([]byte(s), []byte("{")) {
		t.Errorf("a value prints as %s", s)
	}
	if c, err := v.Content(quorum.XOf(nil), nil, rand.Reader); err != nil || len(c)+1 > int(tk.PayloadSize) || len(c) != quorum.ContentSize(tk) {
		t.Errorf("content of %d bytes, %v; the task's class is %d", len(c), err, tk.PayloadSize)
	}
}

// TestGolden pins the bytes of docs/spec/quorum.md.
func TestGolden(t *testing.T) {
	tk, id := pages(t)
	p := payloadOf(t, tk, "shoal.example/a", 7)
	m, err := material(tk)(p)
	if err != nil {
		t.Fatal(err)
	}
	key := keyOf(t)
	in := quorum.Input(id, epoch, m)
	output, err := key.Output(in)
	if err != nil {
		t.Fatal(err)
	}
	v, err := quorum.New(tk, id, epoch, m, output)
	if err != nil {
		t.Fatal(err)
	}
	credential := bytes.Repeat([]byte{9}, 33)
	content, err := v.Content(quorum.XOf(credential), p, mrand.NewChaCha8([32]byte{1}))
	if err != nil {
		t.Fatal(err)
	}
	crowd := v.Crowd()
	got, err := json.MarshalIndent(map[string]string{
		"task_id": hex.EncodeToString(id[:]), "epoch": fmt.Sprint(epoch), "shares": fmt.Sprint(threshold),
		"key": hex.EncodeToString(key.Bytes()), "material": hex.EncodeToString(m), "payload": hex.EncodeToString(p),
		"input": hex.EncodeToString(in), "output": hex.EncodeToString(output), "crowd_tag": hex.EncodeToString(crowd[:]),
		"credential_tag": hex.EncodeToString(credential), "content": hex.EncodeToString(content),
	}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join("testdata", "quorum.json")
	golden.Equal(t, name, append(got, '\n'))
}

// FuzzGroup mixes reports that an attacker made up with honest ones: fewer than what
// is corrected do no harm, and nothing panics.
func FuzzGroup(f *testing.F) {
	tk, id := pages(f)
	key := keyOf(f)
	var honest []sent
	for i := range threshold + 2 {
		honest = append(honest, send(f, tk, id, key, i, "shoal.example/a", 1))
	}
	size := quorum.ContentSize(tk)
	f.Add(honest[0].content)
	f.Add(bytes.Repeat([]byte{0xff}, size+7))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := quorum.Split(tk, b)
		if err != nil {
			return
		}
		parts, shares := split(t, tk, honest)
		r := recoverer(t, tk, id, epoch)
		res, err := r.Recover(honest[0].crowd, parts[0].Tag, append(shares, secretshare.Join(quorum.XOf(b), p.Y)), mrand.NewChaCha8([32]byte{}))
		if err != nil || res.Distinct < len(honest) {
			t.Fatalf("%+v, %v", res, err)
		}
		if payload, err := r.Open(p.Record); err == nil {
			if _, err := tk.Decode(payload); err != nil {
				t.Fatalf("a record that the schema refuses: %v", err)
			}
		}
	})
}
