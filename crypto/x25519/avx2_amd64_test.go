//go:build !purego

package x25519

import (
	"math/big"
	"testing"
)

// TestConstants checks that what the kernel adds to a product or a square before it returns
// it is a multiple of the prime, without what the bits of its doubles have added.
func TestConstants(t *testing.T) {
	const out = 36 // K_OUT_M / 32
	for set, halves := range [][2 * limbs]uint64{{1, 2, 3, 4, 5, 4, 3, 2, 1, 0}, {1, 1, 2, 2, 3, 2, 2, 1, 1, 0}} {
		bias := rawBias(halves)
		var sum big.Int
		for i := range limbs {
			v := avx2Constants[out+limbs*set+i]
			if v != [halfLanes]uint64{v[0], v[0], v[0], v[0]} {
				t.Errorf("set %d: the constant of limb %d differs by lane", set, i)
			}
			limb := new(big.Int).SetUint64(v[0] + bias[i])
			sum.Add(&sum, limb.Lsh(limb, limbBits*uint(i)))
		}
		if sum.Sign() == 0 || sum.Mod(&sum, prime()).Sign() != 0 {
			t.Errorf("set %d: %v is left", set, &sum)
		}
	}
}
