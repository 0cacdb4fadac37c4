package helper

import (
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/shoal-project/shoal/internal/dap/exchange"
	"github.com/shoal-project/shoal/internal/dap/tasks"
)

// A Pace is how fast the body of a request has to arrive.
type Pace = exchange.Pace

// defaultPace is the pace of [Config] where it is not given.
var defaultPace = Pace{Pause: 5 * time.Second, PerSecond: 64 << 10, Crowded: 1 << 20, Most: 5 * time.Minute}

// bodyStep is by how much the memory of a body grows whose length was not
// announced.
const bodyStep = 1 << 20

// bodies are the requests in memory: those that are read, wait and are handled.
// They are counted by length, as announced or as it grows. A body that is alone is
// admitted with any length.
type bodies struct {
	most    int64 // bytes
	perPeer int   // requests of a peer that are read at once

	mu      sync.Mutex
	bytes   int64
	peers   map[string]*peerBodies
	reading map[*exchange.Arrival]*body
}

// peerBodies are the requests of one leader.
type peerBodies struct {
	requests int // in memory
	reading  int
	bytes    int64
}

// A body is one request.
type body struct {
	all     *bodies
	peer    string
	of      *peerBodies
	held    int64 // bytes; 0 once they are given back
	in      *exchange.Arrival
	dropped bool
}

func newBodies(most int64, perPeer int) *bodies {
	return &bodies{most: most, perPeer: perPeer, peers: make(map[string]*peerBodies), reading: make(map[*exchange.Arrival]*body)}
}

// begin lets a request of a peer be read, or returns why it is not. A peer has half
// of the memory at most. If others have all of it, senders that are behind their
// pace are cut. The body must be ended.
func (b *bodies) begin(peer string, in *exchange.Arrival, length int64) (*body, Refusal) {
	b.mu.Lock()
	defer b.mu.Unlock()
	of := b.peers[peer]
	if of == nil {
		of = &peerBodies{}
	}
	if of.reading >= b.perPeer {
		return nil, PeerLimit
	}
	one := &body{all: b, peer: peer, of: of, in: in}
	if length < 0 {
		length = bodyStep
	}
	if why := b.grow(one, length); why != 0 {
		return nil, why
	}
	b.peers[peer] = of
	of.requests++
	of.reading++
	b.reading[in] = one
	return one, 0
}

// grow gives a body more memory, or returns why it has none. Callers hold mu.
func (b *bodies) grow(one *body, by int64) Refusal {
	if one.of.bytes > one.held && one.of.bytes+by > b.most/2 {
		return PeerLimit
	}
	for b.bytes > one.held && b.bytes+by > b.most {
		slow, found := exchange.DropSlowest(b.reading)
		if !found {
			return QueueFull
		}
		other := b.reading[slow]
		other.dropped = true
		b.stop(other)
		b.free(other)
	}
	b.bytes += by
	one.of.bytes += by
	one.held += by
	return 0
}

// stop records that a body is not read any more. Callers hold mu.
func (b *bodies) stop(one *body) {
	if _, reading := b.reading[one.in]; reading {
		delete(b.reading, one.in)
		one.of.reading--
	}
}

// free gives the memory back. Callers hold mu.
func (b *bodies) free(one *body) {
	b.bytes -= one.held
	one.of.bytes -= one.held
	one.held = 0
}

// read records that the body has been read.
func (one *body) read() {
	one.all.mu.Lock()
	defer one.all.mu.Unlock()
	one.all.stop(one)
}

// end forgets the request.
func (one *body) end() {
	one.all.mu.Lock()
	defer one.all.mu.Unlock()
	one.all.stop(one)
	one.all.free(one)
	if one.of.requests--; one.of.requests == 0 {
		delete(one.all.peers, one.peer)
	}
}

// beginBody lets a request be read: with a bound on how many and how much of its
// leader's are, and at a pace. The memory counts until the body is ended.
func (h *Helper) beginBody(w http.ResponseWriter, r *http.Request, s *tasks.Serving) (*body, error) {
	task := s.Task.ID()
	one, why := h.bodies.begin(peerOf(s), exchange.Arrive(w, r, h.config.Clock, h.config.Pace), r.ContentLength)
	if why != 0 {
		h.config.Metrics.Refused(&task, why)
		return nil, errBusy
	}
	return one, nil
}

// meter returns in, whose bytes count against the memory as far as they were not
// announced.
func (one *body) meter(in io.Reader) io.Reader { return &metered{in: in, body: one} }

type metered struct {
	in   io.Reader
	body *body
	got  int64
}

func (m *metered) Read(p []byte) (int, error) {
	n, err := m.in.Read(p)
	m.got += int64(n)
	if n > 0 && m.body.reserve(m.got) != 0 {
		return n, errBusy
	}
	return n, err
}

// reserve makes sure that the memory for so many bytes counts.
func (one *body) reserve(bytes int64) Refusal {
	one.all.mu.Lock()
	defer one.all.mu.Unlock()
	if one.dropped || bytes <= one.held {
		return 0 // a sender that is cut notices by its connection
	}
	return one.all.grow(one, max(bodyStep, bytes-one.held))
}
