package received

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/server"
	"github.com/shoal-project/shoal/metric"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/ohttp"
	"github.com/shoal-project/shoal/ohttp/bhttp"
)

var noon = time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)

// A plant is two organisations and what is planted in what the second one receives.
type plant struct {
	t         *testing.T
	shuffler  Party
	analyzer  Party
	addr      string // of the analyzer's listener
	question  Question
	keys      map[string]*keyring // by folder
	device    netip.Addr
	recorded  *http.Client // of the analyzer
	unclaimed string       // of a listener without recorder
}

func newPlant(t *testing.T) *plant {
	t.Helper()
	p := &plant{t: t, keys: map[string]*keyring{}, device: netip.MustParseAddr("127.0.0.1")}
	serve := func(l net.Listener) {
		s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			_, _ = w.Write(b) // an echo
		})}
		go func() { _ = s.Serve(l) }()
		t.Cleanup(func() { _ = s.Close() })
	}
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	found := func(name string, role task.Role) (Party, task.Party) {
		dir := filepath.Join(t.TempDir(), name)
		url := fmt.Sprintf("http://127.0.0.1:%d", 20000+int(role))
		_, identity, err := server.Init(dir, server.Organisation{Name: name, Roles: []task.Role{role}, URL: url, Listen: "127.0.0.1:0"}, noon, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		key, err := task.ParsePublic(identity)
		if err != nil {
			t.Fatal(err)
		}
		gateway, err := ohttp.GenerateKey(1, ohttp.X25519, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		line, err := gateway.Text()
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "keys", "gateway.keys"), []byte("# one\n"+line+" 1 2\n"), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if p.keys[name], err = readKeys(t.Context(), dir, clock.NewVirtual(noon)); err != nil {
			t.Fatal(err)
		}
		return Party{Name: name, Roles: []task.Role{role}, Dir: dir, Recorder: &Recorder{}}, task.Party{Role: role, URL: url, Identity: key}
	}
	var named [2]task.Party
	p.shuffler, named[0] = found("shuffler", task.Shuffler)
	p.analyzer, named[1] = found("analyzer", task.Analyzer)
	l, plain := listen(), listen()
	p.addr, p.unclaimed = l.Addr().String(), plain.Addr().String()
	serve(p.analyzer.Recorder.Listener(l))
	serve(plain)
	p.recorded = &http.Client{Transport: &http.Transport{DialContext: p.analyzer.Recorder.Dial((&net.Dialer{}).DialContext)}}
	p.question = Question{Clock: clock.NewVirtual(noon), Tasks: signed(t, named[:])}
	return p
}

func signed(t *testing.T, parties []task.Party) []task.Opened {
	t.Helper()
	text := fmt.Sprintf(`
version: 1
owner: Example
parties:
  shufflers: [{url: %q, identity: %q}]
  analyzer: {url: %q, identity: %q}
metrics:
  fruit:
    question: Which fruit?
    consent: Your device tells a fruit.
    record: {name: {type: string, max: 64}}
    crowd: [name]
    privacy: {threshold: 20, drop: 12, sigma: 2}
    expires: 2027-05-01
`, parties[0].URL, task.FormatPublic(parties[0].Identity), parties[1].URL, task.FormatPublic(parties[1].Identity))
	f, err := metric.Read("metrics.yaml", []byte(text), noon)
	if err != nil {
		t.Fatal(err)
	}
	owner, err := task.GenerateIdentityKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b, err := f.Build(nil, owner, noon)
	if err != nil {
		t.Fatal(err)
	}
	all, err := b.Open([]ed25519.PublicKey{owner.Public()})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// post sends a body to the analyzer, in one piece or in several.
func (p *plant) post(path string, header http.Header, parts ...[]byte) {
	p.t.Helper()
	p.send(http.MethodPost, path, header, parts...)
}

func (p *plant) send(method, path string, header http.Header, parts ...[]byte) {
	p.t.Helper()
	var body io.Reader = bytes.NewReader(slices.Concat(parts...))
	if len(parts) > 1 {
		in, out := io.Pipe()
		go func() {
			for _, part := range parts {
				_, _ = out.Write(part)
			}
			_ = out.Close()
		}()
		body = in
	}
	r, err := http.NewRequestWithContext(p.t.Context(), method, "http://"+p.addr+path, body)
	if err != nil {
		p.t.Fatal(err)
	}
	r.Host = "party.example" // not the address of the device
	for k, v := range header {
		r.Header[k] = v
	}
	a, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		p.t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, a.Body)
	_ = a.Body.Close()
}

// search returns what is found in what the analyzer received.
func (p *plant) search() Finding {
	p.t.Helper()
	all, err := Search(p.t.Context(), []Party{p.shuffler, p.analyzer}, p.question)
	if err != nil {
		p.t.Fatal(err)
	}
	return all[1]
}

