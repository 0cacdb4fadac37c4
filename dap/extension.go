package dap

import (
	"fmt"

	"golang.org/x/crypto/cryptobyte"
)

// An Extension is one element of an extension list: of a report, an aggregation
// job, a collection job or a task. Each of these has its own registry of types;
// type 0 is reserved in all.
type Extension struct {
	Type uint16
	Data []byte // up to 65,535 bytes
}

const (
	// TaskInterval is the task extension that bounds the times of reports
	// (section "Task Interval Task Extension").
	TaskInterval uint16 = 1
	// TaskNoise is the task extension that states what noise each aggregator adds
	// to its share, see [NoiseExtension]. Its type is one of those from 0xFF00 on
	// that are left for private use, so that only Shoal knows it.
	TaskNoise uint16 = 0xFF53
	// LeaderSelectedBatchID is the aggregation job extension that names the
	// batch (section "Leader-selected Batch Mode").
	LeaderSelectedBatchID uint16 = 1
)

func (e *Extension) unmarshal(r *reader) {
	e.Type = r.u16("extension type")
	e.Data = r.opaque16("extension data", 0, 1<<16-1)
}

func (e *Extension) marshal(w *writer) {
	w.u16(e.Type)
	w.opaque16("extension data", 0, e.Data)
}

// increasing reports whether the types are strictly increasing and not the
// reserved one. The error names the first that is not.
func increasing(list []Extension) error {
	last := uint16(0)
	for i, e := range list {
		if e.Type <= last {
			return fmt.Errorf("extension %d of type %d: types must be strictly increasing and not 0", i+1, e.Type)
		}
		last = e.Type
	}
	return nil
}

func marshalExtensions(w *writer, list []Extension) {
	w.list16("extensions", func(w *writer) {
		for i := range list {
			list[i].marshal(w)
		}
	})
}

func unmarshalExtensions(r *reader) []Extension {
	var list []Extension
	r.list16("extensions", 0, min(r.codec.limits.Extensions, 1<<16-1), func(r *reader) {
		var e Extension
		e.unmarshal(r)
		list = append(list, e)
	})
	return list
}

// Extensions is the encoded list of a report's extensions, without its length,
// as the client wrote it. It is decoded by [Extensions.List] alone: a client's
// malformed list makes its report invalid, never the message around it. Empty is
// the list without extensions.
type Extensions []byte

// NewExtensions encodes a list. It fails with [ErrMalformed] if the types are
// not strictly increasing or the list has more than 65,535 bytes.
func NewExtensions(list ...Extension) (Extensions, error) {
	if err := increasing(list); err != nil {
		return nil, fmt.Errorf("encoding extensions: %w: %w", ErrMalformed, err)
	}
	w := &writer{Builder: newBuilder()}
	for i := range list {
		list[i].marshal(w)
	}
	b, err := w.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encoding extensions: %w", err)
	}
	if len(b) > 1<<16-1 {
		return nil, fmt.Errorf("encoding extensions: %w: %d bytes, want at most %d", ErrMalformed, len(b), 1<<16-1)
	}
	return b, nil
}

// List decodes the list. It fails with [ErrMalformed] on bytes that are no list
// and on types that are not strictly increasing (section "Input Share
// Validation").
func (x Extensions) List() ([]Extension, error) {
	r := &reader{s: cryptobyte.String(x), size: len(x)}
	var list []Extension
	for r.err == nil && !r.s.Empty() {
		var e Extension
		e.unmarshal(r)
		list = append(list, e)
	}
	if r.err != nil {
		return nil, fmt.Errorf("decoding extensions: %w", r.err)
	}
	if err := increasing(list); err != nil {
		return nil, fmt.Errorf("decoding extensions: %w: %w", ErrMalformed, err)
	}
	return list, nil
}

// CheckReportExtensions validates the public and the private extensions of a
// report together (section "Input Share Validation"). known are the types that
// the application understands. It returns 0, [InvalidMessage], or the variant's
// error for a type that is not known.
func (v *Variant) CheckReportExtensions(public, private Extensions, known ...uint16) ReportError {
	if len(public) == 0 && len(private) == 0 {
		return 0
	}
	a, err := public.List()
	if err != nil {
		return InvalidMessage
	}
	b, err := private.List()
	if err != nil {
		return InvalidMessage
	}
	seen := make(map[uint16]bool, len(a)+len(b))
	for _, e := range append(a, b...) {
		if seen[e.Type] {
			return InvalidMessage
		}
		seen[e.Type] = true
	}
	for _, t := range known {
		delete(seen, t)
	}
	if len(seen) > 0 {
		return v.unknownExtensions
	}
	return 0
}

// CheckCollectionExtensions validates the extensions of a collection job
// (section "Collection Job Extensions"): none is known, so every list but the
// empty one is an [Abort].
func CheckCollectionExtensions(list []Extension) error {
	if err := increasing(list); err != nil {
		return &Abort{Type: ProblemInvalidExtension, Detail: err.Error()}
	}
	return unsupported(list)
}

// unsupported returns an [Abort] that names all types of the list, nil if it is
// empty.
func unsupported(list []Extension) error {
	if len(list) == 0 {
		return nil
	}
	abort := &Abort{Type: ProblemUnsupportedExtension, Detail: "unknown extension types"}
	for _, e := range list {
		abort.Unsupported = append(abort.Unsupported, e.Type)
	}
	return abort
}
