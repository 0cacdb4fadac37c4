//go:build !unix

package arc

import "testing"

// reportCPU reports nothing: the system does not tell a process its time.
func reportCPU(*testing.B) func() { return func() {} }
