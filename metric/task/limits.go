package task

import (
	"fmt"
	"slices"
)

// MaxBytes is the longest a task's canonical bytes may be.
const MaxBytes = 1 << 18

// Limits of a task's parts, checked by [Task.Validate] and so at decode.
const (
	maxOwnedBy    = 255
	maxQuestion   = 1000
	maxConsent    = 4000
	maxFields     = 64
	maxString     = 16384
	maxElements   = 4096
	maxValues     = 1 << 15
	maxValue      = 128
	maxSetValues  = 64
	maxBuckets    = 1024
	maxSetChunks  = 64
	maxExtensions = 16
	maxHops       = 8
	maxURL        = 1024
	maxEpoch      = 366 * 86400
	maxDelay      = 366 * 86400
	maxSkew       = 86400
	maxSaltEpochs = 1 << 16
	maxReports    = 1 << 20
	maxThreshold  = 1 << 24
	maxSigmaMilli = 1000 << 20
	maxRetention  = 36525
	maxUnix       = 253402300799 // the end of year 9999
)

// SizeClasses returns the lengths in bytes that the innermost plaintext of a
// report may have. Few classes mean that a length reveals little.
func SizeClasses() []int {
	return []int{64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768}
}

// SizeClass returns the smallest size class that holds a payload of n bytes
// and its padding, which is one byte at least.
func SizeClass(n int) (uint16, error) {
	classes := SizeClasses()
	i := slices.IndexFunc(classes, func(c int) bool { return n < c })
	if n < 0 || i < 0 {
		return 0, fmt.Errorf("a payload of %d bytes exceeds the largest size class (%d bytes with one of padding); shorten the strings and lists of the schema", n, classes[len(classes)-1])
	}
	return uint16(classes[i]), nil
}
