package esa

import (
	"bufio"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"

	"github.com/shoal-project/shoal/metric/task"
)

// blockSize is how many bytes of a batch file are in memory at a time, about.
const blockSize = 1 << 18

// A BatchWriter writes one batch file, row by row. Equal headers, rows and keys
// give equal bytes.
type BatchWriter struct {
	w      *bufio.Writer
	hash   hash.Hash
	key    task.IdentityKey
	header BatchHeader
	left   uint64
	err    error
}

// NewBatchWriter begins a batch file. The header gives how many rows will
// follow; the key is the identity key of the hop that hands over.
func NewBatchWriter(w io.Writer, h BatchHeader, key task.IdentityKey) (*BatchWriter, error) {
	if key.Public() == nil {
		return nil, errors.New("writing batch: no identity key to sign it with")
	}
	if h.Version != batchVersion {
		return nil, fmt.Errorf("writing batch: version %d, want %d", h.Version, batchVersion)
	}
	b := &BatchWriter{hash: sha256.New(), key: key, header: h, left: h.Released}
	b.w = bufio.NewWriterSize(io.MultiWriter(w, b.hash), blockSize)
	if _, err := b.w.Write(h.append(nil)); err != nil {
		return nil, fmt.Errorf("writing batch: %w", err)
	}
	return b, nil
}

// Write adds one row, which must have the header's row size.
func (b *BatchWriter) Write(row []byte) error {
	if b.err != nil {
		return b.err
	}
	if len(row) != int(b.header.RowSize) {
		return fmt.Errorf("writing batch: a row of %d bytes, want %d", len(row), b.header.RowSize)
	}
	if b.left == 0 {
		return fmt.Errorf("writing batch: more rows than the %d announced", b.header.Released)
	}
	if _, err := b.w.Write(row); err != nil {
		b.err = fmt.Errorf("writing batch: %w", err)
		return b.err
	}
	b.left--
	return nil
}

// Close writes the digest and the signature and returns the digest. Without it,
// or with rows missing, the file is not a batch. It does not close the writer
// below, and does not make the file durable.
func (b *BatchWriter) Close() (BatchDigest, error) {
	if b.err != nil {
		return BatchDigest{}, b.err
	}
	b.err = errors.New("writing batch: it is closed")
	if b.left != 0 {
		return BatchDigest{}, fmt.Errorf("writing batch: %d of the %d rows announced are missing", b.left, b.header.Released)
	}
	if err := b.w.Flush(); err != nil {
		return BatchDigest{}, fmt.Errorf("writing batch: %w", err)
	}
	digest := BatchDigest(b.hash.Sum(nil))
	trailer := append(digest[:len(digest):len(digest)], b.key.Sign(task.BatchDomain, digest[:])...)
	if _, err := b.w.Write(trailer); err != nil {
		return BatchDigest{}, fmt.Errorf("writing batch: %w", err)
	}
	if err := b.w.Flush(); err != nil {
		return BatchDigest{}, fmt.Errorf("writing batch: %w", err)
	}
	return digest, nil
}

// BatchSealSize is the length of the seal at the end of a batch file: its digest
// and the signature of the hop that hands over.
const BatchSealSize = batchTrailerSize

// ReadBatchSeal reads the seal of a batch file of size bytes.
func ReadBatchSeal(file io.ReaderAt, size int64) ([]byte, error) {
	seal := make([]byte, BatchSealSize)
	if _, err := file.ReadAt(seal, size-BatchSealSize); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading the seal of a batch: %w", err)
	}
	return seal, nil
}

