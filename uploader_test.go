package shoal

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/dap/client"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/outbox"
	"github.com/shoal-project/shoal/internal/problem"
	"github.com/shoal-project/shoal/metric/kind"
	"github.com/shoal-project/shoal/metric/task"
)

// WithFS returns o with another file system than the machine's.
func WithFS(o Options, fs durable.FS) Options {
	o.fs = fs
	return o
}

// trusting returns the SDK's transport with one more root.
func trusting(s *httptest.Server) *http.Transport {
	tr := client.Transport()
	tr.TLSClientConfig.RootCAs = x509.NewCertPool()
	tr.TLSClientConfig.RootCAs.AddCert(s.Certificate())
	return tr
}

// entryFor returns an entry of a task whose first party has a URL.
func entryFor(t *testing.T, url string) outbox.Entry {
	t.Helper()
	var keys [3]task.IdentityKey
	for i := range keys {
		var err error
		if keys[i], err = task.GenerateIdentityKey(rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	tk := &task.Task{
		Owner: keys[0].Public(), OwnedBy: "Example", Metric: "m", Question: "q", Method: task.Crowd,
		Schema: task.Schema{{Name: "program", Kind: task.String, Max: 32}}, Crowd: task.CrowdRule{Kind: task.Attributes, Fields: []uint8{0}, SaltEpochs: 1},
		Threshold: task.Threshold{Kind: task.Naive, T: 10}, MinBatch: 100,
		EpochSeconds: 86400, MaxDelay: 43200, ClockSkew: 3600, PerEpoch: 100, PerCrowd: 1, PayloadSize: 64,
		Hops: []task.Party{
			{Role: task.Shuffler, URL: url, Identity: keys[1].Public()},
			{Role: task.Analyzer, URL: "https://analyzer.example", Identity: keys[2].Public()},
		},
		NotBefore: 0, Expires: 1 << 33,
	}
	signed, err := task.Sign(tk, keys[0])
	if err != nil {
		t.Fatal(err)
	}
	b, err := signed.Encode()
	if err != nil {
		t.Fatal(err)
	}
	id, err := tk.ID()
	if err != nil {
		t.Fatal(err)
	}
	return outbox.Entry{Method: task.Crowd, Destination: url, Task: id, TaskBytes: b}
}

// Threats: an old TLS, and sessions or connections by which two reports are
// known to be of one client.
func TestTransport(t *testing.T) {
	var remotes []string
	var resumed, hello int
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		remotes = append(remotes, r.RemoteAddr)
		if r.TLS.DidResume {
			resumed++
		}
		w.WriteHeader(http.StatusCreated)
	}))
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS13, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		hello++
		return nil, nil
	}}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	c := newUploader(trusting(s), clock.System(), nil)
	for range 3 {
		if err := c.Send(t.Context(), entryFor(t, s.URL), []byte("report")); err != nil {
			t.Fatal(err)
		}
	}
	if hello != 3 || resumed != 0 || remotes[0] == remotes[1] || remotes[1] == remotes[2] {
		t.Errorf("three reports: %d handshakes, %d resumed, from %v", hello, resumed, remotes)
	}

	old := httptest.NewUnstartedServer(s.Config.Handler)
	old.Config.ErrorLog = s.Config.ErrorLog
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS12}
	old.StartTLS()
	defer old.Close()
	c = newUploader(trusting(old), clock.System(), nil)
	if err := c.Send(t.Context(), entryFor(t, old.URL), []byte("report")); err == nil {
		t.Error("a report was sent by TLS 1.2")
	}
	c = newUploader(nil, clock.System(), nil)
	if err := c.Send(t.Context(), entryFor(t, s.URL), []byte("report")); err == nil {
		t.Error("a report was sent to a server whose certificate nobody has signed")
	}
}

// never is a transport that must not be used.
type never struct{ t *testing.T }

func (n never) RoundTrip(r *http.Request) (*http.Response, error) {
	n.t.Errorf("a request was made to %s", r.URL)
	return nil, errors.New("no")
}

func TestUploaderKnowsOneWayOnly(t *testing.T) {
	c := newUploader(never{t}, clock.System(), nil)
	for _, to := range []string{"http://192.0.2.1", "http://shuffler.example", "ftp://127.0.0.1", "https://a:b@x.example", ""} {
		if err := c.Send(t.Context(), outbox.Entry{Method: task.Crowd, Destination: to}, []byte("report")); err == nil {
			t.Errorf("a report was sent to %q", to)
		}
	}
	for _, m := range []task.Method{0, 3} {
		if err := c.Send(t.Context(), outbox.Entry{Method: m, Destination: "https://shuffler.example"}, []byte("report")); err == nil {
			t.Errorf("a report of method %d was sent", m)
		}
	}
	for name, b := range map[string][]byte{"no task": nil, "rubbish": []byte("rubbish")} {
		for _, m := range []task.Method{0, task.Crowd, task.Aggregate, 3} {
			if _, err := c.Seal(t.Context(), outbox.Entry{Method: m, TaskBytes: b}); err == nil {
				t.Errorf("%s, method %d: an entry was sealed", name, m)
			}
		}
	}
}

// An answer that does not end costs no more memory than the limit.
func TestAnswersAreBounded(t *testing.T) {
	endless := transportFunc(func(r *http.Request) (*http.Response, error) {
		h := http.Header{"Content-Type": {keysType}}
		return &http.Response{StatusCode: http.StatusOK, Header: h, Body: io.NopCloser(zeros{}), Request: r}, nil
	})
	c := newCrowdRoute(endless, nil, clock.System(), nil)
	tk := &task.Task{Hops: []task.Party{{URL: "https://x.example"}}}
	if _, err := c.fetchKeys(context.Background(), tk, task.ID{}, c.clock.Now()); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("endless keys: %v", err)
	}
	refusal := &http.Response{StatusCode: 400, Header: http.Header{"Content-Type": {problem.MediaType}}, Body: io.NopCloser(zeros{})}
	if got, ours := cause(refusal, c.clock.Now()); ours {
		t.Errorf("an endless problem was read: %s", got)
	}
}

type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// Whatever is in an entry of the outbox, it is read as what it writes, or
// refused.
func FuzzAccumulated(f *testing.F) {
	a := task.Aggregation{Kind: kind.Multihot{Labels: []string{"a", "b", "c"}, Max: 2}, Variant: "dap-18"}
	a, err := task.WithChunk(a)
	if err != nil {
		f.Fatal(err)
	}
	q, err := a.Measure()
	if err != nil {
		f.Fatal(err)
	}
	m := &metric{task: &task.Task{Aggregation: a}, question: q}
	g, err := m.begin(bytes.NewReader(bytes.Repeat([]byte{7}, 16)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(m.report(g).Record)
	if err := g.tally.Observe("b", nil); err != nil {
		f.Fatal(err)
	}
	f.Add(m.report(g).Record)
	f.Add([]byte{accumulatedVersion})
	f.Fuzz(func(t *testing.T, record []byte) {
		g, err := parseAccumulated(q, record)
		if err != nil {
			return
		}
		if again := m.report(g).Record; !bytes.Equal(again, record) {
			t.Fatalf("%x is read, and written as %x", record, again)
		}
	})
}
