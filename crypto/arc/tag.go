package arc

import "fmt"

// Tag returns the tag that presentations of the credential have in a context with a
// nonce below its limit: T/(m1 + nonce). It runs in constant time in credential and nonce.
func (cr *Credential) Tag(c *Context, nonce uint32) (Tag, error) {
	if nonce >= c.limit {
		return Tag{}, fmt.Errorf("arc: %w: nonce %d of a presentation limit of %d", ErrLimit, nonce, c.limit)
	}
	inverse := order.inverse(order.add(cr.m1, small(uint64(nonce))))
	e, err := newElement(c.t.times(&inverse))
	if err != nil {
		return Tag{}, fmt.Errorf("arc: tag %w", err)
	}
	return Tag(e.enc), nil
}
