package discovery

import (
	"encoding/binary"
	"net/netip"
)

// special lists the address blocks of the IANA special-purpose registries, of
// multicast and of what is reserved, where no public web site is: RFC 6890 and
// its successors, both registries as of 2025. Blocks that the registries call
// globally reachable are listed where no web site answers there (AS112, AMT,
// relays).
func special() []netip.Prefix {
	var all []netip.Prefix
	for _, s := range []string{
		"0.0.0.0/8",         // this network, RFC 791
		"10.0.0.0/8",        // private use, RFC 1918
		"100.64.0.0/10",     // shared address space, RFC 6598
		"127.0.0.0/8",       // loopback, RFC 1122
		"169.254.0.0/16",    // link local, RFC 3927
		"172.16.0.0/12",     // private use, RFC 1918
		"192.0.0.0/24",      // IETF protocol assignments, RFC 6890
		"192.0.2.0/24",      // documentation, RFC 5737
		"192.31.196.0/24",   // AS112, RFC 7535
		"192.52.193.0/24",   // AMT, RFC 7450
		"192.88.99.0/24",    // 6to4 relay anycast, RFC 7526
		"192.168.0.0/16",    // private use, RFC 1918
		"192.175.48.0/24",   // AS112, RFC 7534
		"198.18.0.0/15",     // benchmarking, RFC 2544
		"198.51.100.0/24",   // documentation, RFC 5737
		"203.0.113.0/24",    // documentation, RFC 5737
		"224.0.0.0/4",       // multicast, RFC 5771
		"240.0.0.0/4",       // reserved, RFC 1112, with the broadcast address
		"2001::/23",         // IETF protocol assignments: Teredo, ORCHID, benchmarking, ..., RFC 2928
		"2001:db8::/32",     // documentation, RFC 3849
		"2002::/16",         // 6to4, RFC 3056
		"2620:4f:8000::/48", // AS112, RFC 7534
		"3fff::/20",         // documentation, RFC 9637
	} {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

// PublicAddr reports whether a web site that anybody can reach may be at an
// address: it is a unicast address of the public Internet. IPv4 addresses
// inside of IPv6 (mapped, and the well-known prefix of NAT64) count as that IPv4
// address; 6to4 and Teredo are not public, nor is an address with a zone.
func PublicAddr(a netip.Addr) bool {
	if !a.IsValid() || a.Zone() != "" {
		return false
	}
	a = a.Unmap()
	if a.Is6() {
		if netip.PrefixFrom(nat64(), 96).Contains(a) {
			b := a.As16()
			return PublicAddr(netip.AddrFrom4([4]byte(b[12:])))
		}
		// All else that is public is global unicast: 2000::/3.
		if b := a.As16(); binary.BigEndian.Uint16(b[:])>>13 != 1 {
			return false
		}
	}
	for _, p := range special() {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// nat64 is 64:ff9b::, the well-known prefix of RFC 6052.
func nat64() netip.Addr { return netip.AddrFrom16([16]byte{0x00, 0x64, 0xff, 0x9b}) }
