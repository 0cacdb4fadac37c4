package hardened

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/shoal-project/shoal/crypto/voprf"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/credential"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/esa/encoder"
	"github.com/shoal-project/shoal/internal/outbox"
	"github.com/shoal-project/shoal/internal/quorum/evaluation"
	"github.com/shoal-project/shoal/internal/quorum/randomness"
	"github.com/shoal-project/shoal/metric/task"
)

// A Way reaches the parties of a task through its relay, and knows the relay's time.
type Way interface {
	Now(ctx context.Context) (time.Time, error)
	Transport(p task.Party) (http.RoundTripper, error)
}

// Options are what [Records] need. All but FS and Rand must be given.
type Options struct {
	Dir    string     // of the outbox
	FS     durable.FS // nil: the machine's
	Box    *outbox.Box
	Wallet *credential.Wallet
	// Tasks opens the signed tasks of the wallet.
	Tasks  func(signed []byte) (*task.Task, task.ID, error)
	Direct http.RoundTripper // to the parties of tasks without a relay
	// Way returns the way to the parties of a task that has a relay.
	Way func(t *task.Task) (Way, error)
	// OpenKey checks the signatures of what a task's randomness party has announced for an
	// epoch: its own, and that of the relay where the task has one. It returns the
	// announcement.
	OpenKey func(t *task.Task, id task.ID, e task.Epoch, announced []byte) ([]byte, error)
	Clock   clock.Clock
	Rand    io.Reader // default: crypto/rand
}

// Records are those of hardened tasks in an outbox. They are safe for concurrent use.
type Records struct {
	o      Options
	client *evaluation.Client
}

// Open opens what was evaluated for the records of an outbox.
func Open(o Options) (*Records, error) {
	key, err := o.Box.Subkey("evaluations")
	if err != nil {
		return nil, err
	}
	r := &Records{o: o}
	r.client, err = evaluation.Open(evaluation.Options{
		Dir: o.Dir, FS: o.FS, Key: key, Present: r.present, PublicKey: r.publicKey, Transport: r.transport, Rand: o.Rand,
	})
	return r, err
}

// Output returns the evaluation of a value in an epoch, or [evaluation.ErrMissing].
func (r *Records) Output(id task.ID, e task.Epoch, material []byte) ([]byte, error) {
	return r.client.Output(id, e, material)
}

// A part is a task in which the device takes part.
type part struct {
	evaluation.Task
	signed []byte
}

// parts returns the hardened tasks in which the device takes part.
func (r *Records) parts() ([]part, error) {
	all, err := r.o.Wallet.Enrolled()
	if err != nil {
		return nil, err
	}
	var hardened []part
	for _, signed := range all {
		t, id, err := r.o.Tasks(signed)
		if err != nil {
			return nil, err
		}
		if t.Hardened() {
			hardened = append(hardened, part{evaluation.Task{ID: id, Task: t}, signed})
		}
	}
	return hardened, nil
}

// unknown is how long a task waits whose time is not known.
const unknown = 10 * time.Minute

