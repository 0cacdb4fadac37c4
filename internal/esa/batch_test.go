package esa

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/internal/golden"
	"github.com/shoal-project/shoal/metric/task"
)

// testTotal is a noised number of reports.
const testTotal = 57

// writeBatch returns the file of a batch whose row i is filled with byte i.
func writeBatch(t testing.TB, w *world, rows uint64) []byte {
	t.Helper()
	h, err := NewBatchHeader(w.task, w.id, 0, testEpoch, testTotal, rows)
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	b, err := NewBatchWriter(&file, h, w.identities[0])
	if err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		if err := b.Write(bytes.Repeat([]byte{byte(i)}, int(h.RowSize))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func (w *world) openBatch(file []byte) (*Batch, error) {
	return OpenBatch(bytes.NewReader(file), int64(len(file)), w.task, w.id, 0)
}

// TestGoldenBatch holds the file format, and that equal input gives equal bytes.
func TestGoldenBatch(t *testing.T) {
	const file = "testdata/batch.shoalbat"
	w := newWorld(t, X25519, X25519)
	got := writeBatch(t, w, 3)
	golden.Equal(t, file, got)
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b, err := w.openBatch(want)
	if err != nil {
		t.Fatal(err)
	}
	h := b.Header()
	if h.ID != NewBatchID(w.id, testEpoch, 0) || h.Total != testTotal || h.Released != 3 || h.Threshold != w.task.Threshold ||
		int(h.RowSize) != 16+LayerSize(w.task, 1, X25519) || h.TagSize() != 16 || h.FileSize() != int64(len(want)) {
		t.Errorf("header %+v", h)
	}
	n := 0
	for row, err := range b.Rows() {
		if err != nil || len(row) != int(h.RowSize) || row[0] != byte(n) || row[len(row)-1] != byte(n) {
			t.Fatalf("row %d: %x, %v", n, row, err)
		}
		n++
	}
	if n != 3 {
		t.Errorf("%d rows", n)
	}
}

// TestBatchIsAuthenticatedWhole covers a network or a disk that alters what one
// organisation hands to the next.
func TestBatchIsAuthenticatedWhole(t *testing.T) {
	w := newWorld(t, X25519, X25519)
	file := writeBatch(t, w, 2)
	for bit := range 8 * len(file) {
		file[bit/8] ^= 1 << (bit % 8)
		if _, err := w.openBatch(file); err == nil {
			t.Fatalf("bit %d changed, but the batch opens", bit)
		}
		file[bit/8] ^= 1 << (bit % 8)
	}
	for n := range file {
		if _, err := w.openBatch(file[:n]); err == nil {
			t.Fatalf("cut to %d bytes, but the batch opens", n)
		}
	}
	for _, at := range []int{BatchHeaderSize, len(file) - batchTrailerSize, len(file)} {
		if _, err := w.openBatch(slices.Insert(bytes.Clone(file), at, 0)); err == nil {
			t.Errorf("one byte inserted at %d, but the batch opens", at)
		}
	}
	if _, err := w.openBatch(file); err != nil {
		t.Error(err)
	}
}

// TestBatchIsTheTasks covers a hop that signs what another task, hop or set of
// parameters would allow: the batch must match the task.
func TestBatchIsTheTasks(t *testing.T) {
	w := newWorld(t, X25519, X25519, X25519)
	file := func(change func(h *BatchHeader), key task.IdentityKey) []byte {
		h, err := NewBatchHeader(w.task, w.id, 1, testEpoch, testTotal, 1)
		if err != nil {
			t.Fatal(err)
		}
		change(&h)
		var out bytes.Buffer
		b, err := NewBatchWriter(&out, h, key)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Write(make([]byte, h.RowSize)); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	open := func(b []byte, i int) error {
		_, err := OpenBatch(bytes.NewReader(b), int64(len(b)), w.task, w.id, i)
		return err
	}
	honest := file(func(*BatchHeader) {}, w.identities[1])
	if err := open(honest, 1); err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{-1, 0, 2, 3} {
		if err := open(honest, i); err == nil {
			t.Errorf("opened as from hop index %d", i)
		}
	}
	if err := open(file(func(*BatchHeader) {}, w.identities[0]), 1); err == nil || !strings.Contains(err.Error(), "not signed") {
		t.Errorf("signed by another hop: %v", err)
	}
	for name, change := range map[string]func(h *BatchHeader){
		"ID":        func(h *BatchHeader) { h.ID[0]++ },
		"task":      func(h *BatchHeader) { h.Task[0]++ },
		"epoch":     func(h *BatchHeader) { h.Epoch++ },
		"hop":       func(h *BatchHeader) { h.Hop-- },
		"threshold": func(h *BatchHeader) { h.Threshold.T-- },
		"noise":     func(h *BatchHeader) { h.Threshold.SigmaMilli = 0 },
		"minimum":   func(h *BatchHeader) { h.MinBatch-- },
		"row size":  func(h *BatchHeader) { h.RowSize++ },
		"no total":  func(h *BatchHeader) { h.Total = 0 },
		"below":     func(h *BatchHeader) { h.Total = 1 },
		"overflow":  func(h *BatchHeader) { h.Total = 1 << 63 },
	} {
		b := file(change, w.identities[1])
		if err := open(b, 1); err == nil {
			t.Errorf("%s changed, but the batch opens", name)
		}
	}
	if _, err := NewBatchHeader(w.task, w.id, 1, testEpoch, 1, 1); err == nil {
		t.Error("header for a batch below the minimum")
	}
	// A first shuffler applies no threshold, since it reads no crowds.
	h, err := NewBatchHeader(w.task, w.id, 0, testEpoch, 0, 2)
	if err != nil || h.Threshold != (task.Threshold{}) || int(h.RowSize) != LayerSize(w.task, 1, X25519) {
		t.Errorf("first shuffler's header %+v, %v", h, err)
	}
}

func TestBatchWriterRefusesMisuse(t *testing.T) {
	w := newWorld(t, X25519, X25519)
	h, err := NewBatchHeader(w.task, w.id, 0, testEpoch, testTotal, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewBatchWriter(io.Discard, h, task.IdentityKey{}); err == nil {
		t.Error("writes without a key")
	}
	b, err := NewBatchWriter(io.Discard, h, w.identities[0])
	if err != nil {
		t.Fatal(err)
	}
	row := make([]byte, h.RowSize)
	if err := b.Write(row[1:]); err == nil {
		t.Error("takes a short row")
	}
	if err := b.Write(row); err != nil {
		t.Error(err)
	}
	if err := b.Write(row); err == nil {
		t.Error("takes more rows than announced")
	}
	if _, err := b.Close(); err != nil {
		t.Error(err)
	}
	if err := b.Write(row); err == nil {
		t.Error("takes a row after Close")
	}
	if _, err := b.Close(); err == nil {
		t.Error("closes twice")
	}
	if b, err = NewBatchWriter(io.Discard, h, w.identities[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Close(); err == nil {
		t.Error("closes with a row missing")
	}
}

// full fails every write after the first n bytes.
type full struct{ left int }

func (f *full) Write(b []byte) (int, error) {
	if f.left -= len(b); f.left < 0 {
		return 0, errors.New("disk full")
	}
	return len(b), nil
}

func TestBatchWriterReportsAFullDisk(t *testing.T) {
	w := newWorld(t, X25519, X25519)
	size := len(writeBatch(t, w, 3))
	for n := 0; n < size; n += 97 {
		h, err := NewBatchHeader(w.task, w.id, 0, testEpoch, testTotal, 3)
		if err != nil {
			t.Fatal(err)
		}
		b, err := NewBatchWriter(&full{n}, h, w.identities[0])
		for range 3 {
			err = errors.Join(err, b.Write(make([]byte, h.RowSize)))
		}
		if _, last := b.Close(); last == nil && err == nil {
			t.Errorf("full after %d of %d bytes, and no error", n, size)
		}
	}
}

// changing is a file whose bytes change after some reads.
type changing struct {
	file  []byte
	reads int
	then  func(file []byte)
}

func (c *changing) ReadAt(b []byte, at int64) (int, error) {
	if c.reads--; c.reads == 0 {
		c.then(c.file)
	}
	return bytes.NewReader(c.file).ReadAt(b, at)
}

// TestBatchThatChangesAfterItsCheck covers a file swapped between the
// verification and the use.
func TestBatchThatChangesAfterItsCheck(t *testing.T) {
	w := newWorld(t, X25519, X25519)
	file := writeBatch(t, w, 5)
	// Three reads verify it: header, trailer, rows.
	c := &changing{file: file, reads: 4, then: func(f []byte) { f[BatchHeaderSize+1] ^= 1 }}
	b, err := OpenBatch(c, int64(len(file)), w.task, w.id, 0)
	if err != nil {
		t.Fatal(err)
	}
	var last error
	for _, err := range b.Rows() {
		last = err
	}
	if last == nil {
		t.Error("the changed rows are believed")
	}
}

func TestBatchWithoutRows(t *testing.T) {
	w := newWorld(t, X25519, X25519)
	b, err := w.openBatch(writeBatch(t, w, 0))
	if err != nil {
		t.Fatal(err)
	}
	for row, err := range b.Rows() {
		t.Errorf("row %x, %v", row, err)
	}
}

// TestBatchBlocks reads batches whose rows fill one block, less and more.
func TestBatchBlocks(t *testing.T) {
	w := newWorld(t, X25519, X25519)
	perBlock := uint64(blockSize / LayerSize(w.task, 1, X25519))
	for _, rows := range []uint64{perBlock - 1, perBlock, perBlock + 1, 2*perBlock + 7} {
		b, err := w.openBatch(writeBatch(t, w, rows))
		if err != nil {
			t.Fatal(err)
		}
		n := uint64(0)
		for row, err := range b.Rows() {
			if err != nil || row[0] != byte(n) {
				t.Fatalf("row %d of %d: %v", n, rows, err)
			}
			n++
		}
		if n != rows {
			t.Errorf("%d rows of %d", n, rows)
		}
		for range b.Rows() {
			break // a reader may stop early
		}
	}
}

func TestBatchID(t *testing.T) {
	id := NewBatchID(task.ID{1}, 2, 1)
	for _, other := range []BatchID{NewBatchID(task.ID{2}, 2, 1), NewBatchID(task.ID{1}, 3, 1), NewBatchID(task.ID{1}, 2, 0)} {
		if id == other {
			t.Error("two batches with one ID")
		}
	}
	if got, err := ParseBatchID(id.String()); err != nil || got != id {
		t.Errorf("%v, %v", got, err)
	}
	for _, s := range []string{"", "x", id.String()[1:], id.String() + "A", id.String()[:42] + "="} {
		if _, err := ParseBatchID(s); err == nil {
			t.Errorf("parses %q", s)
		}
	}
}

// FuzzBatch reads arbitrary bytes as a batch, as they are and with the digest
// and signature that the hop would have made: what an evil hop can reach.
func FuzzBatch(f *testing.F) {
	w := newWorld(f, X25519, X25519)
	good := writeBatch(f, w, 2)
	f.Add(good)
	f.Add(good[:BatchHeaderSize])
	f.Add(writeBatch(f, w, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := PeekBatchHeader(b)
		if err == nil && h.Version > 1 && !bytes.Equal(h.append(nil), b[:BatchHeaderSize]) {
			t.Errorf("header %+v has another encoding", h)
		}
		if _, err := w.openBatch(b); err == nil && h.Version > 1 && h.Total < 2 {
			t.Errorf("a batch that nobody signed: %+v", h)
		}
		if len(b) < batchTrailerSize {
			return
		}
		digest := sha256.Sum256(b[:len(b)-batchTrailerSize])
		signed := slices.Concat(b[:len(b)-batchTrailerSize], digest[:], w.identities[0].Sign(task.BatchDomain, digest[:]))
		batch, err := w.openBatch(signed)
		if err != nil {
			return
		}
		n, h := uint64(0), batch.Header()
		for row, err := range batch.Rows() {
			if err != nil || len(row)-h.TagSize() != LayerSize(w.task, 1, X25519) {
				t.Fatalf("row %d of %d bytes, %v", n, len(row), err)
			}
			n++
		}
		if got := batch.Header(); n != got.Released || got.Version > 1 && got.Total < uint64(w.task.MinBatch) {
			t.Errorf("%d rows under header %+v", n, got)
		}
	})
}

// TestBatchOfVersion1 holds that files of the version before can be read, and that
// their exact counts are not.
func TestBatchOfVersion1(t *testing.T) {
	w := newWorld(t, X25519, X25519)
	file, err := os.ReadFile("testdata/batch-v1.shoalbat")
	if err != nil {
		t.Fatal(err)
	}
	b, err := w.openBatch(file)
	if err != nil {
		t.Fatal(err)
	}
	h := b.Header()
	if h.Version != 1 || h.Total != 0 || h.Released != 3 || h.TagSize() != 0 || int(h.RowSize) != LayerSize(w.task, 1, X25519) {
		t.Errorf("header %+v", h)
	}
	n := 0
	for row, err := range b.Layers() {
		if err != nil || len(row) != int(h.RowSize) || row[0] != byte(n) {
			t.Fatalf("row %d: %x, %v", n, row, err)
		}
		n++
	}
	for bit := range 8 * len(file) {
		file[bit/8] ^= 1 << (bit % 8)
		if _, err := w.openBatch(file); err == nil {
			t.Fatalf("bit %d changed, but the batch opens", bit)
		}
		file[bit/8] ^= 1 << (bit % 8)
	}
	if _, err := NewBatchWriter(io.Discard, h, w.identities[0]); err == nil {
		t.Error("writes version 1")
	}
}

// TestNoCountIsHandedOver covers exact totals beside a noised one: one report more
// or less of those that are duplicates, invalid, suppressed or dropped is nowhere
// in the file.
func TestNoCountIsHandedOver(t *testing.T) {
	w := newWorld(t, X25519, X25519)
	h, err := NewBatchHeader(w.task, w.id, 0, testEpoch, testTotal, 3)
	if err != nil {
		t.Fatal(err)
	}
	head := h.append(nil)
	if len(head) != BatchHeaderSize {
		t.Fatalf("a header of %d bytes, want %d", len(head), BatchHeaderSize)
	}
	r := fields{head[len(head)-4-len(binaryCounts()):]}
	c, err := r.counts()
	if err != nil {
		t.Fatal(err)
	}
	if want := (Counts{Received: testTotal, Released: 3}); c != want {
		t.Errorf("the places of counts hold %+v, want %+v", c, want)
	}
	for at := len(head) - 4 - 16; at > len(head)-4-len(binaryCounts())+8; at-- { // all but total, causes' number and rows
		if head[at] == uint8(batchCauses) {
			continue
		}
		bad := bytes.Clone(head)
		bad[at] ^= 1
		if _, err := PeekBatchHeader(bad); err == nil {
			t.Errorf("a count at byte %d is read", at)
		}
	}
}

// binaryCounts has the length of the counts in a header.
func binaryCounts() []byte { return make([]byte, 2*8+1+8*batchCauses+4*8) }
