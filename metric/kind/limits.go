package kind

import (
	"errors"
	"fmt"
	"math"

	"github.com/shoal-project/shoal/internal/printable"
)

// Limits of the settings.
const (
	maxLabels    = 1 << 15
	maxLabel     = 128 // bytes
	maxInner     = 4096
	maxDimension = 1 << 20
	maxBits      = 32
)

func validMax(n uint64) error {
	if n < 1 {
		return errors.New("maximum 0 leaves nothing to measure")
	}
	return nil
}

func validLength(n uint32) error {
	if n < 1 || n > maxDimension {
		return fmt.Errorf("length %d, want 1 to %d", n, maxDimension)
	}
	return nil
}

func validChunk(n uint32) error {
	if n < 1 || n > maxDimension {
		return fmt.Errorf("chunk length %d, want 1 to %d", n, maxDimension)
	}
	return nil
}

func validLabels(labels []string, least int) error {
	if len(labels) < least || len(labels) > maxLabels {
		return fmt.Errorf("%d labels, want %d to %d", len(labels), least, maxLabels)
	}
	seen := make(map[string]bool, len(labels))
	for _, l := range labels {
		if err := printable.Check("a label", l, 1, maxLabel); err != nil {
			return err
		}
		if seen[l] {
			return fmt.Errorf("label %q stands twice", l)
		}
		seen[l] = true
	}
	return nil
}

func validBounds(bounds []int64) error {
	if len(bounds) < 1 || len(bounds) > maxInner {
		return fmt.Errorf("%d bounds, want 1 to %d", len(bounds), maxInner)
	}
	for i, b := range bounds {
		if i > 0 && bounds[i-1] >= b {
			return fmt.Errorf("bound %d does not come after %d", b, bounds[i-1])
		}
	}
	return nil
}

func validGradient(bound float64, bits uint8) error {
	if !(bound > 0) || math.IsInf(bound, 1) {
		return errors.New("the bound of a gradient is not a positive number")
	}
	if bits < 1 || bits > maxBits {
		return fmt.Errorf("%d bits, want 1 to %d", bits, maxBits)
	}
	return nil
}
