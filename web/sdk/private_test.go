package sdk_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"testing"
	"time"

	"github.com/shoal-project/shoal/crypto/arc"
	"github.com/shoal-project/shoal/crypto/secretshare"
	"github.com/shoal-project/shoal/crypto/voprf"
	"github.com/shoal-project/shoal/internal/golden"
	"github.com/shoal-project/shoal/internal/quorum"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/ohttp"
	"github.com/shoal-project/shoal/ohttp/bhttp"
)

const (
	primitivesFile    = "testdata/primitives.json"     // what Go makes
	primitivesWebFile = "testdata/primitives-web.json" // what @shoal/sdk/private made with randomness of its own
)

// Primitives are what a client of protected tasks makes, with all randomness, and what
// its peers answer.
type primitives struct {
	ARC struct {
		Key           []byte         `json:"key"` // of the issuer, private
		Public        []byte         `json:"public"`
		Context       []byte         `json:"context"` // of the request
		Random        []byte         `json:"random"`
		Secrets       []byte         `json:"secrets"`
		Request       []byte         `json:"request"`
		Response      []byte         `json:"response"`
		Credential    []byte         `json:"credential"`
		Presentations []presentation `json:"presentations"`
	} `json:"arc"`
	VOPRF struct {
		Key      []byte   `json:"key"`
		Public   []byte   `json:"public"`
		Inputs   [][]byte `json:"inputs"`
		Size     int      `json:"size"`
		Random   []byte   `json:"random"`
		Request  []byte   `json:"request"`
		Response []byte   `json:"response"`
		Outputs  [][]byte `json:"outputs"`
	} `json:"voprf"`
	Quorum struct {
		Task     []byte     `json:"task"`
		Epoch    task.Epoch `json:"epoch"`
		Shares   int        `json:"shares"`
		Material []byte     `json:"material"`
		Output   []byte     `json:"output"`
		Payload  []byte     `json:"payload"`
		Size     int        `json:"size"`
		Tags     [][]byte   `json:"tags"` // of credentials at the analyzer
		Random   []byte     `json:"random"`
		Crowd    []byte     `json:"crowd"`
		Tag      []byte     `json:"tag"`
		Content  []byte     `json:"content"` // of the first tag
	} `json:"quorum"`
	OHTTP struct {
		Secret  string       `json:"secret"` // of the gateway
		Keys    []byte       `json:"keys"`
		Request innerRequest `json:"request"`
		Size    int          `json:"size"`
		Inner   []byte       `json:"inner"`
	} `json:"ohttp"`
}

type presentation struct {
	Context      []byte `json:"context"`
	Limit        uint32 `json:"limit"`
	Nonce        uint32 `json:"nonce"`
	Binding      []byte `json:"binding"`
	Random       []byte `json:"random"`
	Presentation []byte `json:"presentation"`
	Tag          []byte `json:"tag"`
}

type innerRequest struct {
	Method    string      `json:"method"`
	Scheme    string      `json:"scheme"`
	Authority string      `json:"authority"`
	Path      string      `json:"path"`
	Header    [][2]string `json:"header"`
	Content   []byte      `json:"content"`
}

// PrimitiveResults are what @shoal/sdk/private makes of primitives: with the randomness
// of Go, and once more with its own.
type primitiveResults struct {
	ARC struct {
		Secrets, Request, Credential, Own []byte
		Presentations                     []struct{ Presentation, Own []byte }
	}
	VOPRF struct {
		Request []byte
		Outputs [][]byte
		Own     []byte
		Blinds  [][]byte
	}
	Quorum struct {
		Crowd, Tag, Content []byte
		Own                 [][]byte
	}
	OHTTP struct{ Inner, Own []byte }
}

// goldenPrimitives returns what Go makes from one source of randomness.
func goldenPrimitives(t *testing.T) *primitives {
	t.Helper()
	source := mathrand.NewChaCha8(sha256.Sum256([]byte("primitives")))
	p := new(primitives)
	p.credentials(t, source)
	p.evaluations(t, source)
	p.value(t, source)
	p.oblivious(t, source)
	return p
}

