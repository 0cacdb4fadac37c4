package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// Limits of every connection. They bound what one peer can hold, not what it
// may ask for: bodies have limits of their own.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 16 << 10
	maxStreams    = 32 // of a connection of HTTP/2
)

// listen opens a TCP listener. Its error explains plainly why it could not.
func (o Options) listen(key, addr string) (net.Listener, error) {
	l, err := o.Listen("tcp", addr)
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s: %s is in use by another program: stop it or choose another port", key, addr)
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("%s: not permitted to listen on %s: choose a port above 1023 or grant the capability to bind low ports", key, addr)
	default:
		return nil, fmt.Errorf("%s: listening: %w", key, err)
	}
}

// newHTTP returns an HTTP server with limits on connections. The time for a body
// is for each route to set.
func newHTTP(h http.Handler, logger *slog.Logger, m *metrics) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          log.New(&errorLog{logger: logger, metrics: m}, "", 0),
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
	}
}

// errorLog is between net/http and the log: the messages of net/http about
// a connection begin with the peer's address, so only its cause goes on.
type errorLog struct {
	logger  *slog.Logger
	metrics *metrics
}

// Write implements [io.Writer]; each call is one message.
func (e *errorLog) Write(b []byte) (int, error) {
	cause := connectionCause(string(b))
	e.metrics.connectionErrors.WithLabelValues(cause).Inc()
	if cause == "panic" {
		e.logger.Error("a handler panicked", "cause", cause)
		return len(b), nil
	}
	e.logger.Debug("connection failed", "cause", cause)
	return len(b), nil
}

// connectionCause maps a message of net/http to a cause from a fixed list.
func connectionCause(message string) string {
	for _, c := range []struct{ contains, cause string }{
		{"panic serving", "panic"},
		{"TLS handshake error", "tls_handshake"},
		{"Accept error", "accept"},
		{"http2", "http2"},
		{"response.Write", "write"},
		{"superfluous", "handler"},
	} {
		if strings.Contains(message, c.contains) {
			return c.cause
		}
	}
	return "other"
}

// tlsConfig returns the TLS settings of the public listener, or nil for plain
// HTTP, which Validate has allowed for loopback and behind a proxy only.
func (c Config) tlsConfig() (*tls.Config, error) {
	switch {
	case len(c.TLS.ACME.Domains) > 0:
		return c.acmeConfig(), nil
	case c.TLS.CertFile != "":
		files, err := openCertFiles("", c.TLS.CertFile, c.TLS.KeyFile)
		if err != nil {
			return nil, err
		}
		return &tls.Config{
			MinVersion:     tls.VersionTLS13,
			NextProtos:     []string{"h2", "http/1.1"},
			GetCertificate: files.get,
		}, nil
	default:
		return nil, nil
	}
}

func (c Config) acmeConfig() *tls.Config {
	m := &autocert.Manager{
		Prompt:     autocert.AcceptTOS,
		HostPolicy: autocert.HostWhitelist(c.TLS.ACME.Domains...),
		Email:      c.TLS.ACME.Email,
		Cache:      autocert.DirCache(c.acmeDir()),
	}
	if c.TLS.ACME.Directory != "" {
		m.Client = &acme.Client{DirectoryURL: c.TLS.ACME.Directory}
	}
	t := m.TLSConfig()
	t.MinVersion = tls.VersionTLS13
	return t
}

// certFiles has a certificate from two files and picks up renewed ones without a
// restart.
type certFiles struct {
	cert, key string

	mu      sync.Mutex
	current *tls.Certificate // what peers are shown
	changed time.Time        // the certificate file's modification time
	looked  time.Time        // when the file was last looked at
}

// certRecheck is how often a handshake looks for a renewed certificate.
const certRecheck = time.Minute

// openCertFiles reads a certificate and its key, which must be private. The keys
// of the configuration that name them begin with tls.WHICH.
func openCertFiles(which, cert, key string) (*certFiles, error) {
	if err := private(key); err != nil {
		return nil, fmt.Errorf("tls.%skey_file: %w", which, err)
	}
	f := &certFiles{cert: cert, key: key}
	if err := f.reload(); err != nil {
		return nil, fmt.Errorf("tls.%scert_file: %w", which, err)
	}
	return f, nil
}

// get answers a client's handshake.
func (f *certFiles) get(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.renewed(), nil }

// renewed returns the certificate that is in force.
func (f *certFiles) renewed() *tls.Certificate {
	f.mu.Lock()
	due := time.Since(f.looked) > certRecheck
	f.mu.Unlock()
	if due {
		// A renewal that is half-written or broken leaves the old one in place.
		_ = f.reload()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.current
}

func (f *certFiles) reload() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looked = time.Now()
	info, err := os.Stat(f.cert)
	if err != nil {
		return fmt.Errorf("reading the certificate: %w", err)
	}
	if f.current != nil && info.ModTime().Equal(f.changed) {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return fmt.Errorf("reading the certificate %s: %w", f.cert, err)
	}
	f.current, f.changed = &pair, info.ModTime()
	return nil
}

// serve runs h on l until ctx ends, then lets requests in flight finish for at
// most grace.
func serve(ctx context.Context, h *http.Server, l net.Listener, t *tls.Config, grace time.Duration) error {
	done := make(chan error, 1)
	go func() {
		if t != nil {
			h.TLSConfig = t
			done <- h.ServeTLS(l, "", "")
			return
		}
		done <- h.Serve(l)
	}()
	select {
	case err := <-done:
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	err := h.Shutdown(stop)
	if err != nil {
		_ = h.Close()
		return fmt.Errorf("shutting down: requests were still running after %s and were cut off", grace)
	}
	<-done
	return nil
}
