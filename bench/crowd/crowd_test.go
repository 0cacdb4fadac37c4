package crowd_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/shoal-project/shoal/bench/vocab"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/internal/esa/encoder"
	"github.com/shoal-project/shoal/internal/server"
	"github.com/shoal-project/shoal/metric/task"
)

// epochStart is the virtual time at which the benchmarks' batch begins.
var epochStart = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)

// A route is a shuffler's and an analyzer's server for one task, and a relay's, if it has one.
type route struct {
	clock    *clock.Virtual
	shuffler *server.Server
	analyzer *server.Server
	task     *task.Task
	id       task.ID
	client   *http.Client
}

// A routing is what routes differ by.
type routing struct {
	certificate string // its kind; with one, over TLS
	relay       bool   // clients send through it
	credentials bool   // reports show some
}

// newRoute starts both servers; with a kind of certificate, over TLS.
func newRoute(b *testing.B, kind string) *route {
	b.Helper()
	return newRouteOf(b, routing{certificate: kind})
}

func newRouteOf(b *testing.B, o routing) *route {
	b.Helper()
	r := &route{clock: clock.NewVirtual(epochStart), client: &http.Client{}}
	owner := must(task.GenerateIdentityKey(rand.Reader))(b)
	transport := &http.Transport{MaxIdleConnsPerHost: 256}
	cert := ""
	if o.certificate != "" {
		cert = certificate(b, o.certificate)
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(must(os.ReadFile(cert))(b))
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}
	}
	r.client.Transport = transport
	b.Cleanup(transport.CloseIdleConnections)

	roles := []task.Role{task.Shuffler, task.Analyzer}
	if o.relay {
		roles = append(roles, task.Relay)
	}
	listeners := make([]net.Listener, len(roles))
	configs := make([]server.Config, len(roles))
	parties := make([]task.Party, len(roles))
	for i, role := range roles {
		listeners[i] = must(net.Listen("tcp", "127.0.0.1:0"))(b)
		configs[i], parties[i] = found(b, role, listeners[i].Addr().String(), cert, owner.Public())
		if role == task.Relay {
			for _, p := range parties[:i] {
				configs[i].Relay.Parties = append(configs[i].Relay.Parties, server.RelayParty{URL: p.URL, Identity: task.FormatPublic(p.Identity)})
			}
		}
	}
	r.task = wordTask(owner.Public(), parties[:2])
	if o.relay {
		r.task.Protection.Relay = parties[2]
	}
	if o.credentials {
		r.task.Protection.CredentialEpochs = 4
	}
	r.id = must(r.task.ID())(b)
	signed := must(task.Sign(r.task, owner))(b)
	bundle := must((&task.Bundle{Tasks: []*task.Signed{signed}}).Encode())(b)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	servers := make([]*server.Server, len(roles))
	for i, c := range configs {
		for _, name := range c.Tasks.Bundles {
			if err := os.WriteFile(name, bundle, 0o600); err != nil {
				b.Fatal(err)
			}
		}
		servers[i] = must(server.New(ctx, c, server.Options{
			Clock: r.clock, Manual: true, Client: r.client,
			Listen: func(string, string) (net.Listener, error) { return listeners[i], nil },
		}))(b)
		running.Go(func() {
			if err := servers[i].Run(ctx); err != nil {
				b.Error(err)
			}
		})
	}
	b.Cleanup(func() { cancel(); running.Wait() })
	r.shuffler, r.analyzer = servers[0], servers[1]
	return r
}