func (p *primitives) credentials(t *testing.T, source io.Reader) {
	t.Helper()
	a := &p.ARC
	key, err := arc.GenerateKey(source)
	must(t, err)
	a.Key, a.Public, a.Context = key.Bytes(), key.Public().Bytes(), []byte("a request context")
	r := &recorder{from: source}
	secrets, request, err := arc.NewRequest(r, a.Context)
	must(t, err)
	a.Random, a.Secrets, a.Request = r.read, secrets.Bytes(), request.Bytes()
	response, err := key.Issue(source, request)
	must(t, err)
	credential, err := secrets.Finalize(key.Public(), request, response)
	must(t, err)
	a.Response, a.Credential = response.Bytes(), credential.Bytes()
	// Limits about the powers of two, at which the weights of bits change their form.
	for _, x := range []struct{ limit, nonce uint32 }{{1, 0}, {2, 0}, {2, 1}, {3, 2}, {4, 1}, {5, 4}, {16, 11}, {17, 16}, {1000, 777}, {1 << 16, 1<<16 - 1}} {
		one := presentation{Context: fmt.Appendf(nil, "context %d", x.limit), Limit: x.limit, Nonce: x.nonce, Binding: fmt.Appendf(nil, "binding %d", x.nonce)}
		c, err := arc.NewContext(one.Context, one.Limit)
		must(t, err)
		r := &recorder{from: source}
		made, err := credential.Present(r, c, one.Nonce, one.Binding)
		must(t, err)
		tag, err := credential.Tag(c, one.Nonce)
		must(t, err)
		one.Random, one.Presentation, one.Tag = r.read, made.Bytes(), tag[:]
		a.Presentations = append(a.Presentations, one)
	}
}

func (p *primitives) evaluations(t *testing.T, source io.Reader) {
	t.Helper()
	v := &p.VOPRF
	key, err := voprf.GenerateKey(source)
	must(t, err)
	v.Key, v.Public, v.Size = key.Bytes(), key.Public().Bytes(), voprf.MaxBatch
	v.Inputs = [][]byte{[]byte("one value"), []byte("another"), {}}
	r := &recorder{from: source}
	pending, request, err := voprf.NewRequest(r, v.Inputs, v.Size)
	must(t, err)
	response, err := key.Evaluate(source, request)
	must(t, err)
	v.Random, v.Request, v.Response = r.read, request.Bytes(), response.Bytes()
	v.Outputs, err = pending.Finalize(key.Public(), request, response)
	must(t, err)
}

func (p *primitives) value(t *testing.T, source io.Reader) {
	t.Helper()
	q := &p.Quorum
	x, id := hardened(t)
	q.Task, q.Epoch, q.Shares, q.Size = id[:], 20_000, int(x.Encoding.Shares), int(x.PayloadSize)
	payload, err := x.Schema.Encode(task.Record{"shoal.example/a", int64(7)})
	must(t, err)
	q.Payload = payload
	q.Material, err = x.Schema.Encode(task.Record{"shoal.example/a", nil})
	must(t, err)
	key, err := voprf.ParsePrivateKey(p.VOPRF.Key)
	must(t, err)
	q.Output, err = key.Output(quorum.Input(id, q.Epoch, q.Material))
	must(t, err)
	for i := range q.Shares {
		q.Tags = append(q.Tags, bytes.Repeat([]byte{byte(i)}, 33))
	}
	v, err := quorum.New(x, id, q.Epoch, q.Material, q.Output)
	must(t, err)
	r := &recorder{from: source}
	q.Content, err = v.Content(quorum.XOf(q.Tags[0]), payload, r)
	must(t, err)
	crowd, tag := v.Crowd(), v.Tag()
	q.Random, q.Crowd, q.Tag = r.read, crowd[:], tag[:]
}

func (p *primitives) oblivious(t *testing.T, source io.Reader) {
	t.Helper()
	o := &p.OHTTP
	key, err := ohttp.GenerateKey(7, ohttp.X25519, source)
	must(t, err)
	o.Secret, err = key.Text()
	must(t, err)
	o.Keys, err = ohttp.MarshalKeyConfigs([]ohttp.KeyConfig{key.Config()})
	must(t, err)
	o.Request = innerRequest{
		Method: "POST", Scheme: "https", Authority: "reports.example", Path: "/tasks/8JHGkMYFZ1yvTW4IqQDOdA/reports",
		Header: [][2]string{{"content-type", "application/shoal-report;v=1"}, {"idempotency-key", `"AAAAAAAAAAAAAAAAAAAAAA"`}}, Content: bytes.Repeat([]byte{7}, 500),
	}
	m := bhttp.Request{Method: o.Request.Method, Scheme: o.Request.Scheme, Authority: o.Request.Authority, Path: o.Request.Path, Content: o.Request.Content}
	for _, f := range o.Request.Header {
		m.Header = append(m.Header, bhttp.Field{Name: f[0], Value: f[1]})
	}
	inner, err := m.Append(nil, bhttp.KnownLength)
	must(t, err)
	o.Size = 1024
	o.Inner, err = bhttp.Pad(inner, o.Size)
	must(t, err)
}

