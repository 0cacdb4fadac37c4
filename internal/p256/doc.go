// Package p256 is arithmetic of the curve P-256 (FIPS 186-5) for proofs about many
// points: sums of products by public scalars in variable time, products by secret
// scalars in constant time, and encodings that share one inversion.
//
//	u, err := p256.Decode(encoded)                       // *Affine
//	tables := p256.NewTables(p256.WidthOnce, u, v)       // odd multiples, one inversion
//	p256.SumVarTime(&sum, []p256.Term{{&tables[0], &a}, {&tables[1], &b}})
//	points := p256.Normalize(sum)                        // back to affine coordinates
//
// Scalars are 32 bytes, big-endian, below the group's order.
//
// # Security
//
// Functions with VarTime in their names take a time that depends on the scalars, which
// must be public. All others run in constant time in scalars and coordinates, except
// where a sum meets a point that is equal or opposite to what it adds, or the identity.
// Such a sum is right, and its time differs. With secret scalars that are
// uniformly random this has a probability below 2^-240; [Product.Sum] keeps to it where
// scalars are not random or points are chosen by an adversary, by an offset.
//
// # Speed and libraries
//
// The standard library does not export its arithmetic, and filippo.io/nistec, which does,
// has complete formulas in projective coordinates without access to coordinates:
// no mixed additions, no shared inversions. On amd64 with ADX and BMI2, found at run time, points are
// doubled and added in assembly. Elsewhere the arithmetic is Go, and products by
// secret scalars are nistec's, which has assembly for more processors.
package p256
