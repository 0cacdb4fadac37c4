package discovery

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/net/idna"
)

// parseHost is the host parser of the Standard for special schemes. It returns
// the serialised host, and the address if the host is one.
func parseHost(in string) (string, netip.Addr, error) {
	if in == "" {
		return "", netip.Addr{}, errors.New("no host")
	}
	if in[0] == '[' {
		return parseIPv6(in)
	}
	name, err := domainToASCII(decode(in))
	if err != nil {
		return "", netip.Addr{}, err
	}
	if endsInNumber(name) {
		addr, err := parseIPv4(name)
		if err != nil {
			return "", netip.Addr{}, err
		}
		return addr.String(), addr, nil
	}
	return name, netip.Addr{}, nil
}

// maxInternational bounds the bytes of hosts that are not plain ASCII. Browsers
// read longer ones, but cannot reach them.
const maxInternational = 2048

// forbidden lists the code points that no domain may hold, beside controls.
const forbidden = " #/:<>?@[\\]^|%\x7f"

func domainToASCII(name string) (string, error) {
	ascii := strings.ToLower(name)
	// A name of ASCII is read as it is, invalid Punycode included, as the
	// Standard has it since 2026.
	if !isASCII(name) {
		// Punycode takes time quadratic in its input; no name server knows names
		// of more than 253 bytes.
		if len(name) > maxInternational {
			return "", errors.New("the host is too long for an international domain name")
		}
		var err error
		if ascii, err = lookup().ToASCII(newerMappings(name)); err != nil {
			return "", errors.New("the host is not a valid international domain name")
		}
	}
	if ascii == "" {
		return "", errors.New("the host is empty once it is normalised")
	}
	for i := range len(ascii) {
		if ascii[i] < 0x20 || strings.IndexByte(forbidden, ascii[i]) >= 0 {
			return "", errors.New("the host holds a character that no host may hold")
		}
	}
	return ascii, nil
}

// newerMappings maps the letters that UTS 46 maps since Unicode 15.1 and that
// the tables of package idna refuse, or map to another host (ẞ to ss).
func newerMappings(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == 'ẞ':
			return 'ß'
		case r == '\u04c0', r >= '\u10a0' && r <= '\u10c5', r == '\u2132', r == '\u2183':
			return unicode.ToLower(r)
		case r == '\u115f', r == '\u1160', r == '\u17b4', r == '\u17b5', r == '\u180e', r >= '\u206a' && r <= '\u206f', r == '\u3164', r == '\uffa0':
			return -1
		}
		const old, corrected = "\U0002f868\U0002f874\U0002f91f\U0002f95f\U0002f9bf", "\u36fc\u5f53\U000243ab\u7aee\u45d7"
		if at := strings.IndexRune(old, r); at >= 0 {
			return []rune(corrected)[at/4]
		}
		return r
	}, name)
}

// lookup is UTS 46 as the Standard wants it: nontransitional, bidi and joiner
// rules checked, hyphens and lengths not.
func lookup() *idna.Profile {
	return idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false),
		idna.CheckHyphens(false), idna.CheckJoiners(true), idna.BidiRule(), idna.VerifyDNSLength(false))
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// endsInNumber reports whether a host must be read as an IPv4 address.
func endsInNumber(name string) bool {
	name = strings.TrimSuffix(name, ".")
	last := name[strings.LastIndexByte(name, '.')+1:]
	if last != "" && strings.Trim(last, "0123456789") == "" {
		return true
	}
	_, err := ipv4Number(last)
	return err == nil
}

// parseIPv4 reads all spellings of an IPv4 address: one to four numbers, each
// decimal, octal or hexadecimal, the last of which fills what is left.
func parseIPv4(name string) (netip.Addr, error) {
	parts := strings.Split(strings.TrimSuffix(name, "."), ".")
	bad := errors.New("the host ends in a number but is no IPv4 address")
	if len(parts) > 4 {
		return netip.Addr{}, bad
	}
	var sum uint64
	for i, part := range parts {
		n, err := ipv4Number(part)
		limit := uint64(256)
		if i == len(parts)-1 {
			limit = 1 << (8 * (5 - len(parts)))
		}
		if err != nil || n >= limit {
			return netip.Addr{}, bad
		}
		if i == len(parts)-1 {
			sum += n
			break
		}
		sum += n << (8 * (3 - i))
	}
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(sum))
	return netip.AddrFrom4(b), nil
}

func ipv4Number(s string) (uint64, error) {
	if s == "" {
		return 0, errors.New("empty")
	}
	base := 10
	switch {
	case len(s) >= 2 && s[0] == '0' && s[1]|0x20 == 'x':
		base, s = 16, s[2:]
	case len(s) >= 2 && s[0] == '0':
		base, s = 8, s[1:]
	}
	if s == "" {
		return 0, nil
	}
	// ParseUint may find a number too large before it finds a sign that is no digit.
	for i := range len(s) {
		if d := hexDigit(s[i]); d < 0 || d >= base {
			return 0, errors.New("not a number")
		}
	}
	n, err := strconv.ParseUint(s, base, 64)
	if errors.Is(err, strconv.ErrRange) {
		return 1 << 63, nil // a number all the same, and too large for any address
	}
	return n, err
}

func parseIPv6(in string) (string, netip.Addr, error) {
	inner, ok := strings.CutSuffix(in[1:], "]")
	addr, err := netip.ParseAddr(inner)
	if !ok || err != nil || !addr.Is6() || addr.Zone() != "" {
		return "", netip.Addr{}, errors.New("the host in brackets is no IPv6 address")
	}
	return "[" + serialiseIPv6(addr) + "]", addr, nil
}

// serialiseIPv6 writes hexadecimal groups only: browsers write ::ffff:7f00:1
// where netip writes ::ffff:127.0.0.1.
func serialiseIPv6(addr netip.Addr) string {
	b := addr.As16()
	var groups [8]uint16
	for i := range groups {
		groups[i] = binary.BigEndian.Uint16(b[2*i:])
	}
	start, length := -8, 1 // the longest run of two or more zero groups
	for i := 0; i < 8; i++ {
		j := i
		for j < 8 && groups[j] == 0 {
			j++
		}
		if j-i > length {
			start, length = i, j-i
		}
		i = max(i, j-1)
	}
	var s strings.Builder
	for i := 0; i < 8; i++ {
		if i == start {
			s.WriteString("::")
			i += length - 1
			continue
		}
		if i > 0 && i != start+length {
			s.WriteByte(':')
		}
		s.WriteString(strconv.FormatUint(uint64(groups[i]), 16))
	}
	return s.String()
}
