//go:build !amd64 || purego

package x25519

func supportsIFMA() bool { return false }

// The functions on eight lanes are never called: supportsIFMA reports that there
// are no vector instructions.

func ladderIFMA(_, _, _ *element, _ *[4]uint64, _ *workspace) {}

func mulIFMA(_, _, _ *element) {}

func squareIFMA(_, _ *element, _ int) {}
