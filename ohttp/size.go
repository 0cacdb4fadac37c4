package ohttp

import (
	"fmt"
	"slices"
)

// A Size is one of the few lengths that messages have: requests are padded to
// Request bytes of binary HTTP, and their answers to Answer bytes, whatever
// happens. So an observer learns nothing from the length of an answer that it did
// not learn from that of the request.
type Size struct{ Request, Answer int }

// Sizes are those that client, relay and gateway have agreed on, ordered by
// Request. Nil means that nothing is padded, for gateways of others.
type Sizes []Size

const (
	maxSizes     = 16
	maxMessage   = 16 << 20
	minAnswer    = 512 // a padded problem document fits
	answerGrowth = 16 + tagSize
)

// DefaultSizes returns sizes for Shoal's roles: small and large reports, whose
// answers are short, and one for what is fetched.
func DefaultSizes() Sizes {
	return Sizes{{1 << 10, 1 << 10}, {3 << 10, 8 << 10}, {4 << 10, 1 << 10}, {16 << 10, 1 << 10}, {64 << 10, 1 << 10}, {256 << 10, 1 << 10}, {1 << 20, 1 << 10}}
}

// requestGrowth returns by how much encapsulation lengthens a request.
func requestGrowth(kem KEM) int { return headerSize + kem.encSize() + tagSize }

// sealedKEMs are those whose requests a relay forwards.
var sealedKEMs = []KEM{X25519, XWing}

func (s Sizes) check() error {
	if len(s) > maxSizes {
		return fmt.Errorf("%d message sizes, limit %d", len(s), maxSizes)
	}
	sealed := map[int]bool{}
	for i, size := range s {
		if size.Request <= 0 || size.Request > maxMessage || size.Answer < minAnswer || size.Answer > maxMessage {
			return fmt.Errorf("message size %+v: want requests of 1 to %d bytes and answers of %d to %d", size, maxMessage, minAnswer, maxMessage)
		}
		if i > 0 && size.Request <= s[i-1].Request {
			return fmt.Errorf("message sizes: requests of %d bytes after %d, want increasing order", size.Request, s[i-1].Request)
		}
		for _, kem := range sealedKEMs {
			n := size.Request + requestGrowth(kem)
			if sealed[n] {
				return fmt.Errorf("message size %+v: encapsulated for %v it has %d bytes, as another size has", size, kem, n)
			}
			sealed[n] = true
		}
	}
	return nil
}

// fit returns the smallest size for a request of n bytes whose answer has up to
// answer bytes.
func (s Sizes) fit(n, answer int) (Size, error) {
	for _, size := range s {
		if n <= size.Request && answer <= size.Answer {
			return size, nil
		}
	}
	return Size{}, fmt.Errorf("no message size for a request of %d bytes with an answer of %d", n, answer)
}

// ofRequest returns the size of a padded request of n bytes.
func (s Sizes) ofRequest(n int) (Size, bool) {
	i := slices.IndexFunc(s, func(size Size) bool { return size.Request == n })
	if i < 0 {
		return s.smallestAnswer(), false
	}
	return s[i], true
}

// ofSealed returns the size of an encapsulated request of n bytes.
func (s Sizes) ofSealed(n int) (Size, bool) {
	for _, kem := range sealedKEMs {
		if size, ok := s.ofRequest(n - requestGrowth(kem)); ok {
			return size, true
		}
	}
	return s.smallestAnswer(), false
}

func (s Sizes) smallestAnswer() Size {
	if len(s) == 0 {
		return Size{}
	}
	return slices.MinFunc(s, func(a, b Size) int { return a.Answer - b.Answer })
}

// maxSealed returns the length of the longest encapsulated request.
func (s Sizes) maxSealed() int {
	return s[len(s)-1].Request + requestGrowth(XWing)
}
