//go:build !purego

package hpke

import "golang.org/x/sys/cpu"

// hasSHA is the bit of the SHA extensions in leaf 7 of CPUID, register EBX.
const hasSHA = 1 << 29

func supportsSHA() bool {
	return cpu.X86.HasSSSE3 && cpu.X86.HasSSE41 && cpuid7()&hasSHA != 0
}

// compressSHA works a block into the state of each lane.
//
//go:noescape
func compressSHA(state *[2][8]uint32, first, second *[64]byte)

// cpuid7 returns EBX of leaf 7, 0 without that leaf.
//
//go:noescape
func cpuid7() (ebx uint32)
