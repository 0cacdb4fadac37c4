package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/taskconfig"
	"github.com/shoal-project/shoal/metric/task"
)

// An authority issues certificates in a test. They are valid at the times of the
// virtual and of the real clock.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true})
	must(t, os.WriteFile(a.file(), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}), 0o644))
	return a
}

// file holds the authority's certificate.
func (a *authority) file() string { return filepath.Join(a.dir, "ca.pem") }

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

func (a *authority) sign(template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(a.t, err)
	if template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62)); err != nil {
		a.t.Fatal(err)
	}
	template.NotBefore = noon.AddDate(-10, 0, 0)
	if template.NotAfter.IsZero() {
		template.NotAfter = noon.AddDate(50, 0, 0)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	must(a.t, err)
	cert, err := x509.ParseCertificate(der)
	must(a.t, err)
	return cert, key
}

// issue writes a certificate for 127.0.0.1 and its key, and returns their files.
func (a *authority) issue(name string, use ...x509.ExtKeyUsage) (string, string) {
	a.t.Helper()
	return a.issueUntil(name, time.Time{}, use...)
}

func (a *authority) issueUntil(name string, until time.Time, use ...x509.ExtKeyUsage) (string, string) {
	a.t.Helper()
	cert, key := a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: use, NotAfter: until,
	})
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(a.t, err)
	certFile, keyFile := filepath.Join(a.dir, name+".pem"), filepath.Join(a.dir, name+".key")
	must(a.t, os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), 0o644))
	must(a.t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	return certFile, keyFile
}

// selfSigned adds to the authority's file a certificate for clients that has signed
// itself, as docs/guide/two-organisations.md has it, and returns its files.
func (a *authority) selfSigned() (string, string) {
	a.t.Helper()
	self := &authority{t: a.t, dir: a.t.TempDir()}
	cert, key := self.issue("self", x509.ExtKeyUsageClientAuth)
	known, err := os.ReadFile(a.file())
	must(a.t, err)
	more, err := os.ReadFile(cert)
	must(a.t, err)
	must(a.t, os.WriteFile(a.file(), append(known, more...), 0o644))
	return cert, key
}

// A mutualWorld is an aggregate world over TLS. Both organisations ask for client
// certificates of the authority peers.
type mutualWorld struct {
	*world
	web, peers, foreign *authority
}

func newMutualWorld(t *testing.T) *mutualWorld {
	t.Helper()
	w := &mutualWorld{
		world: newAggregateWorldBy(t, "https"),
		web:   newAuthority(t, "web"), peers: newAuthority(t, "peers"), foreign: newAuthority(t, "foreign"),
	}
	for i, o := range []*org{w.a, w.b} {
		cert, key := w.web.issue([]string{"a", "b"}[i], x509.ExtKeyUsageServerAuth)
		o.adjust = func(c *Config) {
			c.Listen = o.address
			c.TLS = TLSConfig{CertFile: cert, KeyFile: key, ClientCAFile: w.peers.file()}
		}
	}
	w.showing(w.peers.issue("client", x509.ExtKeyUsageClientAuth))
	return w
}

// showing lets the leader and the collector have a client certificate.
func (w *mutualWorld) showing(cert, key string) {
	before := w.a.adjust
	w.a.adjust = func(c *Config) {
		before(c)
		c.TLS.ClientCertFile, c.TLS.ClientKeyFile = cert, key
	}
}

// begin starts both, with the roots of the test in the clients that they have made.
func (w *mutualWorld) begin() {
	w.t.Helper()
	for _, o := range []*org{w.b, w.a} {
		o.start()
		o.server.o.Client.Transport.(*http.Transport).TLSClientConfig.RootCAs = w.web.pool()
	}
}

