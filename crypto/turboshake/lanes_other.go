//go:build !amd64 || purego

package turboshake

func supported() level { return scalar }

// permute8 is Keccak-p[1600,12] on eight interleaved states.
func permute8(a *[200]uint64) {
	var s [25]uint64
	for j := range Width {
		for i := range s {
			s[i] = a[8*i+j]
		}
		permute1(&s)
		for i := range s {
			a[8*i+j] = s[i]
		}
	}
}
