package shuffler

import (
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strconv"

	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/segment"
)

// An input is what a closed batch is made from: sealed logs at the first hop,
// the file of the hop before at the others.
type input struct {
	total   int64
	reports iter.Seq2[[]byte, error]
	close   func()
}

// openInput opens the input of the last of the sources.
func (s *Shuffler) openInput(h *hosted, sources []Batch) (*input, error) {
	if h.hop > 0 {
		return s.openReceived(h, sources[len(sources)-1])
	}
	var logs []*segment.Log
	closeAll := func() {
		for _, l := range logs {
			l.Close() // sealed: there is nothing to write
		}
	}
	in := &input{close: closeAll}
	for _, src := range sources {
		s.checkLog(src.Key())
		log, found, err := segment.Open(s.logDir(src.Key()), segment.Options{FS: s.config.FS})
		if err != nil {
			closeAll()
			return nil, fmt.Errorf("opening the log of epoch %d: %w", src.Epoch, err)
		}
		logs = append(logs, log)
		in.total += log.Len()
		s.mu.Lock()
		s.lost(found.Damaged...)
		s.mu.Unlock()
		if len(found.Damaged) == 0 {
			s.checkDigest(src, log)
		}
	}
	in.reports = s.records(logs)
	return in, nil
}

// records yields the records of all logs. A record that the disk has lost is
// counted and costs only itself.
func (s *Shuffler) records(logs []*segment.Log) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, log := range logs {
			for record, err := range log.Records() {
				if d, ok := errors.AsType[segment.Damage](err); ok {
					s.mu.Lock()
					s.lost(d)
					s.mu.Unlock()
					continue
				}
				if !yield(record, err) {
					return
				}
			}
		}
	}
}

// finally returns where a segment of a shared log gets to when it is moved as it
// is, so that damage to it is counted once.
func (s *Shuffler) finally(file string) string {
	dir, name := filepath.Split(file)
	dir = filepath.Clean(dir)
	serial, err := strconv.ParseUint(filepath.Base(dir), 10, 64)
	if err != nil || filepath.Dir(dir) != s.sharedDir() {
		if segment.SerialOf(name) > 0 {
			return name
		}
		return file
	}
	return segment.MovedName(serial, name)
}

func (s *Shuffler) openReceived(h *hosted, b Batch) (*input, error) {
	f, err := s.config.FS.OpenFile(s.inFile(b.Key()), os.O_RDONLY, 0)
	if err != nil {
		return nil, s.unreadable(h, b, s.inFile(b.Key()), err)
	}
	in := &input{close: func() { f.Close() }}
	info, err := f.Stat()
	if err == nil {
		var batch *esa.Batch
		batch, err = esa.OpenBatch(f, info.Size(), h.task, h.id, h.hop-1)
		if err == nil && batch.Digest() != b.Input {
			err = errors.New("it is another one than was accepted")
		}
		if err == nil {
			in.total, in.reports = int64(batch.Header().Released), batch.Rows()
			return in, nil
		}
	}
	in.close()
	return nil, fmt.Errorf("opening the batch of the hop before: %w", s.unreadable(h, b, s.inFile(b.Key()), err))
}
