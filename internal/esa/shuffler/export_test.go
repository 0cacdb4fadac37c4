package shuffler

import (
	"bytes"
	"context"
	"iter"

	"github.com/shoal-project/shoal/internal/durable"
)

// ReadSpent reads the marks of a file of spent tags.
func ReadSpent(fsys durable.FS, name string) ([][]byte, error) {
	var marks [][]byte
	s := &Shuffler{config: Config{FS: fsys}}
	_, err := s.readSpentFile(name, func(mark []byte, err error) bool {
		marks = append(marks, bytes.Clone(mark))
		return err == nil
	})
	return marks, err
}

// WriteSpent writes a file of spent tags and returns its name.
func WriteSpent(fsys durable.FS, dir string, marks iter.Seq2[[]byte, error]) (string, error) {
	s := &Shuffler{config: Config{FS: fsys}}
	return dir + "/" + spentName(Key{}), s.writeSpent(dir, Key{}, marks)
}

// NoteLoss notes a gap, as a loss does that is found anywhere.
func NoteLoss(s *Shuffler, place string) { s.noteGap(foundGap{place: place}) }

// RecordGaps makes the gaps that were found durable.
func RecordGaps(ctx context.Context, s *Shuffler) error { return s.recordGaps(ctx) }
