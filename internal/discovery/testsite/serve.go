package testsite

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
)

// A Network is the site as real servers, on loopback addresses that only its
// dialer knows. Close ends it.
type Network struct {
	site      *Site
	roots     *x509.CertPool
	listeners map[string]net.Addr // by authority with port
	servers   []*http.Server
	requests  atomic.Uint64 // makes each answer differ a little from the one before
}

// Listen starts the servers: plain and TLS ones on 127.0.0.1 to 127.0.0.8, and
// on ::1 where the machine has it. Every host name is served; that the hosts of
// private networks are there too is the point: no request may get as far as
// asking them.
func (s *Site) Listen(ctx context.Context) (*Network, error) {
	n := &Network{site: s, listeners: make(map[string]net.Addr)}
	certificate, err := n.certify()
	if err != nil {
		return nil, fmt.Errorf("starting the test site: %w", err)
	}
	addresses := []string{"127.0.0.1:0", "127.0.0.2:0", "127.0.0.3:0", "127.0.0.4:0", "127.0.0.5:0", "127.0.0.6:0", "127.0.0.7:0", "127.0.0.8:0", "[::1]:0"}
	i := 0
	for _, h := range s.hosts {
		l, err := listen(ctx, addresses[i%len(addresses)])
		if err != nil {
			return nil, errors.Join(fmt.Errorf("starting the test site: %w", err), n.Close())
		}
		i++
		port := h.Port
		if port == 0 {
			port = 80
			if h.Scheme == "https" {
				port = 443
			}
		}
		n.listeners[strings.Trim(h.Name, "[]")+":"+strconv.Itoa(port)] = l.Addr()
		if h.Scheme == "https" {
			l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
		}
		server := &http.Server{Handler: n.handler(h), ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
		n.servers = append(n.servers, server)
		go server.Serve(l) //nolint:errcheck // ends with Close
	}
	return n, nil
}

// listen falls back to IPv4 on machines without the other loopback addresses.
func listen(ctx context.Context, address string) (net.Listener, error) {
	var c net.ListenConfig
	l, err := c.Listen(ctx, "tcp", address)
	if err != nil && address != "127.0.0.1:0" {
		return c.Listen(ctx, "tcp", "127.0.0.1:0")
	}
	return l, err
}

// Close stops the servers and waits for nothing.
func (n *Network) Close() error {
	var errs []error
	for _, s := range n.servers {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// Roots returns the authority that signs the certificates of the site.
func (n *Network) Roots() *x509.CertPool { return n.roots }

// Dial connects to a host of the site by its name and port ("herald.example.org:443")
// as net.Dialer.DialContext does. The connection's RemoteAddr is the address
// that the host pretends to have; every other name is refused.
func (n *Network) Dial(ctx context.Context, _, address string) (net.Conn, error) {
	name, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	at, ok := n.listeners[name+":"+port]
	if !ok {
		return nil, &net.DNSError{Err: "no such host in the test site", Name: name, IsNotFound: true}
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", at.String())
	if err != nil {
		return nil, err
	}
	return pretending{c, n.site.pretended(name, port)}, nil
}

// Resolve returns the address that a host pretends to have.
func (s *Site) Resolve(name string) (netip.Addr, bool) {
	for _, h := range s.hosts {
		if strings.Trim(h.Name, "[]") == name {
			return h.Addr, true
		}
	}
	return netip.Addr{}, false
}

func (s *Site) pretended(name, port string) net.Addr {
	addr, _ := s.Resolve(name)
	p, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		p = 0
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr, uint16(p)))
}

// pretending is a connection that claims another end.
type pretending struct {
	net.Conn
	remote net.Addr
}

func (p pretending) RemoteAddr() net.Addr { return p.remote }

// handler serves one host.
func (n *Network) handler(h *Host) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v, marked := viewOf(r)
		if marked {
			n.site.marked.Add(1)
		}
		v.Variation = n.requests.Add(1)
		target := r.URL.EscapedPath()
		if r.URL.RawQuery != "" {
			target += "?" + r.URL.RawQuery
		}
		if r.Method != http.MethodGet || strings.Trim(hostOf(r.Host), "[]") != strings.Trim(h.Name, "[]") {
			http.Error(w, "not here", http.StatusMisdirectedRequest)
			return
		}
		answer := n.site.Serve(h, target, v)
		if answer.Wait > 0 {
			if clock.Sleep(r.Context(), clock.System(), answer.Wait) != nil {
				return
			}
		}
		header := w.Header()
		header.Set("Content-Type", answer.Type)
		for name, value := range map[string]string{"X-Robots-Tag": answer.Robots, "Location": answer.Location, "Set-Cookie": answer.Cookie} {
			if value != "" {
				header.Set(name, value)
			}
		}
		w.WriteHeader(answer.Status)
		w.Write(answer.Body)
	})
}

func hostOf(authority string) string {
	if name, _, err := net.SplitHostPort(authority); err == nil {
		return name
	}
	return authority
}

// personCookie holds the number of a simulated person, and "+" if logged in.
const personCookie = "person"

// Cookie returns the cookie that a view of a host carries.
func (v View) Cookie() string {
	if v.Person < 0 {
		return ""
	}
	value := strconv.Itoa(v.Person)
	if v.LoggedIn {
		value += "+"
	}
	return personCookie + "=" + value
}

// viewOf reads the person from a request. What carries no person's cookie must carry nothing of a
// person at all.
func viewOf(r *http.Request) (v View, marked bool) {
	v.Person = -1
	if c, err := r.Cookie(personCookie); err == nil {
		number, logged := strings.CutSuffix(c.Value, "+")
		if id, err := strconv.Atoi(number); err == nil && id >= 0 {
			return View{Person: id, LoggedIn: logged}, false
		}
	}
	for _, name := range []string{"Cookie", "Authorization", "Proxy-Authorization", "Referer", "From", "Origin", "If-None-Match", "If-Modified-Since"} {
		marked = marked || r.Header.Get(name) != ""
	}
	for name := range r.Header {
		marked = marked || strings.HasPrefix(name, "X-")
	}
	return v, marked
}

// certify makes an authority and one certificate for all names.
func (n *Network) certify() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test site"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(240 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, h := range n.site.hosts {
		if addr, err := netip.ParseAddr(strings.Trim(h.Name, "[]")); err == nil {
			template.IPAddresses = append(template.IPAddresses, addr.AsSlice())
			continue
		}
		template.DNSNames = append(template.DNSNames, h.Name)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, err
	}
	n.roots = x509.NewCertPool()
	n.roots.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
