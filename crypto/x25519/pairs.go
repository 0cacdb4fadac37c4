package x25519

// MultiplyPairs returns the product of each private key, which need not be clamped, and the
// point at the same place; there are as many points as private keys. With AVX2 four pairs
// are multiplied at once, and it is at its best with whole multiples of 64; without, it is
// [Multiply] of each pair.
func MultiplyPairs(privates, points [][Size]byte) []Shared {
	return multiplyPairs(pairKernel(), privates, points)
}

// Agree returns for each private key, which need not be clamped, its public key, and what
// it agrees on with the point at the same place: for private keys that are used once. There
// are as many points as private keys. Two pairs take little longer than one.
func Agree(privates, points [][Size]byte) (publics [][Size]byte, shared []Shared) {
	return agree(pairKernel(), privates, points)
}

// pairKernel returns the kernel that has a scalar in each lane, kernelNone if this machine
// cannot run it.
func pairKernel() kernel {
	if supportsAVX2() {
		return kernelAVX2
	}
	return kernelNone
}

func multiplyPairs(k kernel, privates, points [][Size]byte) []Shared {
	shared := make([]Shared, len(privates))
	if k == kernelNone {
		for i := range shared {
			shared[i] = Multiply(&privates[i], &points[i])
		}
		return shared
	}
	for first := 0; first < len(shared); first += blockGroups * lanes {
		end := min(len(shared), first+blockGroups*lanes)
		var scalars [blockGroups]swaps
		for i := first; i < end; i++ {
			scalars[(i-first)/lanes].set(i%lanes, privates[i])
		}
		k.multiplyBlock(shared[first:end], points[first:end], scalars[:])
	}
	return shared
}

func agree(k kernel, privates, points [][Size]byte) (publics [][Size]byte, shared []Shared) {
	publics = make([][Size]byte, len(privates))
	if k == kernelNone {
		for i := range publics {
			publics[i] = Public(&privates[i])
		}
		return publics, multiplyPairs(k, privates, points)
	}
	// In a lane the base point costs less than by its table.
	n := len(privates)
	scalars, us := make([][Size]byte, 2*n), make([][Size]byte, 2*n)
	for i := range privates {
		scalars[i], us[i] = privates[i], points[i]
		scalars[n+i], us[n+i] = privates[i], basePoint()
	}
	shared = multiplyPairs(k, scalars, us)
	for i := range publics {
		publics[i] = shared[n+i].secret
	}
	return publics, shared[:n:n]
}
