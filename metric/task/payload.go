package task

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

// A PayloadError names the field of a record that does not fit the schema. It
// never holds the value.
type PayloadError struct {
	Field string // empty when the bytes as a whole are wrong
	Why   string
}

// Error returns the field and the reason.
func (e *PayloadError) Error() string {
	if e.Field == "" {
		return "payload: " + e.Why
	}
	return fmt.Sprintf("payload: field %q: %s", e.Field, e.Why)
}

// Encode returns the payload of a record or of a fragment of one, unpadded. One
// record has one encoding:
//
//	presence: one bit a field, the first field the highest bit of the first byte, the rest 0
//	of each field that is present, in the schema's order:
//	  String  length, bytes of UTF-8
//	  Enum    index into Values
//	  Int     index into Buckets; without buckets the value minus Low
//	  Bool    0 or 1
//	  Set     form (0: the set; 1+i: chunk i), then its bits, bit 0 the lowest of the last byte
//	  List    number of elements, elements
//
// Numbers are big endian in the fewest bytes that hold the greatest that the
// schema allows, one at least.
func (s Schema) Encode(rec Record) ([]byte, error) {
	if len(rec) != len(s) {
		return nil, &PayloadError{Why: fmt.Sprintf("%d values for %d fields", len(rec), len(s))}
	}
	out := make([]byte, (len(s)+7)/8, 64)
	for i := range s {
		if rec[i] == nil {
			continue
		}
		out[i/8] |= 0x80 >> (i % 8)
		var err error
		if out, err = s[i].appendValue(out, rec[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Decode reads what [Schema.Encode] writes and nothing else. The record it
// returns shares no memory with b.
func (s Schema) Decode(b []byte) (Record, error) {
	n := (len(s) + 7) / 8
	if len(b) < n {
		return nil, &PayloadError{Why: "too short"}
	}
	present, r := b[:n], &reader{rest: b[n:]}
	rec := make(Record, len(s))
	for i := range s {
		if present[i/8]&(0x80>>(i%8)) == 0 {
			continue
		}
		v, why := s[i].read(r)
		if why != "" {
			return nil, &PayloadError{Field: s[i].Name, Why: why}
		}
		rec[i] = v
	}
	if len(s)%8 != 0 && present[n-1]<<(len(s)%8) != 0 {
		return nil, &PayloadError{Why: "marks fields that the schema lacks"}
	}
	if len(r.rest) != 0 {
		return nil, &PayloadError{Why: "goes on after its end"}
	}
	return rec, nil
}

func (f *Field) fail(format string, args ...any) error {
	return &PayloadError{Field: f.Name, Why: fmt.Sprintf(format, args...)}
}

func (f *Field) appendValue(out []byte, v Value) ([]byte, error) {
	switch f.Kind {
	case Bool:
		x, ok := v.(bool)
		if !ok {
			return nil, f.fail("want a bool, have %T", v)
		}
		if x {
			return append(out, 1), nil
		}
		return append(out, 0), nil
	case Set:
		return f.appendSet(out, v)
	case List:
		elems, ok := v.([]Value)
		if !ok {
			return nil, f.fail("want a list, have %T", v)
		}
		if len(elems) > int(f.Max) {
			return nil, f.fail("%d elements, want at most %d", len(elems), f.Max)
		}
		out = appendUint(out, uint64(len(elems)), uint64(f.Max))
		for _, e := range elems {
			var err error
			if out, err = f.appendElement(out, f.Elem, f.MaxStr, e); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return f.appendElement(out, f.Kind, f.Max, v)
}

func (f *Field) appendElement(out []byte, kind Kind, most uint16, v Value) ([]byte, error) {
	switch x := v.(type) {
	case string:
		if kind == Enum {
			i := slices.Index(f.Values, x)
			if i < 0 {
				return nil, f.fail("not one of its values")
			}
			return appendUint(out, uint64(i), uint64(len(f.Values)-1)), nil
		}
		if kind != String {
			break
		}
		if len(x) > int(most) {
			return nil, f.fail("%d bytes, want at most %d", len(x), most)
		}
		if !utf8.ValidString(x) {
			return nil, f.fail("not UTF-8")
		}
		return append(appendUint(out, uint64(len(x)), uint64(most)), x...), nil
	case int64:
		if kind != Int {
			break
		}
		b, err := f.Bucket(x)
		if err != nil {
			return nil, f.fail("out of range %d to %d", f.Low, f.High)
		}
		if b != x {
			return nil, f.fail("not a bucket's lower bound")
		}
		if len(f.Buckets) == 0 {
			return appendUint(out, uint64(x)-uint64(f.Low), f.span()), nil
		}
		i, _ := slices.BinarySearch(f.Buckets, x)
		return appendUint(out, uint64(i), f.span()), nil
	}
	return nil, f.fail("want %s, have %T", kind, v)
}

func (f *Field) appendSet(out []byte, v Value) ([]byte, error) {
	n := len(f.Values)
	chunk, form := SetChunk{}, byte(0)
	switch x := v.(type) {
	case uint64:
		chunk.Bits = x
	case SetChunk:
		if x.Index >= maxSetChunks || int(x.Index) >= n {
			return nil, f.fail("chunk %d of a set of %d", x.Index, n)
		}
		chunk, form = x, 1+x.Index
	default:
		return nil, f.fail("want a set, have %T", v)
	}
	if n < 64 && chunk.Bits>>n != 0 {
		return nil, f.fail("bits beyond its %d values", n)
	}
	return appendFixed(append(out, form), chunk.Bits, (n+7)/8), nil
}

// read returns the value, or why there is no value.
func (f *Field) read(r *reader) (Value, string) {
	switch f.Kind {
	case Bool:
		v, why := r.uint(1)
		return v == 1, why
	case Set:
		return f.readSet(r)
	case List:
		n, why := r.uint(uint64(f.Max))
		if why != "" {
			return nil, why
		}
		elems := make([]Value, 0, min(int(n), len(r.rest)))
		for range n {
			e, why := f.readElement(r, f.Elem, f.MaxStr)
			if why != "" {
				return nil, why
			}
			elems = append(elems, e)
		}
		return elems, ""
	}
	return f.readElement(r, f.Kind, f.Max)
}

func (f *Field) readElement(r *reader, kind Kind, most uint16) (Value, string) {
	switch kind {
	case String:
		n, why := r.uint(uint64(most))
		if why != "" {
			return nil, why
		}
		b, why := r.bytes(int(n))
		if why == "" && !utf8.Valid(b) {
			why = "not UTF-8"
		}
		return string(b), why
	case Enum:
		i, why := r.uint(uint64(len(f.Values) - 1))
		if why != "" {
			return nil, why
		}
		return f.Values[i], ""
	case Int:
		x, why := r.uint(f.span())
		if why != "" {
			return nil, why
		}
		if len(f.Buckets) == 0 {
			return int64(uint64(f.Low) + x), ""
		}
		return f.Buckets[x], ""
	}
	return nil, fmt.Sprintf("unknown kind %d", kind)
}

func (f *Field) readSet(r *reader) (Value, string) {
	n := len(f.Values)
	form, why := r.bytes(1)
	if why != "" {
		return nil, why
	}
	if int(form[0]) > n || form[0] > maxSetChunks {
		return nil, "chunk beyond the set"
	}
	b, why := r.bytes((n + 7) / 8)
	if why != "" {
		return nil, why
	}
	v := number(b)
	if n < 64 && v>>n != 0 {
		return nil, "bits beyond its values"
	}
	if form[0] == 0 {
		return v, ""
	}
	return SetChunk{Index: form[0] - 1, Bits: v}, ""
}

// A reader reads numbers and bytes off a payload.
type reader struct{ rest []byte }

func (r *reader) bytes(n int) ([]byte, string) {
	if n > len(r.rest) {
		return nil, "ends early"
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b, ""
}

// uint reads a number from 0 to most.
func (r *reader) uint(most uint64) (uint64, string) {
	b, why := r.bytes(width(most))
	if why != "" {
		return 0, why
	}
	v := number(b)
	if v > most {
		return 0, "number too great"
	}
	return v, ""
}

func number(b []byte) uint64 {
	var full [8]byte
	copy(full[8-len(b):], b)
	return binary.BigEndian.Uint64(full[:])
}

func appendUint(out []byte, v, most uint64) []byte { return appendFixed(out, v, width(most)) }

func appendFixed(out []byte, v uint64, n int) []byte {
	var full [8]byte
	binary.BigEndian.PutUint64(full[:], v)
	return append(out, full[8-n:]...)
}

// padMark ends the payload within its padding; zeros follow.
const padMark = 0x80

// Pad returns the payload padded to size bytes: one byte 0x80, then zeros. A
// payload that leaves no room for the mark is an error.
func Pad(payload []byte, size int) ([]byte, error) {
	if len(payload) >= size {
		return nil, fmt.Errorf("padding: a payload of %d bytes does not fit into %d with one of padding", len(payload), size)
	}
	out := make([]byte, size)
	copy(out, payload)
	out[len(payload)] = padMark
	return out, nil
}

// Unpad returns the payload within padded, whose memory it shares.
func Unpad(padded []byte) ([]byte, error) {
	marked := bytes.TrimRight(padded, "\x00")
	end := len(marked) - 1
	if end < 0 || marked[end] != padMark {
		return nil, errors.New("unpadding: the mark at the payload's end is missing")
	}
	return padded[:end:end], nil
}

// String returns the kind's word.
func (k Kind) String() string {
	switch k {
	case String:
		return "string"
	case Enum:
		return "enum"
	case Int:
		return "int"
	case Bool:
		return "bool"
	case Set:
		return "set"
	case List:
		return "list"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}
