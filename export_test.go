package shoal

import "github.com/shoal-project/shoal/internal/durable"

// WithFS returns o with another file system than the machine's.
func WithFS(o Options, fs durable.FS) Options {
	o.fs = fs
	return o
}
