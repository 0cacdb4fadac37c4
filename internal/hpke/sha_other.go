//go:build !amd64 || purego

package hpke

func supportsSHA() bool { return false }

// compressSHA is never called: supportsSHA reports that there are no such
// instructions.
func compressSHA(_ *[2][8]uint32, _, _ *[64]byte) {}
