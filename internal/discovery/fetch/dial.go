package fetch

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"

	"github.com/shoal-project/shoal/internal/discovery"
)

// dial connects to "host:port", to addresses that may be connected to only.
func (f *Fetcher) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := f.connect(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if err := f.permit(c.RemoteAddr().String()); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (f *Fetcher) connect(ctx context.Context, network, address string) (net.Conn, error) {
	if f.options.Dial != nil {
		return f.options.Dial(ctx, network, address)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	addrs, err := f.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{Control: func(_, address string, _ syscall.RawConn) error { return f.permit(address) }}
	var failures []error
	for _, a := range addrs {
		c, err := d.DialContext(ctx, network, net.JoinHostPort(a.String(), port))
		if err == nil {
			return c, nil
		}
		failures = append(failures, err)
	}
	return nil, errors.Join(failures...)
}

// lookup returns the addresses of a name, all of which must be permitted: one
// that is not shows that the name belongs to a private network too.
func (f *Fetcher) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, f.allowed(a)
	}
	// The dot keeps the search list of the local network out.
	addrs, err := f.options.Resolver.LookupNetIP(ctx, "ip", strings.TrimSuffix(host, ".")+".")
	if err != nil {
		return nil, err
	}
	for _, a := range addrs {
		if err := f.allowed(a); err != nil {
			return nil, err
		}
	}
	if len(addrs) == 0 {
		return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
	}
	return addrs[:min(len(addrs), maxAddresses)], nil
}

// permit checks the address of a connection.
func (f *Fetcher) permit(address string) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return private("not an IP address")
	}
	return f.allowed(at.Addr())
}

func (f *Fetcher) allowed(a netip.Addr) error {
	if discovery.PublicAddr(a) || f.options.Allow != nil && f.options.Allow(a.Unmap()) {
		return nil
	}
	return private("an address that is not on the public Internet")
}
