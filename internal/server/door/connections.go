package door

import (
	"container/list"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"
)

// Connections bounds how many connections a listener holds, in all and from one
// network: each has a descriptor and buffers, also while nothing is asked. Where there
// are too many, the one that has been idle for longest makes room, of the same network
// or of all; a new one is closed if none is idle. What is known of networks is in
// memory only, and gone with the last connection.
type Connections struct {
	most, each int // in all and of one network; each 0 is no bound
	network    func(address string) netip.Prefix
	closed     func() // called for each connection that is closed

	mu       sync.Mutex
	held     map[net.Conn]*connection
	networks map[netip.Prefix]*sharing
	idle     list.List // of *connection, that idle for longest first
}

// A connection is one that is held.
type connection struct {
	conn    net.Conn
	network netip.Prefix
	at      *list.Element // in Connections.idle; nil while it is used
	atOwn   *list.Element // in the idle ones of its network
}

// sharing is what one network holds.
type sharing struct {
	held int
	idle list.List // of *connection, that idle for longest first
}

// NewConnections returns a bound of so many connections in all and of one network; each 0
// is no bound. network is that of an address, and closed is called for each connection
// that is closed because there are too many.
func NewConnections(most, each int, network func(string) netip.Prefix, closed func()) *Connections {
	return &Connections{
		most: most, each: each, network: network, closed: closed,
		held: map[net.Conn]*connection{}, networks: map[netip.Prefix]*sharing{},
	}
}

// State is called by net/http, as [http.Server.ConnState], when a connection changes its state.
func (c *Connections) State(conn net.Conn, s http.ConnState) {
	var surplus []net.Conn
	c.mu.Lock()
	switch s {
	case http.StateNew:
		surplus = c.enter(conn)
	case http.StateActive:
		c.use(c.held[conn])
	case http.StateIdle:
		c.rest(c.held[conn])
	case http.StateClosed, http.StateHijacked:
		c.leave(conn)
	}
	c.mu.Unlock()
	for _, conn := range surplus {
		c.closed()
		if t, ok := conn.(*tls.Conn); ok { // without the alert, for which the peer could let us wait
			conn = t.NetConn()
		}
		_ = conn.Close() // net/http notices, and calls State
	}
}

// enter adds a connection and returns those to close. One that has not asked anything
// yet is as idle as one that asks nothing any more.
func (c *Connections) enter(conn net.Conn) []net.Conn {
	n := &connection{conn: conn}
	if c.each > 0 {
		n.network = c.network(conn.RemoteAddr().String())
	}
	c.held[conn] = n
	var surplus []net.Conn
	if n.network.IsValid() {
		own := c.networks[n.network]
		if own == nil {
			own = &sharing{}
			c.networks[n.network] = own
		}
		own.held++
		if own.held > c.each {
			surplus = append(surplus, c.oldest(&own.idle, conn))
		}
	}
	if c.held[conn] != nil && len(c.held) > c.most {
		surplus = append(surplus, c.oldest(&c.idle, conn))
	}
	if c.held[conn] != nil {
		c.rest(n)
	}
	return surplus
}

// oldest takes the connection out that has been idle for longest, or else the new one.
func (c *Connections) oldest(idle *list.List, conn net.Conn) net.Conn {
	if first := idle.Front(); first != nil {
		conn = first.Value.(*connection).conn
	}
	c.leave(conn)
	return conn
}

func (c *Connections) rest(n *connection) {
	if n == nil || n.at != nil {
		return
	}
	n.at = c.idle.PushBack(n)
	if own := c.networks[n.network]; own != nil {
		n.atOwn = own.idle.PushBack(n)
	}
}

func (c *Connections) use(n *connection) {
	if n == nil || n.at == nil {
		return
	}
	c.idle.Remove(n.at)
	if own := c.networks[n.network]; own != nil {
		own.idle.Remove(n.atOwn)
	}
	n.at, n.atOwn = nil, nil
}

func (c *Connections) leave(conn net.Conn) {
	n := c.held[conn]
	if n == nil {
		return
	}
	c.use(n)
	delete(c.held, conn)
	own := c.networks[n.network]
	if own == nil {
		return
	}
	if own.held--; own.held == 0 {
		delete(c.networks, n.network)
	}
}
