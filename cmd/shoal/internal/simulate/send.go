package simulate

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/metric"
	"github.com/shoal-project/shoal/metric/kind"
	"github.com/shoal-project/shoal/metric/task"
)

// SendConfig describes what is sent to running servers.
type SendConfig struct {
	Bundle []byte // of rehearsals alone
	File   *metric.File
	Values Values // complete, see [Values.Complete]
	People int
	Seed   uint64

	Clock    clock.Clock
	Forward  func(context.Context, time.Time) error // waits for a moment, or brings it about
	Progress func(stage string, done, total int)
}

// A Sent counts what the simulated people sent for one question: the truth, to hold
// against what the servers release.
type Sent struct {
	Metric  string    `json:"metric"` // as the servers call it
	Epoch   time.Time `json:"epoch"`
	Reports uint64    `json:"reports"`
	Truth   []Known   `json:"truth"` // largest first for crowds
}

// Known is a number that the simulation knows.
type Known struct {
	Label string  `json:"label"`
	True  float64 `json:"true"`
}

// errReal keeps invented answers from those of people.
var errReal = errors.New("people answer it, and invented answers would be mixed with theirs: build one of rehearsals by \"shoal metrics build --rehearsal\"")

// Send lets everybody answer the rehearsals of a bundle for one epoch, at the
// servers that it names, in the time that it takes. It refuses a bundle with a
// task that is no rehearsal.
func Send(ctx context.Context, c SendConfig) ([]Sent, error) {
	questions, owner, err := rehearsals(c)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(questions, func(a, b *question) int { return cmp.Compare(a.task.EpochSeconds, b.task.EpochSeconds) })
	var all []Sent
	for group := range byEpoch(questions) {
		if err := c.send(ctx, group, owner); err != nil {
			return nil, err
		}
		for _, q := range group {
			all = append(all, q.known(c.People))
		}
	}
	return all, nil
}

// rehearsals opens the bundle.
func rehearsals(c SendConfig) ([]*question, string, error) {
	b, err := task.ParseBundle(c.Bundle)
	if err != nil {
		return nil, "", fmt.Errorf("the task bundle: %w", err)
	}
	if len(b.Tasks) == 0 {
		return nil, "", errors.New("the task bundle is empty")
	}
	unproven, err := task.Parse(b.Tasks[0].Bytes)
	if err != nil {
		return nil, "", fmt.Errorf("the task bundle: %w", err)
	}
	opened, err := b.Open([]ed25519.PublicKey{unproven.Owner}) // Open checks that they signed
	if err != nil {
		return nil, "", fmt.Errorf("the task bundle: %w", err)
	}
	var all []*question
	for _, o := range opened {
		name := task.Rehearsed(o.Task.Metric)
		if !task.IsRehearsal(o.Task.Metric) {
			return nil, "", fmt.Errorf("the task bundle: metric %s: %w", name, errReal)
		}
		i := slices.IndexFunc(c.File.Metrics, func(m *metric.Metric) bool { return m.Name == name })
		if i < 0 {
			return nil, "", fmt.Errorf("the task bundle: metric %s is not in %s: name the file that it was built from", name, c.File.Path)
		}
		q, err := newQuestion(c.File.Metrics[i], o, c.Values[name])
		if err != nil {
			return nil, "", fmt.Errorf("metric %s: %w", name, err)
		}
		all = append(all, q)
	}
	return all, task.FormatPublic(unproven.Owner), nil
}

// send lets everybody answer questions of one epoch length, in the next epoch.
func (c SendConfig) send(ctx context.Context, asked []*question, owner string) error {
	first := asked[0].task
	begins := first.Start(first.EpochAt(c.Clock.Now().Add(time.Duration(first.EpochSeconds)*time.Second - 1)))
	c.Progress("waiting for the epoch from "+begins.Format("15:04 UTC"), 0, 0)
	if err := c.Forward(ctx, begins); err != nil {
		return err
	}
	w := &crew{clock: c.Clock, forward: c.Forward, asked: asked, progress: c.Progress}
	defer w.close()
	if err := w.open(ctx, population{people: c.People, seed: c.Seed, bundle: c.Bundle, owner: owner}); err != nil {
		return err
	}
	closes := begins
	for _, q := range asked {
		if at := q.task.Closes(q.epoch); at.After(closes) {
			closes = at
		}
	}
	return w.live(ctx, closes)
}

// known is what the simulation knows of a question.
func (q *question) known(people int) Sent {
	s := Sent{Metric: q.task.Metric, Epoch: q.task.Start(q.epoch), Reports: uint64(q.sent)}
	if q.crowds != nil {
		for label, in := range q.crowds.all {
			s.Truth = append(s.Truth, Known{label, float64(in.reports)})
		}
		slices.SortFunc(s.Truth, func(a, b Known) int {
			return cmp.Or(cmp.Compare(b.True, a.True), cmp.Compare(a.Label, b.Label))
		})
		return s
	}
	s.Reports = uint64(people)
	if q.task.Aggregation.Presence == kind.Revealed {
		s.Reports = uint64(q.sums.said)
	}
	for i := range q.sums.rows {
		if x := q.sums.truth(i); !math.IsNaN(x) {
			s.Truth = append(s.Truth, Known{q.label(i), x})
		}
	}
	return s
}
