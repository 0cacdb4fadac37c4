package demo

import (
	"net"
	"net/http"
	"net/netip"
)

// addresses returns an address of the loopback network for each device, all of the same
// length as text and each in a /24 of its own; none where the system has one loopback
// address only.
func addresses(devices int) []netip.Addr {
	const first, each = 100, 150 // three digits
	address := func(i int) netip.Addr {
		return netip.AddrFrom4([4]byte{127, byte(first + i%each), byte(first + i/each), 1})
	}
	if devices > each*each {
		return nil
	}
	l, err := net.Listen("tcp", netip.AddrPortFrom(address(0), 0).String())
	if err != nil {
		return nil
	}
	_ = l.Close() // nothing was accepted
	all := make([]netip.Addr, devices)
	for i := range all {
		all[i] = address(i)
	}
	return all
}

// transportFrom connects from an address; from any if it is not valid.
func transportFrom(a netip.Addr) *http.Transport {
	var d net.Dialer
	if a.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(a, 0))
	}
	return &http.Transport{DialContext: d.DialContext}
}
