package console

import (
	"context"
	"errors"
	"io"

	"github.com/shoal-project/shoal/metric/task"
)

// Join shows the questions of more sources after those of the first, whose
// organisation it is. The others may change: more is called for each page.
func Join(first Source, more func() []Source) Source { return &joinedSource{first, more} }

type joinedSource struct {
	Source
	more func() []Source
}

func (j *joinedSource) all() []Source { return append([]Source{j.Source}, j.more()...) }

// Questions implements [Source].
func (j *joinedSource) Questions(ctx context.Context) ([]Question, error) {
	var all []Question
	for _, s := range j.all() {
		some, err := s.Questions(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// Answer implements [Source].
func (j *joinedSource) Answer(ctx context.Context, id task.ID) (Answer, error) {
	for _, s := range j.all() {
		if a, err := s.Answer(ctx, id); !errors.Is(err, ErrNotFound) {
			return a, err
		}
	}
	return Answer{}, ErrNotFound
}

// Export implements [Source].
func (j *joinedSource) Export(ctx context.Context, w io.Writer, id task.ID, f Format) error {
	for _, s := range j.all() {
		if err := s.Export(ctx, w, id, f); !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	return ErrNotFound
}
