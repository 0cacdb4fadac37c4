//go:build !unix

package server

import "errors"

func diskFree(string) (uint64, error) {
	return 0, errors.ErrUnsupported
}