// report seals a report to the shuffler and the analyzer.
func (p *plant) report(value string) []byte {
	p.t.Helper()
	t := p.question.Tasks[0]
	keys := []task.Key{p.keys["shuffler"].layers[task.Shuffler][0].Public(), p.keys["analyzer"].layers[task.Analyzer][0].Public()}
	s, err := esa.NewSealer(t.Task, t.ID, keys)
	if err != nil {
		p.t.Fatal(err)
	}
	epoch := t.Task.EpochAt(noon)
	sealed, err := s.Seal(epoch, esa.CrowdTagOf(t.Task, t.ID, epoch, []byte(value)), []byte(value))
	if err != nil {
		p.t.Fatal(err)
	}
	return sealed
}

const planted = "a plum that only one person has"

// TestPlanted: each thing that a party must not have is found where it is planted, and
// nothing where nothing is.
func TestPlanted(t *testing.T) {
	text := []byte(planted)
	secret := func(p *plant) []byte { return p.keys["shuffler"].secrets[0] }
	none := func(f Finding) int { return f.Devices + f.Addresses + f.Values + f.Guesses + f.Secrets + f.Opened }
	for name, c := range map[string]struct {
		plant func(p *plant)
		found func(Finding) int
	}{
		"an address in a header": {
			func(p *plant) { p.post("/", http.Header{"Forwarded": {"for=127.0.0.1;proto=http"}}) },
			func(f Finding) int { return f.Addresses },
		},
		"the address of a connection": {
			func(p *plant) { p.post("/", nil) },
			func(f Finding) int { return f.Devices },
		},
		"a value": {
			func(p *plant) { p.post("/", nil, slices.Concat([]byte("xx"), text, []byte("yy"))) },
			func(f Finding) int { return f.Values },
		},
		"a value in the path": {
			func(p *plant) { p.post("/fruit/"+hex.EncodeToString(text), nil) },
			func(f Finding) int { return f.Values },
		},
		"a value between two chunks": {
			func(p *plant) { p.post("/", nil, text[:9], text[9:]) },
			func(f Finding) int { return f.Values },
		},
		"a value in an answer": {
			func(p *plant) {
				a, err := p.recorded.Post("http://"+p.unclaimed+"/", "text/plain", bytes.NewReader(text))
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, a.Body)
				_ = a.Body.Close()
			},
			func(f Finding) int { return f.Values },
		},
		"a value in a request for the gateway": {
			func(p *plant) {
				b, err := (&bhttp.Request{Method: "POST", Scheme: "http", Authority: "x", Path: "/", Content: text}).Append(nil, bhttp.KnownLength)
				if err != nil {
					t.Fatal(err)
				}
				sealed, _, err := p.keys["analyzer"].gateway[0].Config().Encapsulate(b)
				if err != nil {
					t.Fatal(err)
				}
				p.post("/gateway", nil, sealed)
			},
			func(f Finding) int { return f.Values * f.Requests },
		},
		"a secret": {
			func(p *plant) { p.post("/", nil, secret(p)) },
			func(f Finding) int { return f.Secrets },
		},
		"a secret in hexadecimal": {
			func(p *plant) { p.post("/"+hex.EncodeToString(secret(p)), nil) },
			func(f Finding) int { return f.Secrets },
		},
		"a secret in base64": {
			func(p *plant) {
				p.post("/", http.Header{"Authorization": {"Bearer " + base64.RawURLEncoding.EncodeToString(secret(p))}})
			},
			func(f Finding) int { return f.Secrets },
		},
		"its own secret": {
			func(p *plant) { p.post("/", nil, p.keys["analyzer"].secrets[0]) },
			func(f Finding) int { return 1 - none(f) + f.Devices },
		},
		"a value sealed to another": {
			func(p *plant) { p.post("/tasks/"+p.question.Tasks[0].ID.String()+"/reports", nil, p.report(planted)) },
			func(f Finding) int { return 1 - none(f) + f.Devices },
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlant(t)
			p.question.Devices = []netip.Addr{p.device}
			p.question.Values = []Value{{Forms: [][]byte{[]byte("nothing like it")}}, {Forms: [][]byte{text, []byte(hex.EncodeToString(text))}}}
			if f := p.search(); none(f) != 0 {
				t.Errorf("nothing is planted, and found: %+v", f)
			}
			c.plant(p)
			if f := p.search(); c.found(f) != 1 {
				t.Errorf("not found: %+v", f)
			}
		})
	}
}

