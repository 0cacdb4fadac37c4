//go:build !darwin && !dragonfly && !freebsd && !linux && !netbsd && !openbsd && !windows

package durable

import (
	"errors"
	"fmt"
)

func lock(path string, _ bool) (func() error, error) {
	return nil, fmt.Errorf("locking %s: %w", path, errors.ErrUnsupported)
}
