package server

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/metric/task"
)

// TestErrorLog: the messages of net/http about a connection name the peer; the log
// gets the cause alone (invariant 5: no address is written).
func TestErrorLog(t *testing.T) {
	var out bytes.Buffer
	m := newMetrics()
	e := &errorLog{logger: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})), metrics: m}
	for message, cause := range map[string]string{
		"http: TLS handshake error from 203.0.113.9:5123: EOF\n":                     "tls_handshake",
		"http: panic serving 203.0.113.9:5123: boom\ngoroutine 1 [running]:\n":       "panic",
		"http: Accept error: accept tcp 203.0.113.9:443: too many open files; ...\n": "accept",
		"http2: server: error reading preface from client 203.0.113.9:5123: EOF\n":   "http2",
		"something new about 203.0.113.9\n":                                          "other",
	} {
		out.Reset()
		if _, err := e.Write([]byte(message)); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), "cause="+cause) || strings.Contains(out.String(), "203.0.113") || strings.Contains(out.String(), "boom") {
			t.Errorf("%q became %q", message, out.String())
		}
	}
}

// certificate writes a self-signed certificate for localhost and returns a pool
// that trusts it.
func certificate(t *testing.T, dir string) (string, string, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	must(t, os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644))
	must(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return certFile, keyFile, pool
}

// TestPeerCAFile: an organisation reaches a peer that a private authority has
// certified if, and only if, the configuration names that authority.
func TestPeerCAFile(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile, _ := certificate(t, dir)
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	must(t, err)
	peer := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	peer.Config.ErrorLog = log.New(io.Discard, "", 0)
	peer.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	peer.StartTLS()
	defer peer.Close()
	for name, c := range map[string]struct {
		file string
		ok   bool
	}{"named": {certFile, true}, "not named": {"", false}} {
		client, err := Config{TLS: TLSConfig{PeerCAFile: c.file}}.client()
		must(t, err)
		r, err := client.Get(peer.URL)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			must(t, r.Body.Close())
		}
		client.CloseIdleConnections()
	}
	for name, file := range map[string]string{"missing": filepath.Join(dir, "none.pem"), "a key": keyFile} {
		if _, err := (Config{TLS: TLSConfig{PeerCAFile: file}}).client(); err == nil || !strings.Contains(err.Error(), "tls.peer_ca_file: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTLS serves keys over TLS 1.3 with HTTP/1.1 and HTTP/2, refuses TLS 1.2,
// and logs nothing about a peer that does not speak TLS.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile, pool := certificate(t, dir)
	file, _, err := Init(filepath.Join(dir, "org"), Organisation{Name: "One", Roles: []task.Role{task.Shuffler}, URL: "https://127.0.0.1", CertFile: certFile, KeyFile: keyFile}, time.Now(), nil)
	must(t, err)
	c, err := Load(file)
	must(t, err)
	c.TLS = TLSConfig{CertFile: certFile, KeyFile: keyFile}
	c.Listen, c.Ops.Listen = "127.0.0.1:0", Off
	log := &buffer{}
	s, err := New(t.Context(), c, Options{Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	must(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	url := "https://" + s.Addr("public") + "/keys/shuffler"

	for _, version := range []int{1, 2} {
		var p http.Protocols
		p.SetHTTP1(version == 1)
		p.SetHTTP2(version == 2)
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, Protocols: &p}}
		r, err := client.Get(url)
		if err != nil {
			t.Fatalf("HTTP/%d: %v", version, err)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		r.Body.Close()
		if r.StatusCode != 200 || r.ProtoMajor != version || r.Header.Get("Strict-Transport-Security") == "" {
			t.Errorf("HTTP/%d: status %d, %s, headers %v", version, r.StatusCode, r.Proto, r.Header)
		}
		client.CloseIdleConnections()
	}
	old := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS12}}}
	if _, err := old.Get(url); err == nil {
		t.Error("TLS 1.2 was accepted")
	}
	conn, err := net.Dial("tcp", s.Addr("public"))
	must(t, err)
	local := conn.LocalAddr().String()
	fmt.Fprint(conn, "this is not TLS\r\n\r\n")
	_, _ = io.ReadAll(conn)
	conn.Close()
	stop()
	must(t, <-done)
	if !strings.Contains(log.String(), "cause=tls_handshake") || strings.Contains(log.String(), local) {
		t.Errorf("log:\n%s", log)
	}
}
