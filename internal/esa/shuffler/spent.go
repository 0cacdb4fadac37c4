package shuffler

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/shoal-project/shoal/internal/credential"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/engine"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/metric/task"
)

// markWidth is the bytes of a mark: what is kept of a tag that was spent.
const markWidth = 16

// markOf returns the mark of the tag of one kind.
func markOf(kind task.PresentationKind, tag []byte) [markWidth]byte {
	sum := sha256.Sum256(append([]byte{uint8(kind)}, tag...))
	return [markWidth]byte(sum[:markWidth])
}

// showing is what a batch's stage does about credentials: it refuses reports whose
// presentations do not hold, and of those with one tag keeps one report, that with the
// smallest digest, so that a repetition keeps the same. Reports whose tag was spent in
// an earlier batch go too.
type showing struct {
	// verify appends the marks of a report's presentations.
	verify func(marks []byte, opened *esa.Opened) ([]byte, esa.Cause)
	// before yields the marks that earlier batches have spent.
	before func(context.Context) iter.Seq2[[]byte, error]
	// spend is given the marks that this batch spends, each once, in order.
	spend func(context.Context, iter.Seq2[[]byte, error]) error
}

// shown are the columns of the dataset of marks: the mark, the digest of the report,
// which is zero for marks of earlier batches, and the report's number.
func shown() []engine.Column {
	return []engine.Column{{Name: "mark", Width: markWidth}, {Name: "digest", Width: markWidth}, {Name: "number", Width: numberWidth}}
}

const shownWidth = 2*markWidth + numberWidth

// show verifies what a report shows. It reports whether the report is valid.
func (s *stage) show(number uint64, opened *esa.Opened, r *openedReports) bool {
	if s.showing == nil {
		return true
	}
	var cause esa.Cause
	r.scratch, cause = s.showing.verify(r.scratch[:0], opened)
	if cause != 0 {
		r.counts.Invalid[cause]++
		return false
	}
	digest := sha256.Sum256(opened.Report)
	for marks := r.scratch; len(marks) > 0; marks = marks[markWidth:] {
		r.shown = append(r.shown, marks[:markWidth]...)
		r.shown = append(r.shown, digest[:markWidth]...)
		r.shown = appendNumber(r.shown, number)
	}
	return true
}

// createShown begins the dataset of marks with those of earlier batches; nil without
// credentials.
func (s *stage) createShown(ctx context.Context) (engine.Writer, error) {
	if s.showing == nil {
		return nil, nil
	}
	w, err := s.engine.CreateSorted(ctx, s.dataset("shown"), shown(), []string{"mark", "digest"})
	if err != nil {
		return nil, err
	}
	row := make([]byte, shownWidth)
	for mark, err := range s.showing.before(ctx) {
		if err == nil {
			copy(row, mark)
			err = w.Write(row)
		}
		if err != nil {
			w.Abort()
			return nil, fmt.Errorf("reading spent tags: %w", err)
		}
	}
	return w, nil
}

// findSpent finds the reports whose tags others have spent, and notes the tags that
// this batch spends. received is the number of reports.
func (s *stage) findSpent(ctx context.Context, received uint64) (spent numbers, n uint64, err error) {
	if s.showing == nil {
		return nil, 0, nil
	}
	spent = newNumbers(received)
	var last, first []byte // a mark, and the digest that spends it
	var walk error
	marks := func(yield func([]byte, error) bool) {
		errStop := errors.New("stopped")
		walk = s.rows(ctx, s.dataset("shown"), func(row []byte) error {
			mark, digest := row[:markWidth], row[markWidth:2*markWidth]
			if string(mark) != string(last) {
				last, first = append(last[:0], mark...), append(first[:0], digest...)
				if !isZero(digest) && !yield(mark, nil) {
					return errStop
				}
				return nil
			}
			if string(digest) == string(first) || isZero(digest) {
				return nil // the same report again, or the same mark of earlier batches
			}
			if number := numberOf(row[2*markWidth:]); !spent.has(number) {
				spent.add(number)
				n++
			}
			return nil
		})
		if walk != nil && !errors.Is(walk, errStop) {
			yield(nil, walk)
		}
	}
	// Of a mark of an earlier batch all reports are spent: its digest is zero.
	if err := s.showing.spend(ctx, marks); err != nil {
		return nil, 0, fmt.Errorf("noting spent tags: %w", err)
	}
	return spent, n, nil
}

