package task

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
)

// The first byte of a task's canonical bytes. Another format is another version.
const (
	version          = 1 // of tasks without protection
	versionProtected = 2 // of tasks with some
)

// errMalformed means that bytes end early, run over, or hold an impossible
// length.
var errMalformed = errors.New("malformed bytes")

// Bytes returns the task's canonical bytes, after [Task.Validate]. In the
// presentation language of RFC 8446, section 3:
//
//	struct {
//	    uint8 version;             /* 1, or 2 with protection */
//	    opaque owner[32];
//	    opaque owned_by<1..2^8-1>;
//	    opaque metric<1..2^8-1>;
//	    opaque question<1..2^16-1>;
//	    opaque consent<0..2^16-1>;
//	    uint8 method;
//	    select (method) {
//	        case aggregate: Aggregation aggregation; uint32 min_batch;
//	            uint32 epoch_seconds; uint32 max_delay; uint32 clock_skew;
//	        case crowd: CrowdPart crowd;
//	    };
//	    Party hops<1..2^16-1>;
//	    uint32 retention_days;
//	    uint64 not_before; uint64 expires;
//	    select (version) {
//	        case 1: struct {};
//	        case 2: Addition additions<1..2^16-1>;
//	    };
//	} Task;
//
//	struct {
//	    uint16 type;               /* strictly increasing */
//	    opaque data<0..2^16-1>;    /* 1: Party relay; 2: uint32 credential_epochs;
//	                                  3: Party randomness, uint32 evaluations */
//	} Addition;
//
//	struct {
//	    Field schema<1..2^24-1>;
//	    uint8 fragment_kind; uint8 fragment_field; uint8 m; uint16 cap; uint8 keep<0..2^8-1>;
//	    uint8 crowd_kind; uint8 crowd_fields<0..2^8-1>; uint32 salt_epochs;
//	    uint8 threshold_kind; uint32 t; uint32 d; uint32 sigma_milli;
//	    uint8 encoding_kind; uint16 shares;
//	    uint32 min_batch;
//	    uint32 epoch_seconds; uint32 max_delay; uint32 clock_skew;
//	    uint32 per_epoch; uint32 per_crowd;
//	    uint16 payload_size;
//	    uint16 extensions<0..2^8-1>;
//	} CrowdPart;
//
//	struct {
//	    opaque name<1..2^8-1>;
//	    uint8 kind; uint8 elem; uint16 max; uint16 max_str;
//	    opaque values<0..2^24-1>;  /* each opaque value<1..2^8-1> */
//	    int64 low; int64 high;
//	    int64 buckets<0..2^16-1>;
//	    uint32 flip;
//	} Field;
//
//	struct {
//	    uint8 role;
//	    opaque url<1..2^16-1>;
//	    opaque identity[32];
//	} Party;
func (t *Task) Bytes() ([]byte, error) {
	if err := t.Validate(); err != nil {
		return nil, err
	}
	var b cryptobyte.Builder
	t.marshal(&b)
	out, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("task %q: encoding: %w", t.Metric, err)
	}
	if len(out) > MaxBytes {
		return nil, fmt.Errorf("task %q has %d canonical bytes, want at most %d; shorten the lists of values", t.Metric, len(out), MaxBytes)
	}
	return out, nil
}

// ID returns the digest of the task's canonical bytes.
func (t *Task) ID() (ID, error) {
	b, err := t.Bytes()
	if err != nil {
		return ID{}, err
	}
	return sha256.Sum256(b), nil
}

// Parse reads canonical bytes. It accepts exactly what [Task.Bytes] writes: a
// valid task in its one encoding.
func Parse(b []byte) (*Task, error) {
	if len(b) > MaxBytes {
		return nil, fmt.Errorf("parsing task: %d bytes, want at most %d", len(b), MaxBytes)
	}
	if len(b) > 0 && b[0] != version && b[0] != versionProtected {
		return nil, fmt.Errorf("parsing task: version %d, want %d or %d; a newer program made it", b[0], version, versionProtected)
	}
	s := cryptobyte.String(b)
	var t Task
	if !t.unmarshal(&s) || !s.Empty() {
		return nil, fmt.Errorf("parsing task: %w", errMalformed)
	}
	again, err := t.Bytes()
	if err != nil {
		return nil, fmt.Errorf("parsing task: %w", err)
	}
	if !bytes.Equal(again, b) {
		return nil, errors.New("parsing task: not the canonical encoding")
	}
	return &t, nil
}

