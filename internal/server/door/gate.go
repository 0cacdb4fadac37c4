package door

import (
	"net/netip"
	"sync"
)

// A Gate bounds how many requests of one kind are served at once, in all and from
// one network, so that one sender cannot take all places. What it knows of networks
// is how many places each holds now; that is in memory only, and gone with the last
// of them.
type Gate struct {
	most, each int // places in all, and of one network; each 0 is no bound

	mu   sync.Mutex
	held int
	by   map[netip.Prefix]int
}

// NewGate returns a gate with so many places in all and of one network; each 0 is no
// bound.
func NewGate(most, each int) *Gate {
	return &Gate{most: most, each: each, by: map[netip.Prefix]int{}}
}

// Enter takes a place, and returns false if all are taken. Of requests without a
// network only the number in all is bounded.
func (g *Gate) Enter(network netip.Prefix) bool {
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

// Leave gives a place back.
func (g *Gate) Leave(network netip.Prefix) {
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

// Places returns how many places are taken.
func (g *Gate) Places() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.held
}

// Network returns the network of the address of a host: the /24 of an IPv4 address, the
// /56 of an IPv6 address. It is not valid of what is no address, and of the machine's own
// addresses, behind which senders cannot be distinguished.
func Network(host string) netip.Prefix {
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