// OpenBatchSeal returns the digest in a seal that hop i of t.Hops has made. It
// serves to refuse strangers before anything of a batch is read; [OpenBatch]
// verifies that a file is the batch of the seal.
func OpenBatchSeal(seal []byte, t *task.Task, i int) (BatchDigest, error) {
	if len(seal) != BatchSealSize {
		return BatchDigest{}, fmt.Errorf("opening batch: a seal of %d bytes, want %d", len(seal), BatchSealSize)
	}
	digest := BatchDigest(seal[:sha256.Size])
	if !task.Verify(t.Hops[i].Identity, task.BatchDomain, digest[:], seal[sha256.Size:]) {
		return BatchDigest{}, fmt.Errorf("opening batch: it is not signed by hop %d of task %q", i+1, t.Metric)
	}
	return digest, nil
}

// A Batch is a batch file whose signature, header and every row have been
// verified.
type Batch struct {
	header BatchHeader
	tag    int    // bytes of tags before the layer in a row
	head   []byte // the header's bytes in the file
	digest BatchDigest
	file   io.ReaderAt
}

// OpenBatch reads a batch file of size bytes through once and verifies all of
// it: that hop i of t.Hops, where t has the given ID, signed it; that ID, hop,
// threshold, minimum and row size match t; that the rows are those signed. The
// rows can be had only after that. The file must not change while the batch is in
// use; a change is an error of [Batch.Rows].
func OpenBatch(file io.ReaderAt, size int64, t *task.Task, id task.ID, i int) (*Batch, error) {
	head := make([]byte, BatchHeaderSize)
	if _, err := file.ReadAt(head, 0); err != nil {
		return nil, fmt.Errorf("opening batch: reading its header: %w", unexpected(err))
	}
	h, err := PeekBatchHeader(head)
	if err != nil {
		return nil, fmt.Errorf("opening batch: %w", err)
	}
	if err := h.Check(t, id, i); err != nil {
		return nil, fmt.Errorf("opening batch: %w", err)
	}
	if size != h.FileSize() {
		return nil, fmt.Errorf("opening batch: %d bytes, but %d rows make %d", size, h.Released, h.FileSize())
	}
	b := &Batch{header: h, tag: h.TagsSize(t), head: head, file: file}
	seal, err := ReadBatchSeal(file, size)
	if err != nil {
		return nil, err
	}
	if b.digest, err = OpenBatchSeal(seal, t, i); err != nil {
		return nil, err
	}
	for _, err := range b.Rows() {
		if err != nil {
			return nil, fmt.Errorf("opening batch: %w", err)
		}
	}
	return b, nil
}

// Header returns the header.
func (b *Batch) Header() BatchHeader { return b.header }

// Digest returns the digest that the hop signed.
func (b *Batch) Digest() BatchDigest { return b.digest }

// Rows yields the rows in the file's order. A row is valid until the next step
// only. It hashes the file again as it reads: if the file has changed since
// OpenBatch, the last step is an error, and the rows before it must not be
// used.
func (b *Batch) Rows() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		digest := sha256.New()
		digest.Write(b.head)
		rowSize := int(b.header.RowSize)
		block := make([]byte, max(1, blockSize/rowSize)*rowSize)
		offset, left := int64(BatchHeaderSize), int64(b.header.Released)*int64(rowSize)
		for left > 0 {
			block = block[:min(int64(len(block)), left)]
			if _, err := b.file.ReadAt(block, offset); err != nil {
				yield(nil, fmt.Errorf("reading batch rows: %w", unexpected(err)))
				return
			}
			digest.Write(block)
			for at := 0; at < len(block); at += rowSize {
				if !yield(block[at:at+rowSize:at+rowSize], nil) {
					return
				}
			}
			offset += int64(len(block))
			left -= int64(len(block))
		}
		if subtle.ConstantTimeCompare(digest.Sum(nil), b.digest[:]) != 1 {
			yield(nil, errors.New("reading batch rows: they are not the ones that were signed"))
		}
	}
}

// unexpected turns the end of a file into the error of a file that ends early.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Layers yields the rows without the tags of their crowds, as [Batch.Rows] does.
func (b *Batch) Layers() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for row, err := range b.Rows() {
			if err == nil {
				row = row[b.tag:]
			}
			if !yield(row, err) {
				return
			}
		}
	}
}