// Prepare does what is due, and returns when something is again; zero if there is nothing to
// wait for. What fails is tried again; the error joins what has failed.
func (r *Records) Prepare(ctx context.Context) (time.Time, error) {
	all, err := r.parts()
	if err != nil || len(all) == 0 {
		return time.Time{}, err
	}
	var next time.Time
	var errs []error
	for _, p := range all {
		at, err := r.prepare(ctx, p)
		if err != nil {
			errs = append(errs, err)
		}
		if !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next, errors.Join(errs...)
}

// prepare does what is due for one task. Its result is a time of the device's clock.
func (r *Records) prepare(ctx context.Context, p part) (time.Time, error) {
	here := r.o.Clock.Now()
	now, err := r.now(ctx, p.Task.Task, here)
	if err != nil {
		return here.Add(unknown), fmt.Errorf("metric %q: %w", p.Task.Task.Metric, err)
	}
	moved := r.move(p, now, here)
	next, err := r.client.Tick(ctx, now, []evaluation.Task{p.Task}, r.waiting)
	if !next.IsZero() {
		next = here.Add(next.Sub(now))
	}
	return next, errors.Join(moved, err)
}

// now returns the time by which a task's epochs are chosen.
func (r *Records) now(ctx context.Context, t *task.Task, here time.Time) (time.Time, error) {
	if !t.Relayed() {
		return here, nil
	}
	way, err := r.o.Way(t)
	if err != nil {
		return here, err
	}
	return way.Now(ctx)
}

// entries returns the records of a task that wait, the oldest first.
func (r *Records) entries(id task.ID) ([]outbox.Entry, error) {
	all, err := r.o.Box.List()
	if err != nil {
		return nil, err
	}
	var waiting []outbox.Entry
	for _, e := range all {
		if e.Task == id && e.Stage == outbox.Waiting {
			waiting = append(waiting, e)
		}
	}
	sortByID(waiting)
	return waiting, nil
}

// waiting is an [evaluation.Waiting].
func (r *Records) waiting(id task.ID, e task.Epoch) ([][]byte, error) {
	all, err := r.entries(id)
	if err != nil {
		return nil, err
	}
	var materials [][]byte
	for _, entry := range all {
		if entry.Epoch != e {
			continue
		}
		f, err := r.fragment(entry)
		if err != nil {
			continue // it is dropped when it is to be sealed
		}
		materials = append(materials, f.Crowd)
	}
	return materials, nil
}

func (r *Records) fragment(entry outbox.Entry) (encoder.Fragment, error) {
	t, id, err := r.o.Tasks(entry.TaskBytes)
	if err != nil {
		return encoder.Fragment{}, err
	}
	e, err := encoder.New(t, id)
	if err != nil {
		return encoder.Fragment{}, err
	}
	return e.Parse(entry.Record)
}

// move gives the records of epochs that are over, whose values were not evaluated, to
// the present one.
func (r *Records) move(p part, now, here time.Time) error {
	t := p.Task.Task
	present := t.EpochAt(now)
	all, err := r.entries(p.ID)
	if err != nil {
		return err
	}
	for _, entry := range all {
		if entry.Epoch >= present || !t.Covers(present) {
			continue
		}
		f, err := r.fragment(entry)
		if err != nil {
			continue
		}
		_, err = r.client.Output(p.ID, entry.Epoch, f.Crowd)
		if err == nil {
			continue
		}
		if !errors.Is(err, evaluation.ErrMissing) {
			return err
		}
		c := outbox.ContributionOf(t, p.ID, p.signed, here, present)
		c.Reports = []outbox.Report{{Crowd: f.Crowd}}
		if _, _, err := r.o.Box.Move(entry.ID, c); err != nil {
			return err
		}
	}
	return nil
}

// present implements [evaluation.Options].Present.
func (r *Records) present(_ context.Context, t *task.Task, id task.ID, e task.Epoch, request [32]byte) ([]byte, error) {
	p := t.Protection.Randomness
	shown, err := r.o.Wallet.AllocateFor(t, p, e)
	if errors.Is(err, credential.ErrExhausted) {
		return nil, errors.Join(evaluation.ErrExhausted, err)
	}
	if err != nil {
		return nil, err
	}
	all, err := shown.Present(p, credential.Binding(id, request))
	if err != nil {
		return nil, err
	}
	if len(all) != 1 {
		return nil, fmt.Errorf("%d presentations for the randomness party, want one", len(all))
	}
	return all[0], nil
}

// transport implements [evaluation.Options].Transport.
func (r *Records) transport(t *task.Task) (http.RoundTripper, error) {
	if !t.Relayed() {
		return r.o.Direct, nil
	}
	way, err := r.o.Way(t)
	if err != nil {
		return nil, err
	}
	return way.Transport(t.Protection.Randomness)
}

// publicKey implements [evaluation.Options].PublicKey.
func (r *Records) publicKey(ctx context.Context, t *task.Task, id task.ID, e task.Epoch) (*voprf.PublicKey, error) {
	rt, err := r.transport(t)
	if err != nil {
		return nil, err
	}
	signed, err := fetchKey(ctx, rt, t.Protection.Randomness.URL+"/tasks/"+id.String()+"/evaluations/"+strconv.FormatUint(uint64(e), 10))
	var announced []byte
	if err == nil {
		announced, err = r.o.OpenKey(t, id, e, signed)
	}
	if err != nil {
		return nil, fmt.Errorf("key of the randomness party: %w", err)
	}
	return randomness.ParseAnnouncement(announced)
}
