package shuffler

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/loss"
	"github.com/shoal-project/shoal/internal/segment"
	"github.com/shoal-project/shoal/metric/task"
)

// A place is where a log is damaged.
type place struct {
	file   string
	offset int64
}

// lost remembers damage to a log, which may be met more than once. Callers hold
// s.mu or are New.
func (s *Shuffler) lost(damage ...segment.Damage) {
	files := map[string]int64{}
	for _, d := range damage {
		file := s.finally(d.File)
		s.damaged[place{file, d.Offset}] = max(1, d.Records)
		files[file] = 0
	}
	if len(files) == 0 {
		return
	}
	for p, n := range s.damaged {
		if _, ok := files[p.file]; ok {
			files[p.file] += n
		}
	}
	for file, n := range files {
		s.lose(loss.Loss{Cause: loss.Damaged, Place: s.placeOf(file), Reports: n, Detail: "the disk has changed or cut off a log; its other reports count"})
	}
}

// Damaged returns how many records the disk has lost, at least, since the start.
func (s *Shuffler) Damaged() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all int64
	for _, n := range s.damaged {
		all += n
	}
	return all
}

// placeOf names a file below the shuffler's folder.
func (s *Shuffler) placeOf(file string) string {
	name, err := filepath.Rel(s.config.Dir, file)
	if err != nil || filepath.Base(file) == file { // a segment of logs that batches share
		return filepath.Base(file)
	}
	return filepath.ToSlash(name)
}

// checkLog looks for the log of a batch that is closed.
func (s *Shuffler) checkLog(k Key) {
	if _, err := s.config.FS.Stat(s.logDir(k)); errors.Is(err, fs.ErrNotExist) {
		s.lose(loss.Loss{Cause: loss.Missing, Place: s.placeOf(s.logDir(k)), Detail: "the folder with the reports of a batch is gone"}, k)
	}
}

// checkTaken compares the log of a batch that closes, in which no damage was found,
// with the reports that were accepted.
func (s *Shuffler) checkTaken(k Key, have int64) {
	s.mu.Lock()
	in := s.intakes[k]
	s.mu.Unlock()
	if in == nil || in.taken.Load() <= have {
		return
	}
	s.lose(loss.Loss{
		Cause: loss.Missing, Place: s.placeOf(s.logDir(k)), Reports: in.taken.Load() - have,
		Detail: "files of the log of a batch have gone since the server started; its other reports count",
	}, k)
}

// checkDigest compares a sealed log that shows no damage with the one that was
// sealed.
func (s *Shuffler) checkDigest(b Batch, log *segment.Log) {
	if digest, err := log.Digest(); err == nil && digest == b.Input {
		return
	}
	s.lose(loss.Loss{Cause: loss.Missing, Place: s.placeOf(s.logDir(b.Key())), Detail: "the log of a batch is not the one that was sealed: files of it are gone"}, b.Key())
}

// unreadable reports that the file of a batch cannot be used, and returns the error.
// The batch waits: the file may be restored.
func (s *Shuffler) unreadable(h *hosted, b Batch, file string, err error) error {
	l := loss.Loss{Cause: loss.Damaged, Place: s.placeOf(file), Detail: "a batch waits for this file: restore it"}
	if errors.Is(err, fs.ErrNotExist) {
		l.Cause = loss.Missing
	}
	if b.State == Processed && h.shows() {
		s.config.Lost(l)
		s.stating.spoil(b.Key())
	} else {
		s.lose(l, b.Key())
	}
	return err
}

// checkOut checks that a hand-over file is the one that was written: the next hop
// refuses another one again and again.
func (s *Shuffler) checkOut(h *hosted, b Batch, f io.ReaderAt, size int64) error {
	batch, err := esa.OpenBatch(f, size, h.task, h.id, h.hop)
	if err == nil && batch.Digest() != b.Output {
		err = errors.New("it is another one than was written")
	}
	if err != nil {
		return fmt.Errorf("checking the hand-over file: %w", err)
	}
	return nil
}

// sharedList is the file that lists the shared logs that may hold reports, and the
// open batches that have logs of their own.
const sharedList = "shared.logs"

// ownLog, in the list, is before the folder of a batch that has its own log.
const ownLog = "own "

// listShared makes the list of shared logs durable: before one takes reports, and
// before one that is distributed is removed. Callers hold s.mu or are New.
func (s *Shuffler) listShared(done *sharedLog) error {
	var b []byte
	for _, l := range slices.Concat(s.shared.active, s.shared.ended) {
		if l != done {
			b = fmt.Appendln(b, l.serial)
		}
	}
	for k, in := range s.intakes {
		if in.own && !in.ending {
			b = fmt.Appendln(b, ownLog+filepath.Base(s.dir(k)))
			in.listed = true
		}
	}
	name := filepath.Join(s.config.Dir, sharedList)
	if len(b) > 0 {
		return durable.WriteFile(s.config.FS, name, b, 0o600)
	}
	err := s.config.FS.Remove(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = s.config.FS.SyncDir(s.config.Dir)
	}
	return err
}

// unlist takes a batch that closes from the list.
func (s *Shuffler) unlist(k Key) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	in := s.intakes[k]
	if in == nil || !in.listed {
		return nil
	}
	err := s.listShared(nil)
	in.listed = err != nil
	return err
}

