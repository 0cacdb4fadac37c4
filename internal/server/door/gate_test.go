package door

import (
	"net/netip"
	"testing"
)

// TestGate: places in all and of one network are bounded, and nothing is remembered
// of networks that hold none.
func TestGate(t *testing.T) {
	g := NewGate(4, 2)
	a, b, c := Network("192.0.2.1"), Network("2001:db8::1"), netip.Prefix{}
	for i, step := range []struct {
		network netip.Prefix
		want    bool
	}{{a, true}, {a, true}, {a, false}, {b, true}, {c, true}, {c, false}, {b, false}} {
		if got := g.Enter(step.network); got != step.want {
			t.Errorf("step %d: %v, want %v", i, got, step.want)
		}
	}
	for _, n := range []netip.Prefix{a, a, b, c} {
		g.Leave(n)
	}
	if g.held != 0 || len(g.by) != 0 {
		t.Errorf("%d places and %d networks are left", g.held, len(g.by))
	}
}
