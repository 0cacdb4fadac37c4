package dap

import (
	"errors"
	"fmt"
	"io"
	"iter"
)

// chunk is how much a [Stream] reads and a [Writer] writes at once. A Stream begins
// with firstChunk, because most uploads are one report, and goes on with chunk.
const (
	chunk      = 1 << 16
	firstChunk = 1 << 12
)

// A Stream decodes the elements of a message as its bytes arrive. It holds a few
// elements at most. What it returns refers to memory that the elements around it
// share: clone what is kept for long. It is not safe for concurrent use.
type Stream[T any] struct {
	source    *source
	field     string
	unmarshal func(*T, *reader)
	element   T // being decoded
	count     int
}

// Next returns the next element, [io.EOF] after the last one. Other errors are
// [ErrMalformed], [ErrLimit] or the reader's; all but io.EOF mean that the whole
// message is refused, also the elements before. They repeat.
func (s *Stream[T]) Next() (T, error) {
	var e T
	if s.source.err == nil && s.source.atEnd() {
		s.source.err = io.EOF
	}
	if s.source.err == nil && s.count == s.source.codec.limits.Reports {
		s.source.err = fmt.Errorf("%w: more than %d of %s", ErrLimit, s.count, s.field)
	}
	if s.source.err != nil {
		return e, s.source.err
	}
	for {
		r := s.source.window()
		var none T
		s.element = none
		s.unmarshal(&s.element, r)
		if done, err := s.source.advance(r); err != nil {
			s.source.err = fmt.Errorf("%s %d: %w", s.field, s.count+1, err)
			return e, s.source.err
		} else if done {
			break
		}
	}
	s.count++
	return s.element, nil
}

// All returns the elements up to the end or the first error.
func (s *Stream[T]) All() iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			e, err := s.Next()
			if errors.Is(err, io.EOF) || !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// ReadUploadRequest decodes the reports of an [UploadRequest].
func (c Codec) ReadUploadRequest(r io.Reader) *Stream[Report] {
	return newStream(newSource(c, r), "report", (*Report).unmarshal)
}

// ReadUploadErrors decodes the elements of [UploadErrors].
func (c Codec) ReadUploadErrors(r io.Reader) *Stream[ReportUploadStatus] {
	return newStream(newSource(c, r), "upload status", (*ReportUploadStatus).unmarshal)
}

// ReadAggregationJobInitReq decodes the header of an [AggregationJobInitReq] and
// then its elements.
func (c Codec) ReadAggregationJobInitReq(r io.Reader) (AggregationJobHeader, *Stream[VerifyInit], error) {
	src := newSource(c, r)
	var h AggregationJobHeader
	err := src.next(func(r *reader) { h = AggregationJobHeader{}; h.unmarshal(r) })
	if err == nil {
		err = src.length()
	}
	return h, newStream(src, "verify init", (*VerifyInit).unmarshal), headerError(src, err)
}

// ReadAggregationJobContinueReq decodes the step of an
// [AggregationJobContinueReq] and then its elements.
func (c Codec) ReadAggregationJobContinueReq(r io.Reader) (uint16, *Stream[VerifyContinue], error) {
	src := newSource(c, r)
	var step uint16
	err := src.next(func(r *reader) { step = r.u16("step") })
	if err == nil {
		err = src.length()
	}
	return step, newStream(src, "verify continue", (*VerifyContinue).unmarshal), headerError(src, err)
}

// ReadAggregationJobResp decodes the elements of an [AggregationJobResp].
func (c Codec) ReadAggregationJobResp(r io.Reader) *Stream[VerifyResp] {
	src := newSource(c, r)
	src.err = src.length()
	return newStream(src, "verify response", (*VerifyResp).unmarshal)
}

func newStream[T any](src *source, field string, unmarshal func(*T, *reader)) *Stream[T] {
	return &Stream[T]{source: src, field: field, unmarshal: unmarshal}
}

// headerError makes the error of a header the stream's too.
func headerError(src *source, err error) error {
	src.err = err
	return err
}

// A source hands the bytes of a body to decoders, a chunk at a time.
type source struct {
	codec Codec
	in    io.Reader
	mem   []byte // read and not decoded
	chunk int    // bytes to make room for when mem is full
	read  int64
	left  int64 // of the vector's bytes, -1 if the body ends it
	ended bool
	err   error

	reader reader // of a window
}

func newSource(c Codec, in io.Reader) *source {
	return &source{codec: c, in: in, left: -1, chunk: firstChunk}
}

// length reads the length of the vector in variants that have it.
func (s *source) length() error {
	if !s.codec.variant.prefixed {
		return nil
	}
	var n uint32
	if err := s.next(func(r *reader) { n = r.u32("length of the elements") }); err != nil {
		return err
	}
	s.left = int64(n)
	return nil
}

// atEnd reports whether the message ends here. An error is left to the caller in
// err.
func (s *source) atEnd() bool {
	if s.left > 0 {
		return false
	}
	for len(s.mem) == 0 && !s.ended && s.err == nil {
		s.fill()
	}
	if s.err != nil {
		return false
	}
	if s.left == 0 && len(s.mem) > 0 {
		s.err = fmt.Errorf("%w: bytes after the end", ErrMalformed)
		return false
	}
	return len(s.mem) == 0
}

// next decodes one thing, reading as much as it needs.
func (s *source) next(decode func(*reader)) error {
	for {
		r := s.window()
		decode(r)
		if done, err := s.advance(r); done || err != nil {
			return err
		}
	}
}

