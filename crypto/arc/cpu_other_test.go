//go:build !unix

package arc

import "testing"

// reportCPU reports nothing: the system does not report a process's CPU time.
func reportCPU(*testing.B) func() { return func() {} }
