package simulation

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
)

// errNetwork is what a sender sees of a request that was lost, or whose answer was.
var errNetwork = errors.New("connection lost")

// A packet is a request as it was sent.
type packet struct {
	method, url string
	header      http.Header
	body        []byte
}

// request is the packet as the server behind an endpoint sees it.
func (p *packet) request() *http.Request {
	r := httptest.NewRequest(p.method, p.url, bytes.NewReader(p.body))
	r.URL.Path = strings.TrimPrefix(r.URL.Path, "/dap")
	r.Header = p.header.Clone()
	return r
}

func (p *packet) String() string { return p.method + " " + p.url }

// An answer is a server's response to a packet.
type answer struct {
	status int
	header http.Header
	body   []byte
	from   string // the node
}

// A network carries requests to the two aggregators, not always well.
type network struct {
	world   *world
	delayed []*packet // sent, and not delivered yet
	sent    []*packet // every packet that was delivered, for replays
}

// A wire is the way of one process into the network.
type wire struct {
	*network
	from node
}

// RoundTrip implements http.RoundTripper.
func (n *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	p := &packet{method: r.Method, url: r.URL.String(), header: r.Header.Clone()}
	if r.Body != nil {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		p.body = b
	}
	a, err := n.send(p)
	if w := n.world; !w.calm() && w.chance(w.setting.Slow) {
		w.slow(func() { w.others(n.from) })
	}
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: a.status, Status: http.StatusText(a.status), Header: a.header, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(bytes.NewReader(a.body)), ContentLength: int64(len(a.body)), Request: r,
	}, nil
}

// send delivers a packet as often as the faults have it, and returns what the
// sender sees.
func (n *network) send(p *packet) (*answer, error) {
	w := n.world
	if w.healed {
		return n.deliver(p)
	}
	switch {
	case w.chance(w.setting.LoseRequest):
		w.note("  lost: %v", p)
		return nil, errNetwork
	case w.chance(w.setting.Delay):
		w.note("  delayed: %v", p)
		n.delayed = append(n.delayed, p)
		return nil, errNetwork
	case w.chance(w.setting.Double):
		w.note("  doubled: %v", p)
		if _, err := n.deliver(p); err != nil {
			return nil, err
		}
	}
	a, err := n.deliver(p)
	if err == nil && w.chance(w.setting.LoseAnswer) {
		w.note("  answer lost: %v", p)
		return nil, errNetwork
	}
	return a, err
}

// deliver hands a packet to the party that it is for.
func (n *network) deliver(p *packet) (*answer, error) {
	node := n.world.nodeOf(p.url)
	if node == nil {
		return nil, fmt.Errorf("no such host: %s", p.url)
	}
	if a, away := n.world.absent.answer(n.world, p); away {
		if a == nil {
			return nil, errNetwork
		}
		return a, nil
	}
	if node.down() {
		return nil, errNetwork
	}
	recorder := httptest.NewRecorder()
	node.handler().ServeHTTP(recorder, p.request())
	if node.down() { // it crashed while it served
		return nil, errNetwork
	}
	n.sent = append(n.sent, p)
	res := recorder.Result()
	a := &answer{res.StatusCode, res.Header, recorder.Body.Bytes(), node.id()}
	n.world.checkRepeat(p, a)
	return a, nil
}

// late delivers one of the delayed packets, out of order; its answer is dropped.
func (n *network) late() {
	if len(n.delayed) == 0 {
		return
	}
	i := n.world.random.IntN(len(n.delayed))
	p := n.delayed[i]
	n.delayed = append(n.delayed[:i], n.delayed[i+1:]...)
	n.world.note("  late: %v", p)
	_, _ = n.deliver(p)
}
