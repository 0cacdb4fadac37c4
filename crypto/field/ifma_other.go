//go:build !amd64 || purego

package field

func supportsIFMA() bool { return false }

// The kernels are never called where supportsIFMA returns false.

func mulIFMA(_, _, _ *F128, _ int) {}

func dotIFMA(_ *[48]uint64, _, _ *F128, _ int) {}

func wiresIFMA(_ *[96]uint64, _ *uint64, _ *F128, _, _ *uint64, _, _, _ int, _ uint64) {}

func ditIFMA(_, _, _ *F128, _ int) {}

func difIFMA(_, _, _ *F128, _ int) {}

func scaleIFMA(_, _ *F128, _ int) {}

func lagrangeIFMA(_, _, _, _ *F128, _ int) {}

func powersIFMA(_, _, _ *uint64, _ int, _, _, _ *F128, _ uint64) {}
