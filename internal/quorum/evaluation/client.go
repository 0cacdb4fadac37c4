package evaluation

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/shoal-project/shoal/crypto/voprf"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/problem"
	"github.com/shoal-project/shoal/internal/quorum"
	"github.com/shoal-project/shoal/internal/quorum/randomness"
	"github.com/shoal-project/shoal/metric/task"
)

// A Task is a hardened task in which the client takes part.
type Task struct {
	ID   task.ID
	Task *task.Task
}

// Options are what a [Client] needs.
type Options struct {
	Dir string
	FS  durable.FS // nil: the machine's, whose file several processes may use, one at a time
	Key []byte     // 32 bytes, under which the file is encrypted
	// Present allocates, durably, the presentation of one request to the task's randomness
	// party in an epoch, and makes it for the request's digest. It fails with
	// [ErrExhausted] if the epoch allows no further one.
	Present func(ctx context.Context, t *task.Task, id task.ID, e task.Epoch, request [sha256.Size]byte) ([]byte, error)
	// PublicKey returns the party's key of an epoch: signed by the party, and by the witness
	// where the task has a relay.
	PublicKey func(ctx context.Context, t *task.Task, id task.ID, e task.Epoch) (*voprf.PublicKey, error)
	// Transport makes the requests to a task's randomness party: through the relay where
	// the task has one.
	Transport func(t *task.Task) (http.RoundTripper, error)
	Rand      io.Reader // blinding, padding, times; default: crypto/rand
}

// A Client has values evaluated. It is safe for concurrent use.
type Client struct {
	o      Options
	shared bool // with other processes

	ticking sync.Mutex // one Tick at a time
	file    *file

	mu sync.Mutex // guards what follows; only Tick changes it
	c  *contents
}

const (
	requestTimeout = time.Minute
	late           = 5 * time.Minute // an overdue request gets a new time
	firstWait      = time.Minute
	longestWait    = time.Hour
	unready        = 15 * time.Minute // until a request that could not be made is tried again
)

// Open opens the file of a client.
func Open(o Options) (*Client, error) {
	if o.Present == nil || o.PublicKey == nil || o.Transport == nil {
		return nil, errors.New("opening evaluations: presentations, keys and transport must be given")
	}
	shared := o.FS == nil
	if shared {
		o.FS = durable.OS()
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	f, err := newFile(o.FS, o.Dir, o.Key)
	if err != nil {
		return nil, fmt.Errorf("opening evaluations: %w", err)
	}
	c := &Client{o: o, shared: shared, file: f}
	if c.c, err = f.read(); err != nil {
		return nil, fmt.Errorf("opening evaluations: %w", err)
	}
	return c, nil
}

var (
	// ErrMissing means a value that has not been evaluated.
	ErrMissing = errors.New("the value has not been evaluated")
	// ErrExhausted means that all presentations of an epoch were made: a crash has lost one.
	ErrExhausted = errors.New("the epoch allows no further evaluation")
	// errOtherKey means a party that announces a second key for an epoch.
	errOtherKey = errors.New("the party announces another key for this epoch than before")
)

// busy is how long a client waits for another process that evaluates.
const busy = time.Minute

// lock keeps other processes from the file, and reads what they have written. It returns
// false if one is at work.
func (c *Client) lock() (unlock func() error, ours bool, err error) {
	if !c.shared {
		return func() error { return nil }, true, nil
	}
	if err := c.o.FS.MkdirAll(c.o.Dir, 0o700); err != nil {
		return nil, false, err
	}
	unlock, err = durable.TryLock(c.file.name + ".lock")
	if errors.Is(err, durable.ErrLocked) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	if err := c.reload(); err != nil {
		return nil, false, errors.Join(err, unlock())
	}
	return unlock, true, nil
}

// reload reads the file, which another process may have written.
func (c *Client) reload() error {
	was, err := c.file.read()
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.c = was
	return nil
}

// Output returns the output of a value of a task and epoch, or [ErrMissing].
func (c *Client) Output(id task.ID, e task.Epoch, material []byte) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.c
	if c.shared {
		var err error
		if known, err = c.file.read(); err != nil {
			return nil, err
		}
	}
	if s := known.of(id, e); s != nil {
		if out := s.find(digestOf(quorum.Input(id, e, material))); out != nil {
			return slices.Clone(out), nil
		}
	}
	return nil, ErrMissing
}

