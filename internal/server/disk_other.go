//go:build !unix

package server

import "errors"

func diskFree(string) (uint64, error) {
	return 0, errors.ErrUnsupported
}

// openFiles returns how many files this process may have open.
func openFiles() uint64 { return defaultFiles }
