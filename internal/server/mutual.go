package server

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/shoal-project/shoal/metric/task"
)

// Mutual TLS of the aggregate route: what only other organisations ask of a leader
// or a helper needs a client certificate beside the token. Uploads and keys stay
// open: devices have no certificates.

// validateMutual is called with the rest of the TLS settings in order.
func (c Config) validateMutual() error {
	t := c.TLS
	if (t.ClientCertFile == "") != (t.ClientKeyFile == "") {
		return errors.New("tls: client_cert_file and client_key_file belong together")
	}
	if t.ClientCertFile != "" && !c.Has(task.Leader) && !c.Has(task.Collector) {
		return errors.New("tls.client_cert_file: only a leader or a collector has somebody to show it to")
	}
	switch {
	case t.ClientCAFile == "":
		return nil
	case !c.Has(task.Leader) && !c.Has(task.Helper):
		return errors.New("tls.client_ca_file: only a leader or a helper asks for client certificates")
	case c.BehindProxy:
		return errors.New("tls.client_ca_file: behind_proxy: the proxy ends TLS, so only the proxy can ask for client certificates")
	case !t.Enabled():
		return errors.New("tls.client_ca_file: the public listener has no TLS: set tls.cert_file and tls.key_file, or tls.acme")
	case c.Has(task.Leader) && c.Has(task.Collector) && t.ClientCertFile == "":
		return errors.New("tls.client_ca_file: the leader would refuse this organisation's own collector: set tls.client_cert_file and tls.client_key_file")
	}
	return nil
}

// clientCAs reads the certificates by which client certificates are checked.
func (c Config) clientCAs() ([]*x509.Certificate, error) {
	return readCertificates("tls.client_ca_file", c.TLS.ClientCAFile)
}

// peerCAs returns the authorities by which certificates of other organisations'
// servers are checked: those of the system and those of tls.peer_ca_file. Nil means
// those of the system alone.
func (c Config) peerCAs() (*x509.CertPool, error) {
	if c.TLS.PeerCAFile == "" {
		return nil, nil
	}
	all, err := readCertificates("tls.peer_ca_file", c.TLS.PeerCAFile)
	if err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("tls.peer_ca_file: reading the system's authorities: %w", err)
	}
	for _, cert := range all {
		pool.AddCert(cert)
	}
	return pool, nil
}

// readCertificates reads the file that a key of the configuration names.
func readCertificates(key, file string) ([]*x509.Certificate, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	var all []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("%s: %s holds a %s beside certificates", key, file, block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", key, file, err)
		}
		all = append(all, cert)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: %s holds no certificate in PEM", key, file)
	}
	return all, nil
}

// askClients returns the TLS settings of a listener that asks for client
// certificates, if the configuration wants that. One that comes is checked in the
// handshake; the routes decide whether one must come.
func (c Config) askClients(t *tls.Config) (*tls.Config, error) {
	if c.TLS.ClientCAFile == "" {
		return t, nil
	}
	all, err := c.clientCAs()
	if err != nil {
		return nil, err
	}
	t = t.Clone()
	t.ClientAuth, t.ClientCAs = tls.VerifyClientCertIfGiven, x509.NewCertPool()
	for _, cert := range all {
		t.ClientCAs.AddCert(cert)
	}
	return t, nil
}

// certified reports whether a request may go on to the check of its token: it came
// with a client certificate that was verified, or none is asked for.
func (c Config) certified(r *http.Request) bool {
	return c.TLS.ClientCAFile == "" || r.TLS != nil && len(r.TLS.VerifiedChains) > 0
}

// clientCertificate opens the certificate that is shown to other organisations,
// or returns nil.
func (c Config) clientCertificate() (*certFiles, error) {
	if c.TLS.ClientCertFile == "" {
		return nil, nil
	}
	files, err := openCertFiles("client_", c.TLS.ClientCertFile, c.TLS.ClientKeyFile)
	if err != nil {
		return nil, err
	}
	if !forClients(files.current.Leaf) {
		return nil, fmt.Errorf("tls.client_cert_file: %s is no certificate for clients: its extended key usage lacks clientAuth", c.TLS.ClientCertFile)
	}
	return files, nil
}

// forClients reports whether a certificate may be used by a client (RFC 5280,
// section 4.2.1.12).
func forClients(cert *x509.Certificate) bool {
	if len(cert.ExtKeyUsage) == 0 && len(cert.UnknownExtKeyUsage) == 0 {
		return true
	}
	return slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageClientAuth) || slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageAny)
}

// show answers a server that asks for a client certificate. One that the server
// would not accept is left out: its routes report that more plainly than a handshake
// that breaks, and those that need none still work.
func (f *certFiles) show(asked *tls.CertificateRequestInfo) (*tls.Certificate, error) {
	cert := f.renewed()
	if asked.SupportsCertificate(cert) != nil {
		return &tls.Certificate{}, nil
	}
	return cert, nil
}

// client returns the client by which the organisation reaches others.
func (c Config) client() (*http.Client, error) {
	files, err := c.clientCertificate()
	if err != nil {
		return nil, err
	}
	t := &tls.Config{MinVersion: tls.VersionTLS13}
	if t.RootCAs, err = c.peerCAs(); err != nil {
		return nil, err
	}
	if files != nil {
		t.GetClientCertificate = files.show
	}
	return peerClient(t), nil
}

// clientCertificates reports whether mutual TLS is on, in either direction.
func (d *doctor) clientCertificates() {
	c := d.config
	if c.Has(task.Leader) || c.Has(task.Helper) {
		const check = "client certificates"
		if c.TLS.ClientCAFile == "" {
			d.say(OK, check, "not asked for: other organisations are known by their tokens")
		} else {
			all, err := c.clientCAs()
			d.verdict(check, err, "other organisations need one beside their token: %d authorities in %s", len(all), c.TLS.ClientCAFile)
		}
	}
	if c.TLS.PeerCAFile != "" {
		_, err := c.peerCAs()
		d.verdict("authorities of peers", err, "those of the system and of %s", c.TLS.PeerCAFile)
	}
	if !c.Has(task.Leader) && !c.Has(task.Collector) {
		return
	}
	const check = "own client certificate"
	files, err := c.clientCertificate()
	switch {
	case err != nil:
		d.say(Failure, check, "%v", err)
	case files == nil:
		d.say(OK, check, "none: servers that ask for one refuse this organisation")
	default:
		leaf, now := files.current.Leaf, d.o.Clock.Now()
		from, until := leaf.NotBefore.UTC().Format(time.DateTime), leaf.NotAfter.UTC().Format(time.DateTime)
		switch {
		case now.Before(leaf.NotBefore):
			d.say(Failure, check, "%s is not valid before %s", c.TLS.ClientCertFile, from)
		case now.After(leaf.NotAfter):
			d.say(Failure, check, "%s has expired on %s", c.TLS.ClientCertFile, until)
		case leaf.NotAfter.Sub(now) < 7*24*time.Hour:
			d.say(Warning, check, "%s expires on %s", c.TLS.ClientCertFile, until)
		default:
			d.say(OK, check, "%s, until %s", c.TLS.ClientCertFile, until)
		}
	}
}
