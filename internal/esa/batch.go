package esa

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/shoal-project/shoal/crypto/blind"
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

// String returns the ID in unpadded base64url, as used in URLs.
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

// Counts counts what became of the reports of a batch. Each report received is
// counted in exactly one of the other places. They are exact and for the operator
// of a hop alone, added up over tasks: a party that knows all reports of a batch
// except one learns from them whether that one was sent. They are never handed over.
type Counts struct {
	Received          uint64
	Duplicate         uint64                // equal, byte for byte, to an earlier one
	Invalid           [NumCauses + 1]uint64 // by Cause; index 0 stays 0
	SuppressedCrowds  uint64                // crowds, not reports
	SuppressedReports uint64                // reports of suppressed crowds
	Dropped           uint64                // reports dropped as noise from released crowds
	Withheld          uint64                // valid or duplicate reports that do not go on, where a stage does not find out why
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
	for _, n := range append(c.Invalid[:], c.Received, c.SuppressedCrowds, c.Duplicate, c.SuppressedReports, c.Dropped, c.Withheld, c.Released) {
		if n > maxCount {
			return fmt.Errorf("counts: %d is more than a batch can hold", n)
		}
	}
	for _, n := range append(c.Invalid[:], c.Duplicate, c.SuppressedReports, c.Dropped, c.Withheld, c.Released) {
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

// A BatchHeader describes what a batch file holds and how it came about.
type BatchHeader struct {
	Version   uint8 // of the file: 1 and 2 are read, 2 is written
	ID        BatchID
	Task      task.ID
	Epoch     task.Epoch
	Hop       uint8          // index into the task's hops of the one that hands over
	Threshold task.Threshold // as applied by this hop: the task's at the last shuffler, zero at the others
	MinBatch  uint32         // the task's
	// Total is how many valid reports there were, with noise: what the last
	// shuffler discloses of their number. It is 0 where none is disclosed: by other
	// hops, of tasks without noise, and in files of version 1.
	Total    uint64
	Released uint64 // rows
	RowSize  uint32 // bytes, with the crowd's tag or point
}

// TagSize returns how many bytes of the crowd's tag precede the layer in
// each row: those by which the analyzer holds a record to the crowd under which
// its report was counted. In tasks with blinded crowds they are a number of the
// crowd, at random.
func (h *BatchHeader) TagSize() int {
	if h.Version == 1 || h.Threshold == (task.Threshold{}) {
		return 0
	}
	return len(CrowdTag{})
}

// TagsSize is [BatchHeader.TagSize] for all crowds of a report of the batch's task: with a
// second crowd its tag or number follows that of the first.
func (h *BatchHeader) TagsSize(t *task.Task) int { return CrowdsOf(t) * h.TagSize() }

// PointSize returns how many bytes of the crowd's point precede the layer in each row
// that hop i hands over: those of the point that the first of two shufflers has
// multiplied, of tasks with blinded crowds.
func PointSize(t *task.Task, i int) int {
	if t.Protection.Blinded && i == 0 {
		return CrowdsOf(t) * blind.Size
	}
	return 0
}

// NewBatchHeader returns the header of what hop i hands over of epoch e: the
// noised total, where one is disclosed, and the number of rows. It refuses a batch
// below the task's minimum.
func NewBatchHeader(t *task.Task, id task.ID, i int, e task.Epoch, total, released uint64) (BatchHeader, error) {
	return newBatchHeader(t, id, i, BatchHeader{Version: batchVersion, Epoch: e, Total: total, Released: released})
}

func newBatchHeader(t *task.Task, id task.ID, i int, have BatchHeader) (BatchHeader, error) {
	l, err := newLayout(t, id)
	if err != nil {
		return BatchHeader{}, err
	}
	if i < 0 || i >= len(l.hops)-1 {
		return BatchHeader{}, fmt.Errorf("task %q: hop index %d of %d hands nothing over", t.Metric, i, len(l.hops))
	}
	if (t.Protection.Blinded || t.HasSecond()) && have.Version == 1 {
		return BatchHeader{}, fmt.Errorf("task %q: a batch file of version 1 has no numbers of crowds", t.Metric)
	}
	h := BatchHeader{
		Version: have.Version, ID: NewBatchID(id, have.Epoch, i), Task: id, Epoch: have.Epoch, Hop: uint8(i),
		MinBatch: t.MinBatch, Total: have.Total, Released: have.Released,
	}
	last := i == len(l.hops)-2
	if last {
		h.Threshold = t.Threshold
	}
	h.RowSize = uint32(l.hops[i].next + h.TagsSize(t) + PointSize(t, i))
	return h, h.checkTotals(t, last)
}

// checkTotals refuses a total or a number of rows that no batch of the task has.
func (h *BatchHeader) checkTotals(t *task.Task, last bool) error {
	tells := last && h.Version > 1 && t.Threshold.Kind != task.Naive
	switch {
	case h.Total > maxCount || h.Released > maxCount:
		return fmt.Errorf("task %q: %d reports and %d rows are more than a batch can hold", t.Metric, h.Total, h.Released)
	case !tells && h.Total != 0:
		return fmt.Errorf("task %q: a total of %d reports from a hop that tells none", t.Metric, h.Total)
	case tells && h.Total < uint64(t.MinBatch), !last && h.Released < uint64(t.MinBatch):
		return fmt.Errorf("task %q: a batch of %d reports is below the task's minimum of %d", t.Metric, max(h.Total, h.Released), t.MinBatch)
	}
	return nil
}

// Check reports whether the header is that of what hop i of t, whose ID is id,
// may hand over.
func (h *BatchHeader) Check(t *task.Task, id task.ID, i int) error {
	want, err := newBatchHeader(t, id, i, *h)
	if err != nil {
		return err
	}
	if *h != want {
		return fmt.Errorf("its header is not that of what hop %d of task %q hands over", i+1, t.Metric)
	}
	return nil
}

const (
	batchMagic   = "shoalbat"
	batchVersion = 2

	// batchCauses is how many causes version 1 counted.
	batchCauses = int(CauseSchema)

	// BatchHeaderSize is the length of the header at the start of a batch file.
	BatchHeaderSize = len(batchMagic) + 1 + 32 + 32 + 8 + 1 + 13 + 4 + 2*8 + 1 + 8*batchCauses + 4*8 + 4

	batchTrailerSize = sha256.Size + signatureSize
	signatureSize    = 64
)

// FileSize returns the length of the batch file, in bytes.
func (h *BatchHeader) FileSize() int64 {
	return int64(BatchHeaderSize) + int64(h.Released)*int64(h.RowSize) + batchTrailerSize
}

// append writes the header in version 2, which has the places of version 1: the
// total is in the place of the number of reports received, and the places of the
// other counts are zero.
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
	b = binary.BigEndian.AppendUint64(b, h.Total)
	b = append(b, make([]byte, 8)...)
	b = append(b, uint8(batchCauses))
	b = append(b, make([]byte, 8*batchCauses+3*8)...)
	b = binary.BigEndian.AppendUint64(b, h.Released)
	return binary.BigEndian.AppendUint32(b, h.RowSize)
}

// PeekBatchHeader reads the header from the first [BatchHeaderSize] bytes of a
// batch file. Nothing in it is authentic: it serves to refuse a batch early
// and to limit what is read. [OpenBatch] verifies it. Of a file of
// version 1, which holds exact counts, only the number of rows is returned.
func PeekBatchHeader(b []byte) (BatchHeader, error) {
	if len(b) < BatchHeaderSize || string(b[:len(batchMagic)]) != batchMagic {
		return BatchHeader{}, errors.New("reading batch: not a batch file")
	}
	r := fields{b[len(batchMagic):BatchHeaderSize]}
	version := r.uint8()
	if version != 1 && version != batchVersion {
		return BatchHeader{}, fmt.Errorf("reading batch: version %d, want 1 or %d", version, batchVersion)
	}
	h := BatchHeader{Version: version, ID: BatchID(r.bytes(32)), Task: task.ID(r.bytes(32)), Epoch: task.Epoch(r.uint64()), Hop: r.uint8()}
	h.Threshold = task.Threshold{Kind: task.ThresholdKind(r.uint8()), T: r.uint32(), D: r.uint32(), SigmaMilli: r.uint32()}
	h.MinBatch = r.uint32()
	c, err := r.counts()
	if err != nil {
		return BatchHeader{}, fmt.Errorf("reading batch: %w", err)
	}
	h.Released, h.RowSize = c.Released, r.uint32()
	if version == 1 {
		err = c.Check()
		if err == nil && c.Distinct() < uint64(h.MinBatch) {
			err = fmt.Errorf("a batch of %d reports is below the minimum of %d", c.Distinct(), h.MinBatch)
		}
	} else {
		h.Total = c.Received
		c.Received, c.Released = 0, 0
		if c != (Counts{}) {
			err = errors.New("counts in places that are zero in version 2")
		}
	}
	if err != nil {
		return BatchHeader{}, fmt.Errorf("reading batch: %w", err)
	}
	if h.RowSize == 0 || h.RowSize > maxRowSize {
		return BatchHeader{}, fmt.Errorf("reading batch: rows of %d bytes", h.RowSize)
	}
	if h.Released > maxCount {
		return BatchHeader{}, fmt.Errorf("reading batch: %d rows", h.Released)
	}
	return h, nil
}

// counts reads the places of the counts.
func (f *fields) counts() (Counts, error) {
	c := Counts{Received: f.uint64(), Duplicate: f.uint64()}
	if n := f.uint8(); int(n) != batchCauses {
		return Counts{}, fmt.Errorf("counts of %d causes, want %d", n, batchCauses)
	}
	for i := 1; i <= batchCauses; i++ {
		c.Invalid[i] = f.uint64()
	}
	c.SuppressedCrowds, c.SuppressedReports = f.uint64(), f.uint64()
	c.Dropped, c.Released = f.uint64(), f.uint64()
	return c, nil
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
