package server

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"time"
)

// Times within which the body of a report has to arrive: bodyPause from one part to
// the next, bodyTime in all.
const (
	bodyPause = 10 * time.Second
	bodyTime  = 20 * time.Second
)

// Places of requests that must be answered whatever senders of reports do.
const (
	keySlots  = 256 // fetches of keys
	peerSlots = 256 // exchanges with other aggregators and collectors
)

// maxBuffered is the longest body of a report that is read before the report is
// given a place. Reports of the crowd route are shorter.
const maxBuffered = 64 << 10

// A gate bounds how many requests of one kind are served at once, in all and from
// one network, so that one sender cannot take all places. What it knows of networks
// is how many places each holds now; that is in memory only, and gone with the last
// of them.
type gate struct {
	most, each int // places in all, and of one network; each 0 is no bound

	mu   sync.Mutex
	held int
	by   map[netip.Prefix]int
}

func newGate(most, each int) *gate {
	return &gate{most: most, each: each, by: map[netip.Prefix]int{}}
}

// enter takes a place, and returns false if all are taken. Of requests without a
// network only the number in all is bounded.
func (g *gate) enter(network netip.Prefix) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	fair := g.each > 0 && network.IsValid()
	if g.held >= g.most || fair && g.by[network] >= g.each {
		return false
	}
	g.held++
	if fair {
		g.by[network]++
	}
	return true
}

// leave gives a place back.
func (g *gate) leave(network netip.Prefix) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held--
	if g.each == 0 || !network.IsValid() {
		return
	}
	if g.by[network]--; g.by[network] <= 0 {
		delete(g.by, network)
	}
}

// network returns the network that a request comes from: the /24 of an IPv4 address,
// the /56 of an IPv6 address. Behind a proxy, and on the machine itself, senders
// cannot be distinguished, and no header is believed: the result is not valid.
func (c Config) network(r *http.Request) netip.Prefix {
	if c.BehindProxy {
		return netip.Prefix{}
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return netip.Prefix{}
	}
	return networkOf(host)
}

func networkOf(host string) netip.Prefix {
	addr, err := netip.ParseAddr(host)
	if err != nil || addr.IsLoopback() {
		return netip.Prefix{}
	}
	addr = addr.Unmap().WithZone("")
	bits := 56
	if addr.Is4() {
		bits = 24
	}
	prefix, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}

// gates are those of the public listener. Reading and serving have gates of their
// own: a body that does not come holds no place of those that are here.
type gates struct {
	reading, serving, keys, batches, statements, peers, relays *gate
}

func newGates(c IntakeConfig) *gates {
	return &gates{
		reading:    newGate(4*c.MaxConcurrent, c.MaxPerNetwork),
		serving:    newGate(c.MaxConcurrent, 0),
		keys:       newGate(keySlots, keySlots/4),
		batches:    newGate(batchSlots, 0),
		statements: newGate(keySlots, keySlots/4), // short bodies that are read before the sender is known
		peers:      newGate(peerSlots, 0),
		relays:     newGate(4*c.MaxConcurrent, 0), // each sends for many networks, which it bounds
	}
}

// through serves a request if there is a place for it behind a gate.
func (s *Server) through(g *gate, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		network := s.network(r)
		if !g.enter(network) {
			problems.busy.Write(w, 0)
			return
		}
		defer g.leave(network)
		next(w, r)
	}
}

// buffers are for bodies of reports.
type buffers struct{ pool sync.Pool }

func (b *buffers) get() *bytes.Buffer {
	if buf, ok := b.pool.Get().(*bytes.Buffer); ok {
		buf.Reset()
		return buf
	}
	return new(bytes.Buffer)
}

// readFirst reads the body of a report, and only then lets the request take a place
// among those that are served. A longer body is left to the handler, with its
// limits; nothing of the crowd route is as long.
func (s *Server) readFirst(next http.HandlerFunc) http.HandlerFunc {
	serve := s.through(s.gates.serving, next)
	return s.through(s.gates.reading, func(w http.ResponseWriter, r *http.Request) {
		body := s.paced(w, r)
		if r.ContentLength > maxBuffered {
			r.Body = body
			serve(w, r)
			return
		}
		buf := s.bodies.get()
		defer s.bodies.pool.Put(buf)
		_, err := buf.ReadFrom(io.LimitReader(body, maxBuffered))
		rest := io.Reader(buf)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			problems.slow.Write(w, 0)
			return
		case err != nil:
			rest = io.MultiReader(buf, failing{err})
		case buf.Len() == maxBuffered:
			rest = io.MultiReader(buf, body)
		}
		r.Body = struct {
			io.Reader
			io.Closer
		}{rest, r.Body}
		serve(w, r)
	})
}

// failing is where a body broke off.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// paced returns the body of a request, each part of which has to arrive in time.
func (s *Server) paced(w http.ResponseWriter, r *http.Request) io.ReadCloser {
	return &pacedBody{
		ReadCloser: r.Body, control: http.NewResponseController(w), pause: s.pace.pause, end: time.Now().Add(s.pace.all),
	}
}

// pacing lets a handler read a long body whose parts arrive in time, and for as long
// as the handler allows.
func (s *Server) pacing(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = &pacedBody{
			ReadCloser: r.Body, control: http.NewResponseController(w), pause: s.pace.pause, end: time.Now().Add(uploadExchange),
		}
		next(w, r)
	}
}

// pace is how fast bodies have to arrive.
type pace struct{ pause, all time.Duration }

// A pacedBody moves the deadline of a connection on as parts of a body arrive.
type pacedBody struct {
	io.ReadCloser
	control *http.ResponseController
	pause   time.Duration
	end     time.Time
}

// Read implements [io.Reader]. Connections that cannot have deadlines (in tests) go
// without.
func (b *pacedBody) Read(p []byte) (int, error) {
	by := time.Now().Add(b.pause)
	if b.end.Before(by) {
		by = b.end
	}
	_ = b.control.SetReadDeadline(by)
	return b.ReadCloser.Read(p)
}
