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

	"github.com/shoal-project/shoal/internal/server/door"
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

// network returns the network that a request comes from. Behind a proxy, and on the machine itself, senders
// cannot be distinguished, and no header is believed: the result is not valid.
func (c Config) network(r *http.Request) netip.Prefix {
	if c.BehindProxy {
		return netip.Prefix{}
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return netip.Prefix{}
	}
	return door.Network(host)
}

// connectionsOfRequests is how many connections a network may hold for each request
// that it may have under way. Connections are shared by the devices behind one address.
const connectionsOfRequests = 4

// Of the files that the process may have open, this share is for connections of the
// public listener.
const (
	defaultFiles   = 1 << 14 // where the limit is not known
	mostOfFiles    = 1 << 16
	connectionPart = 2 // half of them
)

// connections returns the bound of the public listener.
func (s *Server) connections() *door.Connections {
	most := int(min(openFiles(), mostOfFiles)) / connectionPart
	network := func(address string) netip.Prefix { return s.network(&http.Request{RemoteAddr: address}) }
	return door.NewConnections(most, connectionsOfRequests*s.config.Intake.MaxPerNetwork, network, func() {
		s.metrics.connectionErrors.WithLabelValues("too_many").Inc()
	})
}

// gates are those of the public listener. Reading and serving have gates of their
// own: a body that does not come holds no place of those that are here.
type gates struct {
	reading, serving, keys, batches, statements, peers, relays *door.Gate
}

func newGates(c IntakeConfig) *gates {
	return &gates{
		reading:    door.NewGate(4*c.MaxConcurrent, c.MaxPerNetwork),
		serving:    door.NewGate(c.MaxConcurrent, 0),
		keys:       door.NewGate(keySlots, keySlots/4),
		batches:    door.NewGate(batchSlots, 0),
		statements: door.NewGate(keySlots, keySlots/4), // short bodies that are read before the sender is known
		peers:      door.NewGate(peerSlots, 0),
		relays:     door.NewGate(4*c.MaxConcurrent, 0), // each sends for many networks, which it bounds
	}
}

// through serves a request if there is a place for it behind a gate.
func (s *Server) through(g *door.Gate, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		network := s.network(r)
		if !g.Enter(network) {
			problems.busy.Write(w, 0)
			return
		}
		defer g.Leave(network)
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
	return door.Paced(w, r.Body, s.pace.pause, time.Now().Add(s.pace.all))
}

// pacing lets a handler read a long body whose parts arrive in time, and for as long
// as the handler allows.
func (s *Server) pacing(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = door.Paced(w, r.Body, s.pace.pause, time.Now().Add(uploadExchange))
		next(w, r)
	}
}

// pace is how fast bodies have to arrive.
type pace struct{ pause, all time.Duration }
