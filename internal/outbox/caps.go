package outbox

// A charge is what one contribution counts against: a crowd of an (owner,
// metric) in the epoch from start to end.
type charge struct {
	scope, crowd tag
	start, end   millis
}

// millis is a time in milliseconds since the Unix epoch; 0 means none.
type millis int64

func (c charge) overlaps(start, end millis) bool { return c.start < end && start < c.end }

// chargeSize is what a charge counts against Options.MaxBytes.
const chargeSize = 96

// caps remembers contributions for as long as a cap depends on them.
type caps struct {
	charges map[tag]map[charge]uint32 // by scope
	n       int                       // charges in all
	// horizon is the latest end of a forgotten epoch, by scope: what began
	// before it may have contributions that are not known any more.
	horizon map[tag]millis
	frozen  millis // the same for all scopes: when damage was found
	ends    millis // no charge ends earlier
}

func newCaps() caps {
	return caps{charges: map[tag]map[charge]uint32{}, horizon: map[tag]millis{}}
}

// allow judges one more contribution.
func (c *caps) allow(to charge, perEpoch, perCrowd int) Verdict {
	if to.start < c.horizon[to.scope] || c.frozen != 0 && to.start <= c.frozen {
		return CapsUnknown
	}
	epoch, crowd := 0, 0
	for other, n := range c.charges[to.scope] {
		if !other.overlaps(to.start, to.end) {
			continue
		}
		epoch += int(n)
		if other.crowd == to.crowd {
			crowd += int(n)
		}
	}
	if epoch >= perEpoch || crowd >= perCrowd {
		return CapReached
	}
	return Accepted
}

func (c *caps) add(to charge, n uint32) {
	m := c.charges[to.scope]
	if m == nil {
		m = map[charge]uint32{}
		c.charges[to.scope] = m
	}
	if _, known := m[to]; !known {
		c.n++
	}
	m[to] += n
	if c.ends == 0 || to.end < c.ends {
		c.ends = to.end
	}
}

// prune forgets what ended by then and raises the horizons to that.
func (c *caps) prune(by millis) {
	c.ends = 0
	for scope, m := range c.charges {
		for to := range m {
			if to.end > by {
				if c.ends == 0 || to.end < c.ends {
					c.ends = to.end
				}
				continue
			}
			c.raise(scope, to.end)
			delete(m, to)
			c.n--
		}
		if len(m) == 0 {
			delete(c.charges, scope)
		}
	}
}

// prunable reports whether a charge has outlived its epoch.
func (c *caps) prunable(now millis) bool { return c.ends != 0 && c.ends <= now }

func (c *caps) raise(scope tag, at millis) {
	c.horizon[scope] = max(c.horizon[scope], at)
}

func (c *caps) freeze(at millis) { c.frozen = max(c.frozen, at) }