func (t *Task) marshal(b *cryptobyte.Builder) {
	b.AddUint8(t.version())
	b.AddBytes(t.Owner)
	add8(b, t.OwnedBy)
	add8(b, t.Metric)
	add16(b, t.Question)
	add16(b, t.Consent)
	b.AddUint8(uint8(t.Method))
	if t.Method == Aggregate {
		t.marshalAggregate(b)
		return
	}
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
		for i := range t.Schema {
			t.Schema[i].marshal(b)
		}
	})
	b.AddUint8(uint8(t.Fragment.Kind))
	b.AddUint8(t.Fragment.Field)
	b.AddUint8(t.Fragment.M)
	b.AddUint16(t.Fragment.Cap)
	add8(b, t.Fragment.Keep)
	b.AddUint8(uint8(t.Crowd.Kind))
	add8(b, t.Crowd.Fields)
	b.AddUint32(t.Crowd.SaltEpochs)
	b.AddUint8(uint8(t.Threshold.Kind))
	addEach(b, t.Threshold.T, t.Threshold.D, t.Threshold.SigmaMilli)
	b.AddUint8(uint8(t.Encoding.Kind))
	b.AddUint16(t.Encoding.Shares)
	addEach(b, t.MinBatch, t.EpochSeconds, t.MaxDelay, t.ClockSkew, t.PerEpoch, t.PerCrowd)
	b.AddUint16(t.PayloadSize)
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, e := range t.Extensions {
			b.AddUint16(e)
		}
	})
	t.marshalEnd(b)
}

// marshalEnd writes what tasks of all methods end with.
func (t *Task) marshalEnd(b *cryptobyte.Builder) {
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		for i := range t.Hops {
			t.Hops[i].marshal(b)
		}
	})
	b.AddUint32(t.RetentionDays)
	b.AddUint64(uint64(t.NotBefore))
	b.AddUint64(uint64(t.Expires))
	if !t.Protection.none() {
		t.Protection.marshal(b)
	}
}

// version returns the first byte of the task's canonical bytes.
func (t *Task) version() uint8 {
	if t.Protection.none() {
		return version
	}
	return versionProtected
}

func (t *Task) unmarshal(s *cryptobyte.String) bool {
	var v uint8
	var schema, keep, crowd, extensions cryptobyte.String
	ok := s.ReadUint8(&v) &&
		s.ReadBytes((*[]byte)(&t.Owner), 32) &&
		read8(s, &t.OwnedBy) && read8(s, &t.Metric) && read16(s, &t.Question) && read16(s, &t.Consent) &&
		s.ReadUint8((*uint8)(&t.Method))
	if ok && t.Method == Aggregate {
		return t.unmarshalAggregate(s) && t.unmarshalProtection(s, v)
	}
	ok = ok && s.ReadUint24LengthPrefixed(&schema) &&
		s.ReadUint8((*uint8)(&t.Fragment.Kind)) && s.ReadUint8(&t.Fragment.Field) && s.ReadUint8(&t.Fragment.M) &&
		s.ReadUint16(&t.Fragment.Cap) && s.ReadUint8LengthPrefixed(&keep) &&
		s.ReadUint8((*uint8)(&t.Crowd.Kind)) && s.ReadUint8LengthPrefixed(&crowd) && s.ReadUint32(&t.Crowd.SaltEpochs) &&
		s.ReadUint8((*uint8)(&t.Threshold.Kind)) &&
		readEach(s, &t.Threshold.T, &t.Threshold.D, &t.Threshold.SigmaMilli) &&
		s.ReadUint8((*uint8)(&t.Encoding.Kind)) && s.ReadUint16(&t.Encoding.Shares) &&
		readEach(s, &t.MinBatch, &t.EpochSeconds, &t.MaxDelay, &t.ClockSkew, &t.PerEpoch, &t.PerCrowd) &&
		s.ReadUint16(&t.PayloadSize) && s.ReadUint8LengthPrefixed(&extensions) && t.unmarshalEnd(s)
	t.Fragment.Keep = append([]uint8(nil), keep...)
	t.Crowd.Fields = append([]uint8(nil), crowd...)
	return ok && t.unmarshalSchema(schema) && t.unmarshalExtensions(extensions) && t.unmarshalProtection(s, v)
}