func isZero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}

// showingOf returns what the stage of a batch does about credentials; nil if the task
// asks for none here.
func (s *Shuffler) showingOf(ctx context.Context, h *hosted, b Batch) (*showing, error) {
	asked := h.task.Presentations(h.task.Hops[h.hop])
	if len(asked) == 0 {
		return nil, nil
	}
	// All epochs of a salt window are in one period.
	v, err := s.config.Issuer.Verifier(h.id, b.Epoch)
	if err != nil && !errors.Is(err, credential.ErrNoKey) {
		return nil, err
	}
	dir, err := s.config.Issuer.SpentDir(h.id, b.Epoch)
	if err != nil {
		return nil, err
	}
	earlier, err := s.spentBefore(ctx, h, b, dir)
	if err != nil {
		return nil, err
	}
	return &showing{
		verify: func(marks []byte, opened *esa.Opened) ([]byte, esa.Cause) { return verify(h, v, marks, opened) },
		before: func(context.Context) iter.Seq2[[]byte, error] { return s.readSpent(earlier) },
		spend: func(_ context.Context, marks iter.Seq2[[]byte, error]) error {
			return s.writeSpent(dir, b.Key(), marks)
		},
	}, nil
}

// verify checks the presentations of one report. v is nil if no credentials were issued.
func verify(h *hosted, v *credential.Verifier, marks []byte, opened *esa.Opened) ([]byte, esa.Cause) {
	header, err := esa.ParseHeader(opened.Report)
	if err != nil || v == nil {
		return marks, esa.CauseCredential
	}
	binding := credential.Binding(h.id, opened.Digest)
	for _, c := range credential.ContextsOf(h.task, h.task.Hops[h.hop], header.Epoch, opened.Crowd[:]) {
		kind := esa.ExtensionEpoch
		if c.Kind != task.EpochPresentation {
			kind = esa.ExtensionCrowd
		}
		tag, err := v.Verify(c, opened.Presentation(kind), binding)
		if err != nil {
			return marks, esa.CauseCredential
		}
		mark := markOf(c.Kind, tag[:])
		marks = append(marks, mark[:]...)
	}
	return marks, 0
}

// spentName is the name of the file of what a batch has spent.
func spentName(k Key) string {
	return hex.EncodeToString(k.Task[:]) + "-" + strconv.FormatUint(uint64(k.Epoch), 10)
}

func parseSpentName(name string) (Key, bool) {
	left, right, ok := strings.Cut(name, "-")
	id, err := hex.DecodeString(left)
	e, errE := strconv.ParseUint(right, 10, 64)
	if !ok || err != nil || errE != nil || len(id) != len(task.ID{}) {
		return Key{}, false
	}
	return Key{task.ID(id), task.Epoch(e)}, true
}

// hasSpent reports whether a batch has been released, so that its tags are spent.
func (b Batch) hasSpent() bool {
	return b.Output != ([32]byte{}) && (b.State == Processed || b.State == Delivered || b.State == Destroyed)
}

