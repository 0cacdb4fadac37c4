package received

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
)

// A Recorder keeps what the connections of one party receive. It is safe for concurrent
// use.
type Recorder struct {
	mu      sync.Mutex
	streams []*stream
}

// A stream is what one connection has received.
type stream struct {
	peer     netip.Addr // of the other end
	accepted bool       // by a listener; the party has opened the others itself

	mu    sync.Mutex
	bytes []byte
}

// Listener returns a listener whose connections are recorded.
func (r *Recorder) Listener(l net.Listener) net.Listener { return &listener{l, r} }

// A Dialer opens a connection, as [net.Dialer.DialContext] does.
type Dialer func(ctx context.Context, network, address string) (net.Conn, error)

// Dial returns a dialer whose connections are recorded.
func (r *Recorder) Dial(dial Dialer) Dialer {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return r.conn(c, false), nil
	}
}

type listener struct {
	net.Listener
	recorder *Recorder
}

// Accept implements [net.Listener].
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.recorder.conn(c, true), nil
}

func (r *Recorder) conn(c net.Conn, accepted bool) net.Conn {
	s := &stream{peer: addrOf(c.RemoteAddr()), accepted: accepted}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.streams = append(r.streams, s)
	return &conn{c, s}
}

func addrOf(a net.Addr) netip.Addr {
	if a == nil {
		return netip.Addr{}
	}
	p, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return p.Addr().Unmap()
}

type conn struct {
	net.Conn
	stream *stream
}

// Read implements [net.Conn].
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.stream.mu.Lock()
	defer c.stream.mu.Unlock()
	c.stream.bytes = append(c.stream.bytes, b[:n]...)
	return n, err
}

// all returns what was received so far.
func (r *Recorder) all() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]received, len(r.streams))
	for i, s := range r.streams {
		s.mu.Lock()
		all[i] = received{s.peer, s.accepted, slices.Clip(s.bytes)}
		s.mu.Unlock()
	}
	return all
}

// A received is a stream as it was at one time.
type received struct {
	peer     netip.Addr
	accepted bool
	bytes    []byte
}

// A message is a request, or the answer to one.
type message struct {
	path  string // with the method before it; empty of an answer
	body  []byte
	parts bool // the body came in chunks
}

// messages reads the HTTP messages of a stream. What does not end is left out: it is in
// the stream's bytes.
func (s *received) messages() []message {
	var all []message
	in := bufio.NewReader(bytes.NewReader(s.bytes))
	for {
		m, err := s.next(in)
		if err != nil {
			return all
		}
		all = append(all, m)
	}
}

func (s *received) next(in *bufio.Reader) (message, error) {
	if !s.accepted {
		a, err := http.ReadResponse(in, nil)
		if err != nil {
			return message{}, err
		}
		defer a.Body.Close()
		b, err := io.ReadAll(a.Body)
		return message{body: b, parts: len(a.TransferEncoding) > 0}, err
	}
	r, err := http.ReadRequest(in)
	if err != nil {
		return message{}, err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	return message{r.Method + " " + r.URL.Path, b, len(r.TransferEncoding) > 0}, err
}
