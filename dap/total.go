package dap

import "fmt"

const totalVersion = 1

// MarshalBinary returns a form for storage, which [Task.ParseTotal] reads. It
// holds the aggregate share: it is secret, and of no use to others.
func (s *Total) MarshalBinary() ([]byte, error) {
	w := &writer{Builder: newBuilder()}
	w.u8(totalVersion)
	w.u64(s.Count)
	w.fixed(s.Checksum[:])
	s.Interval.marshal(w)
	w.fixed(s.Share.Bytes())
	b, err := w.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encoding a total: %w", err)
	}
	return b, nil
}

// ParseTotal reads what [Total.MarshalBinary] wrote for the same task. It fails
// with [ErrMalformed], and with the errors of the VDAF for a share that is not
// one of its aggregate shares.
func (t *Task) ParseTotal(b []byte) (*Total, error) {
	r := &reader{s: b, codec: t.codec, size: len(b)}
	if version := r.u8("version"); r.err == nil && version != totalVersion {
		return nil, fmt.Errorf("decoding a total: %w: version %d, want %d", ErrMalformed, version, totalVersion)
	}
	s := &Total{Count: r.u64("count")}
	r.fixed("checksum", s.Checksum[:])
	s.Interval.unmarshal(r)
	if r.err != nil {
		return nil, fmt.Errorf("decoding a total: %w", r.err)
	}
	if s.Count == 0 && (s.Interval != Interval{} || s.Checksum != Checksum{}) {
		return nil, fmt.Errorf("decoding a total: %w: no reports, but an interval or a checksum", ErrMalformed)
	}
	if s.Count > 0 {
		if err := s.Interval.Validate(); err != nil {
			return nil, fmt.Errorf("decoding a total: %w: %w", ErrMalformed, err)
		}
	}
	var err error
	if s.Share, err = t.instance.ParseAggregateShare(r.s); err != nil {
		return nil, fmt.Errorf("decoding a total: %w", err)
	}
	return s, nil
}

// Format hides the total under every verb.
func (s *Total) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "dap.Total(%d reports, redacted)", s.Count)
}