// window returns a reader of what has been read and not decoded.
func (s *source) window() *reader {
	window := s.mem
	if s.left >= 0 && int64(len(window)) > s.left {
		window = window[:s.left]
	}
	s.reader = reader{s: window, codec: s.codec, size: len(window)}
	return &s.reader
}

// advance passes over what the reader of a window has decoded. If that is cut
// off, it reads more and is not done.
func (s *source) advance(r *reader) (done bool, err error) {
	if r.err == nil {
		used := r.size - len(r.s)
		s.mem = s.mem[used:]
		if s.left >= 0 {
			s.left -= int64(used)
		}
		return true, nil
	}
	whole := s.ended || s.left >= 0 && int64(len(s.mem)) >= s.left
	if whole || !errors.Is(r.err, errShort) {
		return false, r.err
	}
	s.fill()
	return false, s.err
}

// fill reads some bytes more. Memory grows with what has arrived, not with what
// was announced, and is never written twice: elements refer to it.
func (s *source) fill() {
	if len(s.mem) == cap(s.mem) {
		grown := make([]byte, len(s.mem), max(s.chunk, 2*len(s.mem)))
		s.chunk = chunk
		copy(grown, s.mem)
		s.mem = grown
	}
	n, err := readSome(s.in, s.mem[len(s.mem):cap(s.mem)])
	s.mem = s.mem[:len(s.mem)+n]
	s.read += int64(n)
	if s.read > s.codec.limits.Body {
		s.err = fmt.Errorf("%w: body of more than %d bytes", ErrLimit, s.codec.limits.Body)
		return
	}
	if errors.Is(err, io.EOF) {
		s.ended = true
		return
	}
	if err != nil {
		s.err = fmt.Errorf("reading the body: %w", err)
	}
}

// readSome reads at least one byte or fails.
func readSome(in io.Reader, b []byte) (int, error) {
	for range 100 {
		if n, err := in.Read(b); n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}

// A Writer encodes the elements of a message one at a time. In the drafts it
// writes as it goes; in a variant whose vectors have a length it keeps all until
// Close. It is not safe for concurrent use.
type Writer[T any] struct {
	out     io.Writer
	codec   Codec
	marshal func(*T, *writer)
	head    []byte // before the length
	mem     []byte
	prefix  bool
	err     error
}

// Write encodes one element. After an error the writer is of no use.
func (w *Writer[T]) Write(e *T) error {
	if w.err != nil {
		return w.err
	}
	b := &writer{Builder: builderOn(w.mem), codec: w.codec}
	w.marshal(e, b)
	mem, err := b.Bytes()
	if err != nil {
		w.err = fmt.Errorf("encoding an element: %w", err)
		return w.err
	}
	w.mem = mem
	if w.prefix || len(w.mem) < chunk {
		return nil
	}
	return w.flush()
}

// Close writes what is not written yet. It does not close the underlying writer.
func (w *Writer[T]) Close() error {
	if w.err != nil {
		return w.err
	}
	if w.prefix {
		b := &writer{Builder: builderOn(w.head), codec: w.codec}
		b.opaque32("elements", 0, w.mem)
		if w.mem, w.err = b.Bytes(); w.err != nil {
			return w.err
		}
	}
	if err := w.flush(); err != nil {
		return err
	}
	w.err = errors.New("the message is closed")
	return nil
}

func (w *Writer[T]) flush() error {
	if len(w.mem) == 0 {
		return nil
	}
	if _, err := w.out.Write(w.mem); err != nil {
		w.err = fmt.Errorf("writing the body: %w", err)
		return w.err
	}
	w.mem = w.mem[:0]
	return nil
}

// WriteUploadRequest encodes an [UploadRequest].
func (c Codec) WriteUploadRequest(out io.Writer) *Writer[Report] {
	return &Writer[Report]{out: out, codec: c, marshal: (*Report).marshal}
}

// WriteUploadErrors encodes [UploadErrors].
func (c Codec) WriteUploadErrors(out io.Writer) *Writer[ReportUploadStatus] {
	return &Writer[ReportUploadStatus]{out: out, codec: c, marshal: (*ReportUploadStatus).marshal}
}

// WriteAggregationJobInitReq encodes an [AggregationJobInitReq].
func (c Codec) WriteAggregationJobInitReq(out io.Writer, h *AggregationJobHeader) (*Writer[VerifyInit], error) {
	head, err := c.Encode(h)
	if err != nil {
		return nil, err
	}
	return newWriter(c, out, head, (*VerifyInit).marshal), nil
}

// WriteAggregationJobContinueReq encodes an [AggregationJobContinueReq].
func (c Codec) WriteAggregationJobContinueReq(out io.Writer, step uint16) *Writer[VerifyContinue] {
	return newWriter(c, out, []byte{byte(step >> 8), byte(step)}, (*VerifyContinue).marshal)
}

// WriteAggregationJobResp encodes an [AggregationJobResp].
func (c Codec) WriteAggregationJobResp(out io.Writer) *Writer[VerifyResp] {
	return newWriter(c, out, nil, (*VerifyResp).marshal)
}

func newWriter[T any](c Codec, out io.Writer, head []byte, marshal func(*T, *writer)) *Writer[T] {
	w := &Writer[T]{out: out, codec: c, marshal: marshal, prefix: c.variant.prefixed}
	if w.prefix {
		w.head = head
	} else {
		w.mem = head
	}
	return w
}