func (t *Task) unmarshalProtection(s *cryptobyte.String, v uint8) bool {
	return v == version || t.Protection.unmarshal(s)
}

func (t *Task) unmarshalEnd(s *cryptobyte.String) bool {
	var hops cryptobyte.String
	return s.ReadUint16LengthPrefixed(&hops) && t.unmarshalHops(hops) &&
		s.ReadUint32(&t.RetentionDays) && readInt64(s, &t.NotBefore) && readInt64(s, &t.Expires)
}

func (t *Task) unmarshalSchema(s cryptobyte.String) bool {
	for !s.Empty() && len(t.Schema) <= maxFields {
		var f Field
		if !f.unmarshal(&s) {
			return false
		}
		t.Schema = append(t.Schema, f)
	}
	return s.Empty()
}

func (t *Task) unmarshalExtensions(s cryptobyte.String) bool {
	for !s.Empty() {
		var e uint16
		if !s.ReadUint16(&e) {
			return false
		}
		t.Extensions = append(t.Extensions, e)
	}
	return true
}

func (t *Task) unmarshalHops(s cryptobyte.String) bool {
	for !s.Empty() && len(t.Hops) <= maxHops {
		var p Party
		if !p.unmarshal(&s) {
			return false
		}
		t.Hops = append(t.Hops, p)
	}
	return s.Empty()
}

func (f *Field) marshal(b *cryptobyte.Builder) {
	add8(b, f.Name)
	b.AddUint8(uint8(f.Kind))
	b.AddUint8(uint8(f.Elem))
	b.AddUint16(f.Max)
	b.AddUint16(f.MaxStr)
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, v := range f.Values {
			add8(b, v)
		}
	})
	b.AddUint64(uint64(f.Low))
	b.AddUint64(uint64(f.High))
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, v := range f.Buckets {
			b.AddUint64(uint64(v))
		}
	})
	b.AddUint32(f.Flip)
}

func (f *Field) unmarshal(s *cryptobyte.String) bool {
	var values, buckets cryptobyte.String
	ok := read8(s, &f.Name) && s.ReadUint8((*uint8)(&f.Kind)) && s.ReadUint8((*uint8)(&f.Elem)) &&
		s.ReadUint16(&f.Max) && s.ReadUint16(&f.MaxStr) &&
		s.ReadUint24LengthPrefixed(&values) &&
		readInt64(s, &f.Low) && readInt64(s, &f.High) &&
		s.ReadUint16LengthPrefixed(&buckets) && s.ReadUint32(&f.Flip)
	if !ok {
		return false
	}
	for !values.Empty() && len(f.Values) <= maxValues {
		var v string
		if !read8(&values, &v) {
			return false
		}
		f.Values = append(f.Values, v)
	}
	for !buckets.Empty() && len(f.Buckets) <= maxBuckets {
		var v int64
		if !readInt64(&buckets, &v) {
			return false
		}
		f.Buckets = append(f.Buckets, v)
	}
	return values.Empty() && buckets.Empty()
}

func add8[T string | []byte](b *cryptobyte.Builder, v T) {
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(v)) })
}

func add16[T string | []byte](b *cryptobyte.Builder, v T) {
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(v)) })
}

func read8(s *cryptobyte.String, out *string) bool {
	var v cryptobyte.String
	ok := s.ReadUint8LengthPrefixed(&v)
	*out = string(v)
	return ok
}

func read16(s *cryptobyte.String, out *string) bool {
	var v cryptobyte.String
	ok := s.ReadUint16LengthPrefixed(&v)
	*out = string(v)
	return ok
}

func addEach(b *cryptobyte.Builder, values ...uint32) {
	for _, v := range values {
		b.AddUint32(v)
	}
}

func readEach(s *cryptobyte.String, outs ...*uint32) bool {
	for _, out := range outs {
		if !s.ReadUint32(out) {
			return false
		}
	}
	return true
}

func readInt64(s *cryptobyte.String, out *int64) bool {
	var v uint64
	ok := s.ReadUint64(&v)
	*out = int64(v)
	return ok
}