// transport is that of a client, with a certificate of an authority unless by is
// nil. It is shown whatever the server asks for.
func (w *mutualWorld) transport(by *authority) *http.Transport {
	w.t.Helper()
	c := &tls.Config{RootCAs: w.web.pool(), MinVersion: tls.VersionTLS13}
	if by != nil {
		pair, err := tls.LoadX509KeyPair(by.issue("probe", x509.ExtKeyUsageClientAuth))
		must(w.t, err)
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	tr := &http.Transport{TLSClientConfig: c, ForceAttemptHTTP2: true}
	w.t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// tokenOf is the token by which a peer is known to an organisation.
func tokenOf(t *testing.T, of *org, peer, role string) string {
	t.Helper()
	pairings, err := OpenPairings(of.config())
	must(t, err)
	p, ok, err := pairings.Find(peer, role)
	if err != nil || !ok {
		t.Fatalf("no pairing with %s (%v)", peer, err)
	}
	return p.Token.Reveal()
}

// TestMutualTLSWay: where both organisations ask for client certificates, reports of
// clients without one are still counted. A leader whose certificate is of another
// authority is refused with a reason; with the right one it goes on where it was.
func TestMutualTLSWay(t *testing.T) {
	w := newMutualWorld(t)
	w.pair()
	w.showing(w.foreign.issue("client", x509.ExtKeyUsageClientAuth))
	w.begin()
	none := w.transport(nil)
	w.answerBy(none, append(append(repeat("red", 15), repeat("green", 9)...), append(repeat("", 5), "blue")...)...)
	var refused []error
	for range 30 {
		refused = append(refused, w.settle(time.Minute))
	}
	if err := errors.Join(refused...); err == nil || !strings.Contains(err.Error(), "aggregation_jobs: HTTP 403: noClientCertificate") {
		t.Errorf("with a foreign certificate: %v", err)
	}
	none.CloseIdleConnections()
	w.a.halt()
	w.b.halt()
	w.showing(w.peers.selfSigned())
	w.begin()
	if err := w.settle(100 * time.Minute); err != nil {
		t.Fatal(err)
	}
	if got := w.results(); got != wantColours {
		t.Errorf("released\n%s\nwant\n%s", got, wantColours)
	}
}

// TestMutualTLSRoutes: the routes of other organisations take neither a certificate
// without a token nor a token without a certificate, over HTTP/1.1 and HTTP/2; what
// clients need is open.
func TestMutualTLSRoutes(t *testing.T) {
	w := newMutualWorld(t)
	w.pair()
	w.begin()
	must(t, w.settle(time.Minute))
	made, err := taskconfig.New(w.task, w.id)
	must(t, err)
	under := "tasks/" + made.ID().String() + "/"
	leader := tokenOf(t, w.b, w.a.identity, "leader")
	collector := tokenOf(t, w.a, task.FormatPublic(w.task.Collector().Identity), "collector")
	clients := map[string]*http.Client{
		"none": {Transport: w.transport(nil)}, "foreign": {Transport: w.transport(w.foreign)}, "right": {Transport: w.transport(w.peers)},
	}
	old := w.transport(nil)
	old.ForceAttemptHTTP2 = false
	clients["none by HTTP/1.1"] = &http.Client{Transport: old}
	ask := func(client, method, url, token string) (int, string, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
		must(t, err)
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := clients[client].Do(r)
		if err != nil {
			return 0, "", err.Error()
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		must(t, err)
		return resp.StatusCode, resp.Header.Get("Content-Type"), string(body)
	}
	for _, route := range []struct {
		of     *org
		token  string
		method string
		path   string
		known  string // the answer to a known client
	}{
		{w.b, leader, "GET", dap.AggregationJobPath(made.ID(), dap.AggregationJobID{1}) + "?step=0", "unrecognizedAggregationJob"},
		{w.b, leader, "POST", under + "aggregation_jobs", "unsupportedMediaType"},
		{w.b, leader, "GET", dap.AggregateSharePath(made.ID(), dap.AggregateShareID{1}), "notFound"},
		{w.b, leader, "POST", under + "aggregate_shares", "unsupportedMediaType"},
		{w.a, collector, "GET", dap.CollectionJobPath(made.ID(), dap.CollectionJobID{1}), "notFound"},
		{w.a, collector, "POST", under + "collection_jobs", "unsupportedMediaType"},
	} {
		url := route.of.url() + "/" + route.path
		for _, client := range []string{"none", "none by HTTP/1.1"} {
			status, kind, body := ask(client, route.method, url, route.token)
			if status != http.StatusForbidden || kind != "application/problem+json" || !strings.Contains(body, "urn:shoal:problem:noClientCertificate") {
				t.Errorf("%s %s, certificate %s: %d %s %s", route.method, route.path, client, status, kind, body)
			}
		}
		if status, _, body := ask("foreign", route.method, url, route.token); status != 0 { // the handshake breaks, as is logged
			t.Errorf("%s %s, foreign certificate: %d %s", route.method, route.path, status, body)
		}
		for _, token := range []string{"", leader[1:] + "A"} {
			if status, _, body := ask("right", route.method, url, token); status < 400 || strings.Contains(body, route.known) || strings.Contains(body, "noClientCertificate") {
				t.Errorf("%s %s, certificate without the token: %d %s", route.method, route.path, status, body)
			}
		}
		if status, _, body := ask("right", route.method, url, route.token); status == 0 || !strings.Contains(body, route.known) {
			t.Errorf("%s %s, certificate and token: %d %s, want %s", route.method, route.path, status, body, route.known)
		}
	}
	if !strings.Contains(w.log.String(), "cause=tls_handshake") {
		t.Error("no handshake broke")
	}
	for _, o := range []*org{w.a, w.b} {
		if status, _, body := ask("none", "GET", o.url()+"/"+dap.HpkeConfigPath, ""); status != http.StatusOK {
			t.Errorf("keys without a certificate: %d %s", status, body)
		}
		for _, l := range o.server.listeners {
			if asks := l.tls != nil && l.tls.ClientAuth != tls.NoClientCert; asks != (l.name == "public") {
				t.Errorf("the %s listener asks for client certificates: %v", l.name, asks)
			}
		}
	}
	for _, client := range clients {
		client.CloseIdleConnections()
	}
}

// TestClientCertificateFiles: what cannot be used is refused at the start, with the
// key of the configuration.
func TestClientCertificateFiles(t *testing.T) {
	w := newMutualWorld(t)
	asking := w.a.adjust
	bad := filepath.Join(t.TempDir(), "bad.pem")
	webCert, webKey := w.web.issue("server", x509.ExtKeyUsageServerAuth)
	_, open := w.peers.issue("open", x509.ExtKeyUsageClientAuth)
	must(t, os.Chmod(open, 0o644))
	for name, tt := range map[string]struct {
		text   string // of the file of authorities that is tried
		change func(*TLSConfig)
		want   string
	}{
		"open key":        {"", func(c *TLSConfig) { c.ClientKeyFile = open }, "tls.client_key_file"},
		"no file":         {"", func(c *TLSConfig) { c.ClientCertFile = bad + ".none" }, "tls.client_cert_file"},
		"for servers":     {"", func(c *TLSConfig) { c.ClientCertFile, c.ClientKeyFile = webCert, webKey }, "lacks clientAuth"},
		"no authority":    {"# none\n", func(c *TLSConfig) { c.ClientCAFile = bad }, "tls.client_ca_file: " + bad + " holds no certificate"},
		"key, no cert":    {"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", func(c *TLSConfig) { c.ClientCAFile = bad }, "holds a PRIVATE KEY"},
		"no certificate":  {"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", func(c *TLSConfig) { c.ClientCAFile = bad }, "tls.client_ca_file"},
		"authority, gone": {"", func(c *TLSConfig) { c.ClientCAFile = bad + ".none" }, "tls.client_ca_file"},
	} {
		must(t, os.WriteFile(bad, []byte(tt.text), 0o600))
		w.a.adjust = func(c *Config) {
			asking(c)
			tt.change(&c.TLS)
		}
		s, err := w.a.open()
		if err == nil {
			_ = s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q in it", name, err, tt.want)
		}
		if found := Doctor(t.Context(), w.a.config(), Options{Clock: w.clock}); !hasFinding(found, Failure, tt.want) {
			t.Errorf("%s: doctor says %v", name, found)
		}
	}
}

// TestMutualTLSDoctor: doctor reports whether mutual TLS is on, and when it will end.
func TestMutualTLSDoctor(t *testing.T) {
	w := newMutualWorld(t)
	const asks, shows = "client certificates", "own client certificate"
	for check, want := range map[string]string{asks: "1 authorities", shows: "until 2076-11-23"} {
		if f := findings(w.world, w.a)[check]; f.Level != OK || !strings.Contains(f.Detail, want) {
			t.Errorf("%s: %+v", check, f)
		}
	}
	if _, has := findings(w.world, w.b)[shows]; has {
		t.Error("a helper has nobody to show a certificate to")
	}
	off := newAggregateWorld(t)
	for check, want := range map[string]string{asks: "not asked for", shows: "none"} {
		if f := findings(off, off.a)[check]; f.Level != OK || !strings.Contains(f.Detail, want) {
			t.Errorf("%s: %+v", check, f)
		}
	}
	for until, want := range map[time.Time]Level{noon.AddDate(0, 0, 3): Warning, noon.AddDate(0, 0, -3): Failure} {
		w.peers.issueUntil("client", until, x509.ExtKeyUsageClientAuth)
		if f := findings(w.world, w.a)[shows]; f.Level != want {
			t.Errorf("until %s: %+v, want %s", until, f, want)
		}
	}
}

// TestClientCertificateRenewed: a renewed client certificate is shown without a
// restart, a broken one is not, and none to a server of another authority.
func TestClientCertificateRenewed(t *testing.T) {
	peers, foreign := newAuthority(t, "peers"), newAuthority(t, "foreign")
	cert, key := peers.issue("client", x509.ExtKeyUsageClientAuth)
	files, err := Config{TLS: TLSConfig{ClientCertFile: cert, ClientKeyFile: key}}.clientCertificate()
	must(t, err)
	shown := func(by *authority) string {
		t.Helper()
		c, err := files.show(&tls.CertificateRequestInfo{
			AcceptableCAs: [][]byte{by.cert.RawSubject}, SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}, Version: tls.VersionTLS13,
		})
		must(t, err)
		if len(c.Certificate) == 0 {
			return ""
		}
		return c.Leaf.SerialNumber.String()
	}
	first := shown(peers)
	if first == "" || shown(foreign) != "" {
		t.Fatalf("shown: %q to its authority, %q to another", first, shown(foreign))
	}
	later := func(by time.Duration) {
		must(t, os.Chtimes(cert, time.Time{}, time.Now().Add(by)))
		files.mu.Lock()
		files.looked = time.Time{}
		files.mu.Unlock()
	}
	must(t, os.WriteFile(cert, []byte("half"), 0o644))
	later(time.Hour)
	if got := shown(peers); got != first {
		t.Errorf("after a broken renewal %q is shown, want %q", got, first)
	}
	peers.issue("client", x509.ExtKeyUsageClientAuth)
	later(2 * time.Hour)
	if got := shown(peers); got == "" || got == first {
		t.Errorf("after the renewal %q is shown, before %q", got, first)
	}
}
