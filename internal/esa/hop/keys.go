package hop

import "github.com/shoal-project/shoal/internal/esa"

// Keys are what a hop opens reports with, and what it announces about them.
type Keys struct {
	Private []*esa.PrivateKey // by which reports are opened; also older ones
	Config  []byte            // the signed key config that is served
}
