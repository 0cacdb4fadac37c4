package esa

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/shoal-project/shoal/metric/task"
)

// A BatchID names the batch that one hop hands over of one task and epoch.
type BatchID [sha256.Size]byte

const batchIDDomain = "shoal batch id v1"

// NewBatchID returns the ID of what hop i of the task's hops hands over of
// epoch e: SHA-256("shoal batch id v1" || task ID || epoch u64 || hop u8).
func NewBatchID(id task.ID, e task.Epoch, i int) BatchID {
	b := make([]byte, 0, len(batchIDDomain)+len(id)+9)
	b = append(b, batchIDDomain...)
	b = append(b, id[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(e))
	return sha256.Sum256(append(b, uint8(i)))
}

// String returns the ID in unpadded base64url, as it stands in URLs.
func (id BatchID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// ParseBatchID reads the form that [BatchID.String] writes.
func ParseBatchID(s string) (BatchID, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != len(BatchID{}) {
		return BatchID{}, fmt.Errorf("batch ID %q: want 43 characters of unpadded base64url", s)
	}
	return BatchID(b), nil
}

// A BatchDigest is the SHA-256 digest of a batch file up to its digest field.
type BatchDigest [sha256.Size]byte

// Counts says what became of the reports of a batch. Each report received is
// counted in exactly one of the other places.
//
// BUG(shoal): the counts are exact, and the next hop reads them. Whoever knows
// all reports of a batch but one learns from them whether that one was sent:
// the guarantee of a noisy threshold covers which crowds are released and how
// many of their records, not these totals.
type Counts struct {
	Received          uint64
	Duplicate         uint64                // equal, byte for byte, to an earlier one
	Invalid           [NumCauses + 1]uint64 // by Cause; index 0 stays 0
	SuppressedCrowds  uint64                // crowds, not reports
	SuppressedReports uint64                // reports of suppressed crowds
	Dropped           uint64                // reports dropped as noise from released crowds
	Released          uint64                // rows
}

// maxCount keeps sums of counts far from overflow.
const maxCount = 1 << 46

// Check reports whether the counts add up.
func (c *Counts) Check() error {
	if c.Invalid[0] != 0 {
		return errors.New("counts: reports are invalid without a cause")
	}
	sum := uint64(0)
	for _, n := range append(c.Invalid[:], c.Received, c.SuppressedCrowds, c.Duplicate, c.SuppressedReports, c.Dropped, c.Released) {
		if n > maxCount {
			return fmt.Errorf("counts: %d is more than a batch can hold", n)
		}
	}
	for _, n := range append(c.Invalid[:], c.Duplicate, c.SuppressedReports, c.Dropped, c.Released) {
		sum += n
	}
	if sum != c.Received {
		return fmt.Errorf("counts: %d reports received, but %d accounted for", c.Received, sum)
	}
	if c.SuppressedCrowds > c.SuppressedReports {
		return fmt.Errorf("counts: %d crowds suppressed with %d reports", c.SuppressedCrowds, c.SuppressedReports)
	}
	return nil
}

// Distinct returns the number of valid reports, each counted once.
func (c *Counts) Distinct() uint64 { return c.SuppressedReports + c.Dropped + c.Released }

// A BatchHeader says what a batch file holds and how it came about.
type BatchHeader struct {
	ID        BatchID
	Task      task.ID
	Epoch     task.Epoch
	Hop       uint8          // index into the task's hops of the one that hands over
	Threshold task.Threshold // as applied by this hop: the task's at the last shuffler, zero at the others
	MinBatch  uint32         // the task's
	Counts    Counts
	RowSize   uint32 // bytes
}

// NewBatchHeader returns the header of what hop i hands over of epoch e. It
// refuses counts that do not add up, and a batch below the task's minimum.
func NewBatchHeader(t *task.Task, id task.ID, i int, e task.Epoch, c Counts) (BatchHeader, error) {
	l, err := newLayout(t, id)
	if err != nil {
		return BatchHeader{}, err
	}
	if i < 0 || i >= len(l.hops)-1 {
		return BatchHeader{}, fmt.Errorf("task %q: hop index %d of %d hands nothing over", t.Metric, i, len(l.hops))
	}
	h := BatchHeader{
		ID: NewBatchID(id, e, i), Task: id, Epoch: e, Hop: uint8(i),
		MinBatch: t.MinBatch, Counts: c, RowSize: uint32(l.hops[i].next),
	}
	if l.hops[i].crowd {
		h.Threshold = t.Threshold
	}
	if err := c.Check(); err != nil {
		return BatchHeader{}, fmt.Errorf("task %q: %w", t.Metric, err)
	}
	if c.Distinct() < uint64(t.MinBatch) {
		return BatchHeader{}, fmt.Errorf("task %q: a batch of %d distinct reports is below the task's minimum of %d", t.Metric, c.Distinct(), t.MinBatch)
	}
	return h, nil
}

const (
	batchMagic   = "shoalbat"
	batchVersion = 1

	// BatchHeaderSize is the length of the header at the start of a batch file.
	BatchHeaderSize = len(batchMagic) + 1 + 32 + 32 + 8 + 1 + 13 + 4 + 2*8 + 1 + 8*NumCauses + 4*8 + 4

	batchTrailerSize = sha256.Size + signatureSize
	signatureSize    = 64
)

// FileSize returns the length of the batch file, in bytes.
func (h *BatchHeader) FileSize() int64 {
	return int64(BatchHeaderSize) + int64(h.Counts.Released)*int64(h.RowSize) + batchTrailerSize
}

func (h *BatchHeader) append(b []byte) []byte {
	b = append(b, batchMagic...)
	b = append(b, batchVersion)
	b = append(b, h.ID[:]...)
	b = append(b, h.Task[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(h.Epoch))
	b = append(b, h.Hop, uint8(h.Threshold.Kind))
	for _, v := range []uint32{h.Threshold.T, h.Threshold.D, h.Threshold.SigmaMilli, h.MinBatch} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	c := &h.Counts
	b = binary.BigEndian.AppendUint64(b, c.Received)
	b = binary.BigEndian.AppendUint64(b, c.Duplicate)
	b = append(b, uint8(NumCauses))
	for _, n := range c.Invalid[1:] {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	for _, n := range []uint64{c.SuppressedCrowds, c.SuppressedReports, c.Dropped, c.Released} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return binary.BigEndian.AppendUint32(b, h.RowSize)
}

// PeekBatchHeader reads the header from the first [BatchHeaderSize] bytes of a
// batch file. Nothing in it is authentic: it serves to refuse a batch early
// and to limit what is read. [OpenBatch] tells what to believe.
func PeekBatchHeader(b []byte) (BatchHeader, error) {
	if len(b) < BatchHeaderSize || string(b[:len(batchMagic)]) != batchMagic {
		return BatchHeader{}, errors.New("reading batch: not a batch file")
	}
	r := fields{b[len(batchMagic):BatchHeaderSize]}
	if v := r.uint8(); v != batchVersion {
		return BatchHeader{}, fmt.Errorf("reading batch: version %d, want %d", v, batchVersion)
	}
	h := BatchHeader{ID: BatchID(r.bytes(32)), Task: task.ID(r.bytes(32)), Epoch: task.Epoch(r.uint64()), Hop: r.uint8()}
	h.Threshold = task.Threshold{Kind: task.ThresholdKind(r.uint8()), T: r.uint32(), D: r.uint32(), SigmaMilli: r.uint32()}
	h.MinBatch = r.uint32()
	h.Counts.Received, h.Counts.Duplicate = r.uint64(), r.uint64()
	if n := r.uint8(); int(n) != NumCauses {
		return BatchHeader{}, fmt.Errorf("reading batch: counts of %d causes, want %d", n, NumCauses)
	}
	for i := 1; i <= NumCauses; i++ {
		h.Counts.Invalid[i] = r.uint64()
	}
	h.Counts.SuppressedCrowds, h.Counts.SuppressedReports = r.uint64(), r.uint64()
	h.Counts.Dropped, h.Counts.Released = r.uint64(), r.uint64()
	h.RowSize = r.uint32()
	if err := h.Counts.Check(); err != nil {
		return BatchHeader{}, fmt.Errorf("reading batch: %w", err)
	}
	if h.RowSize == 0 || h.RowSize > maxRowSize {
		return BatchHeader{}, fmt.Errorf("reading batch: rows of %d bytes", h.RowSize)
	}
	return h, nil
}

// maxRowSize is above each layer's size and keeps file sizes within an int64.
const maxRowSize = 1 << 16

// fields reads numbers off a slice whose length has been checked.
type fields struct{ rest []byte }

func (f *fields) bytes(n int) []byte {
	b := f.rest[:n]
	f.rest = f.rest[n:]
	return b
}

func (f *fields) uint8() uint8   { return f.bytes(1)[0] }
func (f *fields) uint32() uint32 { return binary.BigEndian.Uint32(f.bytes(4)) }
func (f *fields) uint64() uint64 { return binary.BigEndian.Uint64(f.bytes(8)) }
