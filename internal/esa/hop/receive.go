package hop

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/problem"
	"github.com/shoal-project/shoal/metric/task"
)

// BatchType is the media type of a signed batch.
const BatchType = "application/shoal-batch;v=1"

// ReceiptType is the media type of the answer to a batch that is durable here.
const ReceiptType = "application/shoal-receipt;v=1"

// SealHeader is the request header that carries a batch's seal in unpadded
// base64url. It comes ahead of the batch, so that a stranger's is refused before
// it takes any room.
const SealHeader = "Shoal-Batch-Seal"

// FormatSeal returns a seal, or a receipt, as written in headers and answers.
func FormatSeal(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// ErrConflict is returned if a batch of this ID has been accepted with another
// digest.
var ErrConflict = errors.New("another batch of this ID has been accepted")

// The problems of a batch.
var (
	badBatch = problem.Problem{
		Status: http.StatusBadRequest, Type: problem.Shoal("invalidBatch"),
		Title: "The body is not a batch of this task, signed by the hop before.",
	}
	conflict = problem.Problem{
		Status: http.StatusConflict, Type: problem.Shoal("batchConflict"),
		Title: "Another batch has been accepted under this ID.",
	}
	diskFull = problem.Problem{
		Status: http.StatusServiceUnavailable, Type: problem.Shoal("diskFull"),
		Title: "The server has no space left. Try again later.", Retry: time.Minute,
	}
)

// An Intake decides which batches are taken and what becomes of them.
type Intake struct {
	FS       durable.FS
	Dir      string // where batches are written while they arrive
	Task     *task.Task
	ID       task.ID        // of Task
	From     int            // index into Task.Hops of the hop that hands over
	MaxBytes int64          // of a batch file
	Serial   *atomic.Uint64 // makes the names of files that arrive at the same time distinct
	// Accept is given a batch whose signature and rows have been verified, and
	// the name of its file, which is durable but not under a durable name: to
	// keep it, Accept renames it. It returns whether the batch is new, or
	// ErrConflict.
	Accept func(ctx context.Context, header esa.BatchHeader, digest esa.BatchDigest, file string) (bool, error)
}

// PutBatch takes a batch: 201 if it is new, 200 if the same one is here
// already, 409 if the ID is taken by another. It answers 201 and 200 only when
// the batch is durable, and then with a receipt, the digest of the batch: an
// answer without it does not come from a hop.
func PutBatch(w http.ResponseWriter, r *http.Request, in Intake) {
	digest, fresh, err := in.take(w, r)
	p := Unavailable
	switch {
	case err == nil:
		w.Header().Set("Content-Type", ReceiptType)
		status := http.StatusOK
		if fresh {
			status = http.StatusCreated
		}
		w.WriteHeader(status)
		io.WriteString(w, FormatSeal(digest[:])) // the sender tries again if this fails
		return
	case errors.Is(err, ErrConflict):
		p = conflict
	case durable.IsFull(err):
		p = diskFull
	default:
		if refused, ok := errors.AsType[refusal](err); ok {
			p = problem.Problem(refused)
		}
	}
	p.Write(w, 0)
}

// A hand-over may take minTimeout and a second more for each slowestPeer
// bytes, at either end.
const (
	minTimeout  = 2 * time.Minute
	slowestPeer = 1 << 18
)

// Timeout returns how long the hand-over of a batch of size bytes may take.
func Timeout(size int64) time.Duration {
	return minTimeout + time.Duration(size/slowestPeer)*time.Second
}

// limitTime sets the end of an exchange, which was short until its sender was
// known. Connections that cannot have deadlines (in tests) go without.
func limitTime(w http.ResponseWriter, d time.Duration) {
	c := http.NewResponseController(w)
	end := time.Now().Add(d)
	_ = c.SetReadDeadline(end)
	_ = c.SetWriteDeadline(end)
}

// A refusal is a problem that the sender has caused.
type refusal problem.Problem

func (r refusal) Error() string { return r.Title }

func (in Intake) take(w http.ResponseWriter, r *http.Request) (esa.BatchDigest, bool, error) {
	var none esa.BatchDigest
	id, err := esa.ParseBatchID(r.PathValue("batch"))
	if err != nil {
		return none, false, refusal(badBatch)
	}
	if !HasType(r, BatchType) {
		return none, false, refusal(BadType)
	}
	digest, err := in.openSeal(r)
	if err != nil {
		return none, false, refusal(badBatch)
	}
	body := http.MaxBytesReader(w, r.Body, in.MaxBytes)
	head := make([]byte, esa.BatchHeaderSize)
	if _, err := io.ReadFull(body, head); err != nil {
		return none, false, refusal(Cut)
	}
	h, err := in.openHeader(head)
	if err != nil || h.ID != id {
		return none, false, refusal(badBatch)
	}
	size := h.FileSize()
	if size > in.MaxBytes || r.ContentLength > in.MaxBytes {
		return none, false, refusal(TooLarge)
	}
	if r.ContentLength >= 0 && r.ContentLength != size {
		return none, false, refusal(badBatch)
	}
	limitTime(w, Timeout(size))
	tmp := filepath.Join(in.Dir, fmt.Sprintf("arriving-%d.tmp", in.Serial.Add(1)))
	defer in.FS.Remove(tmp) // gone if it was accepted
	stored, err := in.store(tmp, head, body, size)
	if err != nil {
		return none, false, err
	}
	if stored != digest {
		return none, false, refusal(badBatch)
	}
	fresh, err := in.Accept(context.WithoutCancel(r.Context()), h, digest, tmp)
	return digest, fresh, err
}

// openSeal returns the digest of the batch that the hop before announces.
func (in Intake) openSeal(r *http.Request) (esa.BatchDigest, error) {
	seal, err := base64.RawURLEncoding.Strict().DecodeString(r.Header.Get(SealHeader))
	if err != nil {
		return esa.BatchDigest{}, err
	}
	return esa.OpenBatchSeal(seal, in.Task, in.From)
}

// openHeader refuses a header that no batch of the task can have.
func (in Intake) openHeader(head []byte) (esa.BatchHeader, error) {
	h, err := esa.PeekBatchHeader(head)
	if err != nil {
		return h, err
	}
	if !in.Task.Covers(h.Epoch) {
		return h, errors.New("not an epoch of this task")
	}
	return h, h.Check(in.Task, in.ID, in.From)
}

// store writes the batch to the file tmp and verifies it there.
func (in Intake) store(tmp string, head []byte, body io.Reader, size int64) (digest esa.BatchDigest, err error) {
	f, err := in.FS.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return digest, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(head); err != nil {
		return digest, err
	}
	rest := &sourceReader{r: body}
	// One byte more than announced shows that the body is too long.
	n, err := io.CopyBuffer(onlyWriter{f}, io.LimitReader(rest, size-int64(len(head))+1), make([]byte, 1<<18))
	if rest.err != nil {
		return digest, refusal(Cut)
	}
	if err != nil {
		return digest, err
	}
	if n != size-int64(len(head)) {
		return digest, refusal(badBatch)
	}
	batch, err := esa.OpenBatch(f, size, in.Task, in.ID, in.From)
	if err != nil {
		return digest, refusal(badBatch)
	}
	return batch.Digest(), f.Sync()
}

// onlyWriter hides other methods of a file from io.Copy.
type onlyWriter struct{ io.Writer }

// A sourceReader remembers the error of the reader below, to distinguish a broken
// connection from a broken disk.
type sourceReader struct {
	r   io.Reader
	err error
}

func (s *sourceReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// CleanArriving removes what batches that never arrived whole have left in dir.
func CleanArriving(fsys durable.FS, dir string) error {
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".tmp") {
			continue
		}
		if err := fsys.Remove(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
