package metric

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"github.com/shoal-project/shoal/metric/task"
)

// Build compiles and signs the file's metrics for the given parties, those of
// the file if hops is empty: one or more shufflers, then the analyzer. It
// checks the file again, for these parties and the moment now. The same file,
// parties and key give the same bytes.
func (f *File) Build(hops []task.Party, owner task.IdentityKey, now time.Time) (*task.Bundle, error) {
	if len(hops) == 0 {
		hops = f.Hops
	}
	if len(hops) == 0 {
		return nil, errors.New("building tasks: the file names no parties and none were given; add parties with url and identity")
	}
	if err := f.Check(hops, now); err != nil {
		return nil, err
	}
	var b task.Bundle
	for _, m := range f.Metrics {
		t, err := m.compile(owner.Public(), hops)
		if err != nil {
			return nil, fmt.Errorf("building the task of metric %s: %w", m.Name, err)
		}
		s, err := task.Sign(t, owner)
		if err != nil {
			return nil, fmt.Errorf("building tasks: %w", err)
		}
		b.Tasks = append(b.Tasks, s)
	}
	return &b, nil
}

// compile returns the metric's task, unsigned.
func (m *Metric) compile(owner ed25519.PublicKey, hops []task.Party) (*task.Task, error) {
	if m.aggregate {
		return nil, errors.New("its method is not available in this version")
	}
	t := m.task
	t.Owner, t.Hops = owner, hops
	size, err := task.SizeClass(t.MaxContent())
	if err != nil {
		return nil, err
	}
	t.PayloadSize = size
	if err := t.Validate(); err != nil {
		return nil, err
	}
	return &t, nil
}
