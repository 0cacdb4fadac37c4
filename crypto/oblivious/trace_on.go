//go:build oblivioustrace

package oblivious

// A tracer records what an observer of the machine sees.
type tracer struct {
	record func(operation byte, address int) // may be nil
}

// at records that something is read, written or branched on.
func (t tracer) at(operation byte, address int) {
	if t.record != nil {
		t.record(operation, address)
	}
}

// on reports whether something records.
func (t tracer) on() bool { return t.record != nil }