// found writes the configuration of a party.
func found(b *testing.B, role task.Role, listen, cert string, owner ed25519.PublicKey) (server.Config, task.Party) {
	b.Helper()
	url := "http://" + listen
	dir := filepath.Join(b.TempDir(), role.String())
	file, identity, err := server.Init(dir, server.Organisation{
		Name: role.String(), Roles: []task.Role{role}, URL: url, Listen: listen,
		Owners: []string{task.FormatPublic(owner)},
	}, epochStart, rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	c := must(server.Load(file))(b)
	if role != task.Relay {
		c.Tasks.Bundles = []string{filepath.Join(dir, "tasks.bundle")}
		c.Credentials.Work = 1
	}
	c.Ops.Listen, c.Console.Listen = server.Off, server.Off
	c.Batches.Memory = 128 << 20 // each; all servers are in this process
	if cert != "" {
		c.TLS = server.TLSConfig{CertFile: cert, KeyFile: cert}
		url = "https://" + listen
		c.URL = url
	}
	return c, task.Party{Role: role, URL: url, Identity: must(task.ParsePublic(identity))(b)}
}

// wordTask asks for words of up to 61 bytes: with the encoding's three bytes the
// payload is in the class of 64 bytes, as the Prochlo paper's reports are.
func wordTask(owner ed25519.PublicKey, hops []task.Party) *task.Task {
	return &task.Task{
		Owner: owner, OwnedBy: "bench", Metric: "words", Question: "Which words?", Consent: "A benchmark.", Method: task.Crowd,
		Schema:    task.Schema{{Name: "word", Kind: task.String, Max: 59}},
		Crowd:     task.CrowdRule{Kind: task.Payload, SaltEpochs: 1},
		Threshold: task.Threshold{Kind: task.NoisyDrop, T: 20, D: 12, SigmaMilli: 2000},
		MinBatch:  1000, EpochSeconds: 86400, MaxDelay: 3600, ClockSkew: 60, PerEpoch: 1, PerCrowd: 1,
		PayloadSize: 64, Hops: hops, RetentionDays: 30, NotBefore: epochStart.Unix(), Expires: epochStart.Unix() + 30*86400,
	}
}

// keys asks the first hop for the keys of all hops.
func (r *route) keys(b *testing.B) []task.Key {
	b.Helper()
	resp := must(r.client.Get(r.task.First().URL + "/tasks/" + r.id.String() + "/keys"))(b)
	body := must(io.ReadAll(resp.Body))(b)
	resp.Body.Close()
	list := must(task.ParseKeyConfigList(body))(b)
	return must(esa.ChooseKeys(r.task, must(list.Open(r.task, r.clock.Now()))(b), r.clock.Now()))(b)
}

// seal makes n reports of words of the Vocab corpus, on all cores.
func (r *route) seal(b *testing.B, n int) [][]byte {
	b.Helper()
	keys := r.keys(b)
	e := must(encoder.New(r.task, r.id))(b)
	corpus := vocab.NewCorpus([32]byte{1})
	words := make([]string, n)
	for i := range words {
		words[i] = vocab.Word(corpus.Draw())
	}
	reports := make([][]byte, n)
	var group sync.WaitGroup
	var next atomic.Int64
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				fragments, err := e.Encode(map[string]any{"word": words[i]}, rand.Reader)
				if err == nil {
					reports[i], err = e.Seal(fragments[0], r.task.EpochAt(r.clock.Now()), keys)
				}
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	return reports
}

// post sends reports, one a request, over connections that are kept, until n
// have been acknowledged.
func (r *route) post(b *testing.B, reports [][]byte, n, connections int) {
	b.Helper()
	url := r.task.First().URL + "/tasks/" + r.id.String() + "/reports"
	var group sync.WaitGroup
	var next atomic.Int64
	for range connections {
		group.Go(func() {
			body := new(bytes.Reader)
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				body.Reset(reports[i%len(reports)])
				resp, err := r.client.Post(url, "application/shoal-report;v=1", body)
				if err != nil {
					b.Error(err)
					return
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode != http.StatusCreated {
					b.Errorf("intake answered %s", resp.Status)
					return
				}
			}
		})
	}
	group.Wait()
}

// BenchmarkIntake measures durable intake over HTTP: one report a request, client and
// server on the same cores, over connections that are kept, and over a connection for
// each report, which is how the SDK sends them.
func BenchmarkIntake(b *testing.B) {
	for _, c := range []struct{ name, certificate string }{
		{"plain", ""},
		{"tls", "ecdsa"},
		{"fresh/plain", ""},
		{"fresh/tls-ecdsa", "ecdsa"},
		{"fresh/tls-ed25519", "ed25519"},
		{"fresh/tls-rsa2048", "rsa"},
	} {
		b.Run(c.name, func(b *testing.B) {
			r := newRoute(b, c.certificate)
			reports := r.seal(b, 2000)
			connections := 128
			if strings.HasPrefix(c.name, "fresh") {
				connections = 16 // at a time
				r.client.Transport.(*http.Transport).DisableKeepAlives = true
			}
			r.post(b, reports, 1000, connections)
			before := processorTime(b)
			b.ResetTimer()
			r.post(b, reports, b.N, connections)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reports/s")
			b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/report")
		})
	}
}

// BenchmarkSign measures what a server's certificate costs it in each handshake.
func BenchmarkSign(b *testing.B) {
	digest := make([]byte, 32)
	for _, kind := range []string{"ecdsa", "ed25519", "rsa"} {
		b.Run(kind, func(b *testing.B) {
			key, hash := signer(b, kind), crypto.SHA256
			if kind == "ed25519" {
				hash = 0
			}
			for b.Loop() {
				if _, err := key.Sign(rand.Reader, digest, hash); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// processorTime is what the process has used, in itself and in the kernel.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkBatch measures the way of a closed batch of sealed reports to the
// released tables: open the outer layers, threshold, permute, hand over by HTTP,
// open the inner layers, write and publish the tables, on all cores.
func BenchmarkBatch(b *testing.B) {
	n := 20_000
	if v, err := strconv.Atoi(os.Getenv("SHOAL_BENCH_REPORTS")); err == nil {
		n = v
	}
	for b.Loop() {
		b.StopTimer()
		r := newRoute(b, "")
		const part = 100_000 // reports in memory at once
		for left := n; left > 0 && !b.Failed(); left -= part {
			k := min(left, part)
			r.post(b, r.seal(b, k), k, 128)
		}
		runtime.GC()
		resetPeak()
		r.clock.Set(r.task.Closes(r.task.EpochAt(epochStart)))
		b.StartTimer()
		start := time.Now()
		if err := r.shuffler.Tick(b.Context()); err != nil {
			b.Fatal(err)
		}
		shuffled := time.Now()
		if err := r.analyzer.Tick(b.Context()); err != nil {
			b.Fatal(err)
		}
		done := time.Now()
		b.StopTimer()
		entries := must(r.analyzer.Tables().Entries(b.Context()))(b)
		if len(entries) != 1 || entries[0].State != analyzer.Released || entries[0].Manifest.Analyzer.Records == 0 {
			b.Fatalf("not released whole: %+v", entries)
		}
		b.ReportMetric(shuffled.Sub(start).Seconds(), "s-shuffler")
		b.ReportMetric(done.Sub(shuffled).Seconds(), "s-analyzer")
		b.ReportMetric(done.Sub(start).Seconds(), "s-total")
		b.ReportMetric(float64(n)/done.Sub(start).Seconds(), "reports/s")
		b.ReportMetric(peak(), "MiB-peak")
		b.StartTimer()
	}
}

// resetPeak and peak use Linux' account of the process' largest resident size.
func resetPeak() { _ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) }

func peak() float64 {
	status, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kib float64
	_, _ = fmt.Sscan(rest, &kib)
	return kib / 1024
}

// certificate writes a self-signed certificate and its key to one file.
func certificate(b *testing.B, kind string) string {
	b.Helper()
	key := signer(b, kind)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))(b)
	private := must(x509.MarshalPKCS8PrivateKey(key))(b)
	var out bytes.Buffer
	pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	pem.Encode(&out, &pem.Block{Type: "PRIVATE KEY", Bytes: private})
	name := filepath.Join(b.TempDir(), "cert.pem")
	if err := os.WriteFile(name, out.Bytes(), 0o600); err != nil {
		b.Fatal(err)
	}
	return name
}

// signer makes the key of a certificate.
func signer(b *testing.B, kind string) crypto.Signer {
	b.Helper()
	switch kind {
	case "ed25519":
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return must(key, err)(b)
	case "rsa":
		return must(rsa.GenerateKey(rand.Reader, 2048))(b)
	default:
		return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(b)
	}
}

// must returns a function that returns v, or ends the benchmark if err is not
// nil.
func must[T any](v T, err error) func(*testing.B) T {
	return func(b *testing.B) T {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
		return v
	}
}
