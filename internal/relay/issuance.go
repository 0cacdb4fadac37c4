package relay

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"io"
	"net/netip"
	"sync"

	"github.com/shoal-project/shoal/internal/clock"
)

// maxNetworks bounds the networks that are counted in a day. More are refused.
const maxNetworks = 1 << 20

// A quota bounds how many requests of a kind come from one network in a day. What it
// keeps is a count under the HMAC of the network with a key that is drawn each day and
// is in memory alone.
type quota struct {
	most  int
	clock clock.Clock
	rand  io.Reader

	mu  sync.Mutex
	day int64
	key [32]byte
	by  map[[16]byte]int
}

func newQuota(most int, c clock.Clock, rand io.Reader) *quota {
	return &quota{most: most, clock: c, rand: rand, day: -1}
}

// take counts a request from an address, and returns false beyond the bound.
func (q *quota) take(from netip.Addr) (bool, error) {
	network, err := networkOf(from)
	if err != nil {
		return false, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if day := q.clock.Now().Unix() / (24 * 60 * 60); day != q.day {
		if _, err := io.ReadFull(q.rand, q.key[:]); err != nil {
			return false, fmt.Errorf("counting networks: reading randomness: %w", err)
		}
		q.day, q.by = day, map[[16]byte]int{}
	}
	mac := hmac.New(sha256.New, q.key[:])
	mac.Write([]byte(network.String()))
	name := [16]byte(mac.Sum(nil)[:16])
	n, known := q.by[name]
	if n >= q.most || !known && len(q.by) >= maxNetworks {
		return false, nil
	}
	q.by[name] = n + 1
	return true, nil
}

// networkOf returns the /24 of an IPv4 address, the /48 of an IPv6 address.
func networkOf(a netip.Addr) (netip.Prefix, error) {
	a = a.Unmap().WithZone("")
	bits := 48
	if a.Is4() {
		bits = 24
	}
	return a.Prefix(bits)
}
