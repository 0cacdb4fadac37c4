//go:build !amd64 || purego

package turboshake

func supported() level { return scalar }

// The functions on eight lanes are never called: supported reports that there are
// no vector instructions.

func permute8(_ *[200]uint64) {}

func add8(_ *[200]uint64, _ *[8][]byte, _ int) {}

func extract8(_ *[200]uint64, _ *[8][]byte, _ int) {}