// spentBefore returns the files of the tags that other batches of the same period have
// spent, of all versions of the metric. A file that must be there and is not makes the
// batch wait: without it reports could count twice.
func (s *Shuffler) spentBefore(ctx context.Context, h *hosted, b Batch, dir string) ([]string, error) {
	if err := s.config.FS.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	entries, err := s.config.FS.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []string
	have := map[Key]bool{}
	for _, e := range entries {
		key, ok := parseSpentName(e.Name())
		if !ok || key == b.Key() {
			continue
		}
		other, err := s.config.Store.Batch(ctx, key)
		if err != nil {
			return nil, err
		}
		if other.hasSpent() {
			have[key] = true
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	first := task.Epoch(h.task.SaltWindow(b.Epoch) * uint64(max(1, h.task.Crowd.SaltEpochs)))
	for e := first; e < first+task.Epoch(max(1, h.task.Crowd.SaltEpochs)); e++ {
		key := Key{h.id, e}
		if key == b.Key() || have[key] {
			continue
		}
		other, err := s.config.Store.Batch(ctx, key)
		if err != nil {
			return nil, err
		}
		if other.hasSpent() {
			return nil, fmt.Errorf("the tags that epoch %d has spent are missing: restore %s", e, filepath.Join(dir, spentName(key)))
		}
	}
	return files, nil
}

// The file of spent tags: a line that names it, marks in order, and the SHA-256 digest
// of all before.
const spentMagic = "shoal spent tags v1\n"

// writeSpent makes the marks that a batch spends durable, before the batch is released.
func (s *Shuffler) writeSpent(dir string, k Key, marks iter.Seq2[[]byte, error]) error {
	return durable.Create(s.config.FS, filepath.Join(dir, spentName(k)), func(w io.Writer) error {
		out := bufio.NewWriterSize(w, 1<<16)
		sum := sha256.New()
		both := io.MultiWriter(out, sum)
		if _, err := io.WriteString(both, spentMagic); err != nil {
			return err
		}
		for mark, err := range marks {
			if err != nil {
				return err
			}
			if _, err := both.Write(mark); err != nil {
				return err
			}
		}
		if _, err := out.Write(sum.Sum(nil)); err != nil {
			return err
		}
		return out.Flush()
	})
}

// forgetSpent removes what a batch has noted that is not released after all.
func (s *Shuffler) forgetSpent(h *hosted, b Batch) error {
	if s.config.Issuer == nil {
		return nil
	}
	dir, err := s.config.Issuer.SpentDir(h.id, b.Epoch)
	if err != nil {
		return nil // the task asks for none
	}
	if err := s.config.FS.Remove(filepath.Join(dir, spentName(b.Key()))); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// readSpent yields the marks of files.
func (s *Shuffler) readSpent(files []string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, name := range files {
			more, err := s.readSpentFile(name, yield)
			if err != nil {
				yield(nil, fmt.Errorf("%s: %w", name, err))
				return
			}
			if !more {
				return
			}
		}
	}
}

var errSpentDamaged = errors.New("the file of spent tags is damaged: restore it")

func (s *Shuffler) readSpentFile(name string, yield func([]byte, error) bool) (more bool, err error) {
	f, err := s.config.FS.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	n := info.Size() - int64(len(spentMagic)) - sha256.Size
	if n < 0 || n%markWidth != 0 {
		return false, errSpentDamaged
	}
	sum := sha256.New()
	in := bufio.NewReaderSize(f, 1<<16)
	magic := make([]byte, len(spentMagic))
	if _, err := io.ReadFull(in, magic); err != nil || string(magic) != spentMagic {
		return false, errors.Join(errSpentDamaged, err)
	}
	sum.Write(magic)
	return yieldMarks(in, sum, n/markWidth, yield)
}

func yieldMarks(in io.Reader, sum hash.Hash, n int64, yield func([]byte, error) bool) (bool, error) {
	mark := make([]byte, markWidth)
	for range n {
		if _, err := io.ReadFull(in, mark); err != nil {
			return false, errors.Join(errSpentDamaged, err)
		}
		sum.Write(mark)
		if !yield(mark, nil) {
			return false, nil
		}
	}
	have := make([]byte, sha256.Size)
	if _, err := io.ReadFull(in, have); err != nil || string(have) != string(sum.Sum(nil)) {
		return false, errors.Join(errSpentDamaged, err)
	}
	return true, nil
}