// checkShared looks for the logs that the list names, of batches those that are
// open.
func (s *Shuffler) checkShared() error {
	open := map[string]Key{}
	for k := range s.intakes {
		open[filepath.Base(s.dir(k))] = k
	}
	b, err := durable.ReadFile(s.config.FS, filepath.Join(s.config.Dir, sharedList))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		dir := filepath.Join(s.sharedDir(), strings.TrimSpace(line))
		if name, own := strings.CutPrefix(strings.TrimSpace(line), ownLog); own {
			k, isOpen := open[name]
			if !isOpen {
				continue // it has closed since
			}
			s.intakes[k].listed = true
			dir = s.logDir(k)
		}
		_, err := s.config.FS.Stat(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err != nil {
			s.lose(loss.Loss{Cause: loss.Missing, Place: s.placeOf(dir), Detail: "a log with reports of open batches is gone"})
		}
	}
	return nil
}

// findStrays finds the folders of which no live batch knows: their rows are lost.
// An empty one was made for a batch that the store never knew.
func (s *Shuffler) findStrays() error {
	entries, err := s.config.FS.ReadDir(s.config.Dir)
	if err != nil {
		return err
	}
	known := map[string]bool{filepath.Base(s.arriving()): true, filepath.Base(s.sharedDir()): true}
	for _, key := range s.live.keys() {
		known[filepath.Base(s.dir(key))] = true
	}
	for _, e := range entries {
		if known[e.Name()] || !e.IsDir() {
			continue
		}
		dir := filepath.Join(s.config.Dir, e.Name())
		empty, err := s.isEmpty(dir)
		if err != nil {
			return err
		}
		if !empty {
			s.strays = append(s.strays, e.Name())
			s.noteStray(e.Name())
			continue
		}
		if err := durable.RemoveAll(s.config.FS, dir); err != nil {
			return err
		}
	}
	return nil
}

// noteStray notes a gap for a folder of which the store does not know, if it holds
// reports of clients: a batch of the hop before comes again.
func (s *Shuffler) noteStray(name string) {
	if _, err := s.config.FS.Stat(filepath.Join(s.config.Dir, name, filepath.Base(s.logDir(Key{})))); err != nil {
		return
	}
	var of []Key
	for id := range s.tasks {
		text, ok := strings.CutPrefix(name, fmt.Sprintf("%x-", id[:8]))
		if e, err := strconv.ParseUint(text, 10, 62); ok && err == nil {
			of = append(of, Key{id, task.Epoch(e)})
		}
	}
	s.noteGap(foundGap{place: name, of: of})
}

// isEmpty reports whether no file is below a folder.
func (s *Shuffler) isEmpty(dir string) (bool, error) {
	entries, err := s.config.FS.ReadDir(dir)
	if err != nil {
		return false, err
	}
	for _, e := range entries {
		if !e.IsDir() {
			return false, nil
		}
		if empty, err := s.isEmpty(filepath.Join(dir, e.Name())); err != nil || !empty {
			return false, err
		}
	}
	return true, nil
}

// Orphans returns what is on the disk or in the store and cannot be worked on: files
// of which the store does not know, and batches of tasks that are not served. They
// are kept, and so must be the keys, until an operator decides.
func (s *Shuffler) Orphans() []loss.Loss {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []loss.Loss
	known := map[string]bool{}
	for _, key := range s.live.keys() {
		known[filepath.Base(s.dir(key))] = true
		if s.tasks[key.Task] != nil {
			continue
		}
		l := loss.Loss{Cause: loss.Orphaned, Place: filepath.Base(s.dir(key)), Detail: fmt.Sprintf("no bundle names task %v: list its bundle again, or discard the batch", key.Task)}
		if in := s.intakes[key]; in != nil {
			l.Reports = in.taken.Load()
		}
		all = append(all, l)
	}
	for _, name := range s.strays {
		if !known[name] { // a batch from the hop before may have come again
			all = append(all, loss.Loss{Cause: loss.Orphaned, Place: name, Detail: "the store does not know this folder: restore the store, or discard the folder"})
		}
	}
	return all
}

// Discard destroys what [Shuffler.Orphans] calls place, as an operator has decided.
func (s *Shuffler) Discard(ctx context.Context, place string) error {
	s.tickMu.Lock()
	defer s.tickMu.Unlock()
	s.mu.Lock()
	i := slices.Index(s.strays, place)
	var found *Batch
	for _, key := range s.live.keys() {
		if b := s.live.batches[key]; filepath.Base(s.dir(key)) == place && s.tasks[key.Task] == nil {
			found = &b
		}
	}
	s.mu.Unlock()
	switch {
	case found != nil:
		return s.discard(ctx, *found)
	case i < 0:
		return fmt.Errorf("discarding %s: there is no such orphan", place)
	}
	if err := durable.RemoveAll(s.config.FS, filepath.Join(s.config.Dir, place)); err != nil {
		return fmt.Errorf("discarding %s: %w", place, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.strays = slices.Delete(s.strays, i, i+1)
	return nil
}

// discard takes a batch of a task that is not served to its end, unreleased.
func (s *Shuffler) discard(ctx context.Context, b Batch) error {
	s.noteGap(foundGap{place: "discarded " + s.placeOf(s.dir(b.Key())), task: b.Task})
	s.stop(b.Key())
	if err := s.settle(b.Key()); err != nil {
		return err
	}
	if err := s.unlist(b.Key()); err != nil {
		return err
	}
	if err := s.removeFiles(b.Key()); err != nil {
		return err
	}
	for b.State != Destroyed {
		from := b.State
		switch from {
		case Open:
			seed, err := dp.NewSeed(s.config.Rand)
			if err != nil {
				return err
			}
			b.State, b.Seed = Closed, seed
		case Closed:
			b.State, b.Seed = Discarded, dp.Seed{}
		case Processed:
			b.State, b.Seed = Delivered, dp.Seed{}
		default:
			b.State = Destroyed
		}
		if err := s.apply(ctx, Change{from, b}); err != nil {
			return fmt.Errorf("discarding the batch of epoch %d: %w", b.Epoch, err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.intakes, b.Key())
	return nil
}
