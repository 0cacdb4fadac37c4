package linkability_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
)

// A network connects clients and servers in memory, and records what servers get and
// answer.
type network struct {
	clock clock.Clock
	seen  func(*exchange)
	wall  bool     // connections are those of the machine
	who   sync.Map // who has a connection, by its client's address

	mu      sync.Mutex
	servers map[string]*listener
	conns   atomic.Uint64
	order   atomic.Int64
}

// An exchange is what went over a connection from one request to the next.
type exchange struct {
	server  string
	person  int // whose connection it is, -1 for an organisation's
	from    string
	conn    uint64
	nth     int // on the connection
	at      time.Time
	order   int
	in, out []byte
}

func newNetwork(c clock.Clock, seen func(*exchange), wall bool) *network {
	return &network{clock: c, seen: seen, wall: wall, servers: map[string]*listener{}}
}

// Listen takes the place of net.Listen.
func (n *network) Listen(_, address string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.wall {
		l, err := net.Listen("tcp", address)
		return &recorded{l, n, address}, err
	}
	if n.servers[address] != nil {
		return nil, fmt.Errorf("%s is in use", address)
	}
	l := &listener{network: n, address: address, arrived: make(chan net.Conn), closed: make(chan struct{})}
	n.servers[address] = l
	return l, nil
}

// dialAs returns what opens connections for a person, or for an organisation.
func (n *network) dialAs(person int) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, address string) (net.Conn, error) {
		if n.wall {
			var d net.Dialer
			c, err := d.DialContext(ctx, "tcp", address)
			if err == nil {
				n.who.Store(c.LocalAddr().String(), person)
			}
			return c, err
		}
		n.mu.Lock()
		l := n.servers[address]
		n.mu.Unlock()
		if l == nil {
			return nil, fmt.Errorf("nothing listens on %s", address)
		}
		near, far := net.Pipe()
		t := &tapped{Conn: far, network: n, next: &exchange{server: address, person: person, conn: n.conns.Add(1)}}
		select {
		case l.arrived <- t:
			return near, nil
		case <-l.closed:
			return nil, fmt.Errorf("%s is closed", address)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

type listener struct {
	network *network
	address string
	arrived chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.arrived:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.network.mu.Lock()
		defer l.network.mu.Unlock()
		delete(l.network.servers, l.address)
	})
	return nil
}

func (l *listener) Addr() net.Addr {
	a, err := net.ResolveTCPAddr("tcp", l.address)
	if err != nil {
		return &net.TCPAddr{}
	}
	return a
}

// A recorded listener is one of the machine, whose connections are recorded.
type recorded struct {
	net.Listener
	network *network
	address string
}

func (l *recorded) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	e := &exchange{server: l.address, person: -1, from: c.RemoteAddr().String(), conn: l.network.conns.Add(1)}
	return &tapped{Conn: c, network: l.network, next: e}, nil
}

// A tapped connection is a server's side of one, recorded.
type tapped struct {
	net.Conn
	network *network
	mu      sync.Mutex
	next    *exchange
}

// RemoteAddr is the same for all: the address is what the trial leaves out.
func (t *tapped) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 4242} }

func (t *tapped) Read(b []byte) (int, error) {
	k, err := t.Conn.Read(b)
	t.mu.Lock()
	defer t.mu.Unlock()
	if k > 0 {
		if len(t.next.out) > 0 {
			t.finish()
		}
		if len(t.next.in) == 0 {
			t.next.at, t.next.order = t.network.clock.Now(), int(t.network.order.Add(1))
		}
		t.next.in = append(t.next.in, b[:k]...)
	}
	return k, err
}

func (t *tapped) Write(b []byte) (int, error) {
	t.mu.Lock()
	t.next.out = append(t.next.out, b...)
	if complete(t.next.out) {
		t.finish()
	}
	t.mu.Unlock()
	return t.Conn.Write(b)
}

func (t *tapped) Close() error {
	t.mu.Lock()
	t.finish()
	t.mu.Unlock()
	return t.Conn.Close()
}

// finish hands over what was recorded, if something was.
func (t *tapped) finish() {
	e := t.next
	if len(e.in) == 0 {
		return
	}
	t.next = &exchange{server: e.server, person: e.person, from: e.from, conn: e.conn, nth: e.nth + 1}
	if who, ok := t.network.who.Load(e.from); ok && e.person < 0 {
		e.person = who.(int)
	}
	t.network.seen(e)
}

// complete reports whether an answer that states its length is whole.
func complete(out []byte) bool {
	head, body, found := bytes.Cut(out, []byte("\r\n\r\n"))
	if !found {
		return false
	}
	_, after, found := bytes.Cut(head, []byte("\r\nContent-Length: "))
	if !found {
		return false
	}
	length, _, _ := bytes.Cut(after, []byte("\r\n"))
	n, err := strconv.Atoi(string(length))
	return err == nil && len(body) >= n
}
