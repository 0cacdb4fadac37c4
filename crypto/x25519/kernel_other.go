//go:build !amd64 || purego

package x25519

func supportsIFMA() bool { return false }

func supportsAVX2() bool { return false }

// The functions on several lanes are never called: there are no vector instructions.

func ladderIFMA(_, _, _ *element, _ *[4]uint64, _ *eightSpace) {}

func mulIFMA(_, _, _ *element) {}

func squareIFMA(_, _ *element, _ int) {}

func ladderAVX2(_, _, _, _ *uint64, _ *fourSpace) {}

func mulAVX2(_, _, _ *element, _ int, _ *fourSpace) {}

func squareAVX2(_, _ *element, _, _ int, _ *fourSpace) {}