// TestOpened: a party's own keys open what is sealed to it: the shuffler has the crowd's
// tag, by which a guess is confirmed, and not the value; and what it opens is found at
// another party that has the same bytes.
func TestOpened(t *testing.T) {
	p := newPlant(t)
	asked := p.question.Tasks[0]
	epoch := asked.Task.EpochAt(noon)
	guess := func(s string) Value {
		return Value{Forms: [][]byte{[]byte(s)}, Tag: esa.CrowdTagOf(asked.Task, asked.ID, epoch, []byte(s))}
	}
	p.question.Values = []Value{guess("another fruit"), guess(planted)}
	server := Party{Name: "shuffler", Dir: p.shuffler.Dir, Recorder: p.analyzer.Recorder} // whose listener it is
	other := Party{Name: "analyzer", Dir: p.analyzer.Dir, Recorder: &Recorder{}}
	sealed := p.report(planted)
	p.post("/tasks/"+asked.ID.String()+"/reports", nil, sealed)
	all, err := Search(t.Context(), []Party{server, other}, p.question)
	if err != nil {
		t.Fatal(err)
	}
	if f := all[0]; f.Reports != 1 || f.Guesses != 1 || f.Values != 0 || f.Opened != 0 {
		t.Errorf("the shuffler: %+v", f)
	}
	if f := all[1]; f.Reports+f.Guesses+f.Bytes != 0 {
		t.Errorf("the analyzer: %+v", f)
	}
}

// TestPlaintextOfAnother: what the analyzer opens is found where another party has it.
func TestPlaintextOfAnother(t *testing.T) {
	p := newPlant(t)
	asked := p.question.Tasks[0]
	sealed := p.report(planted)
	h, err := esa.ParseHeader(sealed)
	if err != nil {
		t.Fatal(err)
	}
	outer, err := esa.NewOpener(asked.Task, asked.ID, 0, p.keys["shuffler"].layers[task.Shuffler]...)
	if err != nil {
		t.Fatal(err)
	}
	l, err := outer.Open(sealed, h.Epoch)
	if err != nil {
		t.Fatal(err)
	}
	p.send(http.MethodPut, "/tasks/"+asked.ID.String()+"/batches/x", nil, p.batch(h.Epoch, slices.Concat(l.Crowd[:], l.Next)))
	shuffler := Party{Name: "shuffler", Dir: p.shuffler.Dir, Recorder: &Recorder{}}
	look := func() Finding {
		all, err := Search(t.Context(), []Party{shuffler, p.analyzer}, p.question)
		if err != nil {
			t.Fatal(err)
		}
		if all[1].Records != 1 || all[1].Opened != 0 {
			t.Errorf("the analyzer: %+v", all[1])
		}
		return all[0]
	}
	if f := look(); f.Opened != 0 {
		t.Errorf("nothing is planted, and found: %+v", f)
	}
	c, _ := shuffler.Recorder.conn(&net.TCPConn{}, true).(*conn)
	c.stream.bytes = []byte("PUT /x HTTP/1.1\r\n\r\n" + planted)
	if f := look(); f.Opened != 1 {
		t.Errorf("not found: %+v", f)
	}
}

// batch returns what the shuffler hands over with one row.
func (p *plant) batch(epoch task.Epoch, row []byte) []byte {
	p.t.Helper()
	asked := p.question.Tasks[0]
	identity, err := server.LoadIdentity(filepath.Join(p.shuffler.Dir, "keys", "identity.key"))
	if err != nil {
		p.t.Fatal(err)
	}
	rows := max(1, int(asked.Task.MinBatch))
	header, err := esa.NewBatchHeader(asked.Task, asked.ID, 0, epoch, uint64(rows), 1)
	if err != nil {
		p.t.Fatal(err)
	}
	var b bytes.Buffer
	w, err := esa.NewBatchWriter(&b, header, identity)
	if err == nil {
		err = w.Write(row)
	}
	if err == nil {
		_, err = w.Close()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return b.Bytes()
}

// TestFindApart: a string that is part of a longer one is not found, unless it is also
// somewhere by itself.
func TestFindApart(t *testing.T) {
	f := newFinder([][]byte{[]byte("apple pie"), []byte("apple pie with cream"), []byte("big apple pie"), []byte("short")})
	for text, want := range map[string][]int{
		"":                                 nil,
		"apple pi":                         nil,
		"an apple pie":                     {0},
		"apple pie with cream":             {1},
		"apple pie with":                   {0},
		"a big apple pie":                  {2},
		"a big apple pie, and apple pie":   {2, 0},
		"a short one":                      nil,
		"apple pieapple pie with creamers": {0, 1},
	} {
		var got []int
		f.findApart([]byte(text), func(i int) { got = append(got, i) })
		if !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// TestMissingKeys: a party without its folder is an error, not a party without findings.
func TestMissingKeys(t *testing.T) {
	p := Party{Name: "nobody", Dir: filepath.Join(t.TempDir(), "none"), Recorder: &Recorder{}}
	if _, err := Search(context.Background(), []Party{p}, Question{Clock: clock.NewVirtual(noon)}); err == nil {
		t.Error("no error")
	}
}