// A Waiting returns the materials of the records of an epoch that wait to be sent, the oldest
// first. Outputs of values that no record of an epoch that is over waits for are forgotten.
type Waiting func(id task.ID, e task.Epoch) ([][]byte, error)

// Tick makes the requests that are due at now, and returns when the next is. The error is that
// of the first request or file that failed; the others were tried.
func (c *Client) Tick(ctx context.Context, now time.Time, tasks []Task, waiting Waiting) (next time.Time, err error) {
	c.ticking.Lock()
	defer c.ticking.Unlock()
	unlock, ours, err := c.lock()
	if err != nil {
		return now.Add(firstWait), fmt.Errorf("opening evaluations: %w", err)
	}
	if !ours {
		return now.Add(busy), nil
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if err := c.change(func() (bool, error) { return c.plan(now, tasks) }); err != nil {
		return now.Add(firstWait), fmt.Errorf("planning evaluations: %w", err)
	}
	if err := c.forget(now, tasks, waiting); err != nil {
		return now.Add(firstWait), fmt.Errorf("forgetting evaluations: %w", err)
	}
	var errs []error
	for _, t := range tasks {
		e := t.Task.EpochAt(now)
		s := c.c.of(t.ID, e)
		if s == nil || len(s.Times) == 0 || time.UnixMilli(s.Times[0]).After(now) {
			continue
		}
		if err := c.one(ctx, now, t, e, waiting); err != nil {
			errs = append(errs, fmt.Errorf("evaluation of metric %q: %w", t.Task.Metric, err))
		}
		if err := ctx.Err(); err != nil {
			return now, err
		}
	}
	return c.next(now, tasks), errors.Join(errs...)
}

// change makes a change of what is kept durable. If it cannot, nothing has changed.
func (c *Client) change(f func() (bool, error)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.c.clone()
	changed, err := f()
	if err == nil && changed {
		err = c.file.write(c.c)
	}
	if err != nil {
		*c.c = *was
	}
	return err
}

// plan draws the times of epochs that are new, gives what is overdue a new time, and
// forgets what is over.
func (c *Client) plan(now time.Time, tasks []Task) (bool, error) {
	changed := false
	kept := slices.DeleteFunc(slices.Clone(c.c.Epochs), func(s *state) bool { return s.Forget <= now.Unix() })
	if len(kept) != len(c.c.Epochs) {
		c.c.Epochs, changed = kept, true
	}
	for _, t := range tasks {
		e := t.Task.EpochAt(now)
		if !t.Task.Hardened() || !t.Task.Covers(e) {
			continue
		}
		s := c.c.of(t.ID, e)
		n := 0
		switch {
		case s == nil:
			s = &state{Task: t.ID, Epoch: e, Forget: t.Task.Closes(e).Unix()}
			c.c.Epochs = append(c.c.Epochs, s)
			n = int(t.Task.Protection.Evaluations)
		case len(s.Times) > 0 && now.Sub(time.UnixMilli(s.Times[0])) > late:
			n = len(s.Times)
			s.Times = nil
		}
		for range n {
			at, err := c.draw(now, t.Task.Start(e+1))
			if err != nil {
				return false, err
			}
			s.Times = append(s.Times, at.UnixMilli())
		}
		if n > 0 {
			slices.Sort(s.Times)
			changed = true
		}
	}
	return changed, nil
}

// forget drops what was evaluated for records that are gone: of epochs that are over, the
// outputs that no waiting record has.
func (c *Client) forget(now time.Time, tasks []Task, waiting Waiting) error {
	return c.change(func() (bool, error) {
		changed := false
		for _, s := range c.c.Epochs {
			i := slices.IndexFunc(tasks, func(t Task) bool { return t.ID == s.Task })
			if i < 0 || s.Epoch >= tasks[i].Task.EpochAt(now) || len(s.Outputs) == 0 && s.Pending == nil {
				continue
			}
			materials, err := waiting(s.Task, s.Epoch)
			if err != nil {
				return false, err
			}
			wanted := map[string]bool{}
			for _, m := range materials {
				wanted[string(digestOf(quorum.Input(s.Task, s.Epoch, m)))] = true
			}
			kept := slices.DeleteFunc(slices.Clone(s.Outputs), func(o output) bool { return !wanted[string(o.Value)] })
			changed = changed || len(kept) != len(s.Outputs) || s.Pending != nil
			s.Outputs, s.Pending, s.Times = kept, nil, nil
		}
		return changed, nil
	})
}

// draw returns a time drawn uniformly from [from, to).
func (c *Client) draw(from, to time.Time) (time.Time, error) {
	span := to.UnixMilli() - from.UnixMilli()
	if span <= 0 {
		return from, nil
	}
	limit := -uint64(span) % uint64(span) // 2^64 mod span
	for {
		var b [8]byte
		if _, err := io.ReadFull(c.o.Rand, b[:]); err != nil {
			return from, fmt.Errorf("drawing a time: %w", err)
		}
		if v := binary.BigEndian.Uint64(b[:]); v >= limit {
			return from.Add(time.Duration(v%uint64(span)) * time.Millisecond), nil
		}
	}
}

// next returns when something is due: a request, or an epoch that begins.
func (c *Client) next(now time.Time, tasks []Task) time.Time {
	var at time.Time
	sooner := func(t time.Time) {
		if at.IsZero() || t.Before(at) {
			at = t
		}
	}
	for _, t := range tasks {
		e := t.Task.EpochAt(now)
		if s := c.c.of(t.ID, e); s != nil && len(s.Times) > 0 {
			sooner(time.UnixMilli(s.Times[0]))
		}
		if t.Task.Covers(e + 1) {
			sooner(t.Task.Start(e + 1))
		}
	}
	return at
}

// one makes one request of an epoch, or repeats the one that has no answer.
func (c *Client) one(ctx context.Context, now time.Time, t Task, e task.Epoch, waiting Waiting) error {
	p := c.c.of(t.ID, e).Pending
	if p == nil {
		var err error
		if p, err = c.prepare(ctx, t, e, waiting); err == nil {
			err = c.change(func() (bool, error) {
				c.c.of(t.ID, e).Pending = p
				return true, nil
			})
		}
		if errors.Is(err, ErrExhausted) {
			return errors.Join(err, c.settle(t, e, nil))
		}
		if err != nil {
			return errors.Join(err, c.postpone(now, t, e))
		}
	}
	outputs, err := c.ask(ctx, t, e, p)
	if refused, ok := errors.AsType[*refusal](err); ok && refused.name != "" && !problem.Temporary(refused.status) {
		return errors.Join(err, c.settle(t, e, nil)) // the presentation is used up
	}
	if err != nil {
		return errors.Join(err, c.postpone(now, t, e))
	}
	return c.settle(t, e, outputs)
}

// prepare makes a request and its presentation. Both are stored before they are sent.
func (c *Client) prepare(ctx context.Context, t Task, e task.Epoch, waiting Waiting) (*pending, error) {
	materials, err := waiting(t.ID, e)
	if err != nil {
		return nil, err
	}
	s := c.c.of(t.ID, e)
	var inputs, values [][]byte
	for _, m := range materials {
		input := quorum.Input(t.ID, e, m)
		value := digestOf(input)
		same := func(v []byte) bool { return string(v) == string(value) }
		if s.find(value) == nil && !slices.ContainsFunc(values, same) && len(inputs) < randomness.Points {
			inputs, values = append(inputs, input), append(values, value)
		}
	}
	secrets, request, err := voprf.NewRequest(c.o.Rand, inputs, randomness.Points)
	if err != nil {
		return nil, err
	}
	p := &pending{Secrets: secrets.Bytes(), Points: request.Bytes(), Values: values}
	q := randomness.Request{Points: p.Points}
	p.Presentation, err = c.o.Present(ctx, t.Task, t.ID, e, q.Digest(t.ID, e))
	return p, err
}

// A refusal is an answer that is not a success.
type refusal struct {
	status int
	name   string
}

func (r *refusal) Error() string { return fmt.Sprintf("HTTP %d %s", r.status, r.name) }

// ask sends the request and returns its outputs, proved.
func (c *Client) ask(ctx context.Context, t Task, e task.Epoch, p *pending) ([][]byte, error) {
	q := randomness.Request{Presentation: p.Presentation, Points: p.Points}
	body, err := q.Encode()
	if err != nil {
		return nil, err
	}
	key, err := c.publicKey(ctx, t, e)
	if err != nil {
		return nil, err
	}
	answer, err := c.post(ctx, t.Task, fmt.Sprintf("%s/tasks/%v/evaluations/%d", t.Task.Protection.Randomness.URL, t.ID, e), body)
	if err != nil {
		return nil, err
	}
	secrets, err := voprf.ParsePending(p.Secrets)
	if err != nil {
		return nil, err
	}
	request, err := voprf.ParseRequest(p.Points)
	if err != nil {
		return nil, err
	}
	response, err := voprf.ParseResponse(answer)
	if err != nil {
		return nil, err
	}
	return secrets.Finalize(key, request, response)
}

// publicKey returns the party's key of an epoch. A client takes one, ever: values that were
// evaluated under two never come together, and would distinguish the client.
func (c *Client) publicKey(ctx context.Context, t Task, e task.Epoch) (*voprf.PublicKey, error) {
	key, err := c.o.PublicKey(ctx, t.Task, t.ID, e)
	if err != nil {
		return nil, err
	}
	public := key.Bytes()
	err = c.change(func() (bool, error) {
		s := c.c.of(t.ID, e)
		if s.Public == nil {
			s.Public = public
			return true, nil
		}
		if !bytes.Equal(s.Public, public) {
			return false, errOtherKey
		}
		return false, nil
	})
	return key, err
}

func (c *Client) post(ctx context.Context, t *task.Task, url string, body []byte) ([]byte, error) {
	rt, err := c.o.Transport(t)
	if err != nil {
		return nil, err
	}
	client := &http.Client{
		Transport: rt, Timeout: requestTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header = http.Header{"Content-Type": {randomness.RequestType}, "User-Agent": nil} // none, rather than the library's
	resp, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		p := problem.Read(resp, time.Time{})
		name, _ := p.Name()
		return nil, &refusal{resp.StatusCode, name}
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, randomness.AnswerSize+1))
	if err == nil && len(answer) != randomness.AnswerSize {
		err = fmt.Errorf("answer of %d bytes, want %d", len(answer), randomness.AnswerSize)
	}
	return answer, err
}

// settle ends a request, with outputs or without.
func (c *Client) settle(t Task, e task.Epoch, outputs [][]byte) error {
	return c.change(func() (bool, error) {
		s := c.c.of(t.ID, e)
		for i, out := range outputs {
			s.Outputs = append(s.Outputs, output{s.Pending.Values[i], out})
		}
		s.Pending, s.Times = nil, s.Times[1:]
		return true, nil
	})
}

// postpone gives the first request a later time within the epoch, or drops it if there is
// none.
func (c *Client) postpone(now time.Time, t Task, e task.Epoch) error {
	return c.change(func() (bool, error) {
		s := c.c.of(t.ID, e)
		wait := unready
		if s.Pending != nil {
			s.Pending.Tries++
			wait = clock.Backoff(s.Pending.Tries, firstWait, longestWait)
		}
		at, err := c.draw(now.Add(wait/2), now.Add(wait+wait/2))
		if err != nil {
			return false, err
		}
		if !at.Before(t.Task.Start(e + 1)) {
			s.Times, s.Pending = s.Times[1:], nil
			return true, nil
		}
		for i := range s.Times { // the request that was made stays the first
			s.Times[i] = max(s.Times[i], at.UnixMilli())
		}
		return true, nil
	})
}