// hardened returns a task with a hardened quorum.
func hardened(t *testing.T) (*task.Task, task.ID) {
	t.Helper()
	identity := func(name string) task.IdentityKey {
		k, err := task.GenerateIdentityKey(mathrand.NewChaCha8(sha256.Sum256([]byte(name))))
		must(t, err)
		return k
	}
	party := func(role task.Role) task.Party {
		return task.Party{Role: role, URL: "https://" + role.String() + ".example", Identity: identity(role.String()).Public()}
	}
	start := time.Unix(86_400*20_000, 0)
	x := &task.Task{
		Owner: identity("owner").Public(), OwnedBy: "Example", Metric: "pages", Question: "Which pages?", Consent: "Pages.", Method: task.Crowd,
		Schema:    task.Schema{{Name: "page", Kind: task.String, Max: 40}, {Name: "seconds", Kind: task.Int, Low: 0, High: 1000}},
		Crowd:     task.CrowdRule{Kind: task.Attributes, Fields: []uint8{0}, SaltEpochs: 1},
		Threshold: task.Threshold{Kind: task.NoisyDrop, T: 20, D: 12, SigmaMilli: 2000}, Encoding: task.Encoding{Kind: task.Quorum, Shares: 5},
		MinBatch: 100, EpochSeconds: 86_400, MaxDelay: 3600, ClockSkew: 300, PerEpoch: 10, PerCrowd: 1, PayloadSize: 256,
		NotBefore: start.Unix(), Expires: start.AddDate(0, 0, 90).Unix(),
		Hops:       []task.Party{party(task.Shuffler), party(task.Analyzer)},
		Protection: task.Protection{CredentialEpochs: 7, Randomness: party(task.Randomness), Evaluations: 2},
	}
	must(t, x.Validate())
	id, err := x.ID()
	must(t, err)
	return x, id
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestPrimitives keeps the committed primitives equal to what Go makes.
func TestPrimitives(t *testing.T) {
	want := marshal(t, goldenPrimitives(t))
	golden.Equal(t, primitivesFile, want)
	if golden.Updating() {
		golden.Write(t, primitivesWebFile, node(t, want, "primitives"))
	}
}

// TestWebPrimitives has Go open and verify what @shoal/sdk/private made with randomness
// of its own.
func TestWebPrimitives(t *testing.T) {
	var p primitives
	var r primitiveResults
	read(t, primitivesFile, &p)
	read(t, primitivesWebFile, &r)
	r.check(t, &p)
}

// TestPrimitivesDifferential compares Go and @shoal/sdk/private as they are now.
func TestPrimitivesDifferential(t *testing.T) {
	p := goldenPrimitives(t)
	var r primitiveResults
	must(t, json.Unmarshal(node(t, marshal(t, p), "primitives"), &r))
	r.check(t, p)
}

func (r *primitiveResults) check(t *testing.T, p *primitives) {
	t.Helper()
	for _, x := range []struct {
		name      string
		got, want []byte
	}{
		{"credential secrets", r.ARC.Secrets, p.ARC.Secrets},
		{"credential request", r.ARC.Request, p.ARC.Request},
		{"credential", r.ARC.Credential, p.ARC.Credential},
		{"evaluation request", r.VOPRF.Request, p.VOPRF.Request},
		{"crowd tag", r.Quorum.Crowd, p.Quorum.Crowd},
		{"quorum tag", r.Quorum.Tag, p.Quorum.Tag},
		{"quorum content", r.Quorum.Content, p.Quorum.Content},
		{"binary HTTP", r.OHTTP.Inner, p.OHTTP.Inner},
	} {
		if !bytes.Equal(x.got, x.want) {
			t.Errorf("%s: in JavaScript %x, here %x", x.name, x.got, x.want)
		}
	}
	r.checkCredentials(t, p)
	r.checkEvaluations(t, p)
	r.checkValue(t, p)
	keys := []*ohttp.PrivateKey{parseGateway(t, p.OHTTP.Secret)}
	inner, _, err := ohttp.Decapsulate(keys, r.OHTTP.Own)
	must(t, err)
	if !bytes.Equal(inner, p.OHTTP.Inner) {
		t.Errorf("the encapsulated request is %x, want %x", inner, p.OHTTP.Inner)
	}
}

func parseGateway(t *testing.T, s string) *ohttp.PrivateKey {
	t.Helper()
	k, err := ohttp.ParsePrivateKey(s)
	must(t, err)
	return k
}

func (r *primitiveResults) checkCredentials(t *testing.T, p *primitives) {
	t.Helper()
	key, err := arc.ParsePrivateKey(p.ARC.Key)
	must(t, err)
	request, err := arc.ParseRequest(r.ARC.Own)
	must(t, err)
	if _, err := key.Issue(rand.Reader, request); err != nil || bytes.Equal(r.ARC.Own, p.ARC.Request) {
		t.Errorf("a request with randomness of its own: %v", err)
	}
	for i, want := range p.ARC.Presentations {
		got := r.ARC.Presentations[i]
		if !bytes.Equal(got.Presentation, want.Presentation) || bytes.Equal(got.Own, want.Presentation) {
			t.Errorf("presentation %d of %d: other bytes than here, or equal ones with other randomness", want.Nonce, want.Limit)
		}
		c, err := arc.NewContext(want.Context, want.Limit)
		must(t, err)
		own, err := arc.ParsePresentation(got.Own, want.Limit)
		must(t, err)
		tag, err := key.Verifier(p.ARC.Context).Verify(c, own, want.Binding)
		if err != nil || !bytes.Equal(tag[:], want.Tag) {
			t.Errorf("presentation %d of %d: tag %x, want %x: %v", want.Nonce, want.Limit, tag, want.Tag, err)
		}
	}
}

func (r *primitiveResults) checkEvaluations(t *testing.T, p *primitives) {
	t.Helper()
	key, err := voprf.ParsePrivateKey(p.VOPRF.Key)
	must(t, err)
	request, err := voprf.ParseRequest(r.VOPRF.Own)
	must(t, err)
	response, err := key.Evaluate(rand.Reader, request)
	must(t, err)
	digest := sha256.Sum256(r.VOPRF.Own)
	state := digest[:]
	for i, input := range p.VOPRF.Inputs {
		state = append(append(binary.BigEndian.AppendUint16(state, uint16(len(input))), input...), r.VOPRF.Blinds[i]...)
	}
	pending, err := voprf.ParsePending(state)
	must(t, err)
	outputs, err := pending.Finalize(key.Public(), request, response)
	must(t, err)
	for i, want := range p.VOPRF.Outputs {
		if !bytes.Equal(outputs[i], want) || !bytes.Equal(r.VOPRF.Outputs[i], want) {
			t.Errorf("output %d: in JavaScript %x and %x, here %x", i, r.VOPRF.Outputs[i], outputs[i], want)
		}
	}
}

// checkValue recovers a group from the contents that clients with different credentials
// made.
func (r *primitiveResults) checkValue(t *testing.T, p *primitives) {
	t.Helper()
	x, id := hardened(t)
	q := &p.Quorum
	recoverer, err := quorum.NewRecoverer(x, id, q.Epoch, func(payload []byte) ([]byte, error) {
		record, err := x.Decode(payload)
		if err != nil {
			return nil, err
		}
		return x.Schema.Encode(task.Record{record[0], nil})
	})
	must(t, err)
	var shares []secretshare.Share
	var parts []quorum.Part
	for i, content := range r.Quorum.Own {
		part, err := quorum.Split(x, content)
		must(t, err)
		parts = append(parts, part)
		shares = append(shares, secretshare.Join(quorum.XOf(q.Tags[i]), part.Y))
	}
	_, err = recoverer.Recover(quorum.CrowdTag(q.Crowd), quorum.Tag(q.Tag), shares, rand.Reader)
	must(t, err)
	for i, part := range parts {
		payload, err := recoverer.Open(part.Record)
		if err != nil || !bytes.Equal(payload, q.Payload) {
			t.Errorf("record %d: %x, want %x: %v", i, payload, q.Payload, err)
		}
	}
}
