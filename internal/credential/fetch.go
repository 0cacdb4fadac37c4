package credential

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/shoal-project/shoal/crypto/arc"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/problem"
	"github.com/shoal-project/shoal/metric/task"
)

const (
	firstRetry  = time.Minute
	longRetry   = 6 * time.Hour
	longestWait = 6 * time.Hour // of a new client
	overdue     = 5 * time.Minute
	lateSpread  = 20 * time.Minute // of what is overdue
	// maxSigned bounds what is announced with its signatures.
	maxSigned = 1 << 12
)

// errRejected is wrapped by errors that time alone does not correct.
var errRejected = errors.New("the issuer refuses")

// A Route is how a wallet reaches an issuer of a task.
type Route struct {
	Keys     http.RoundTripper // to what the party announces
	Issuance http.RoundTripper // to where it issues credentials
	// Now returns the time by which to choose periods, to the minute, nil for the wallet's
	// clock: a request for another period than all others ask for would reveal a clock that
	// is off.
	Now func(context.Context) (time.Time, error)
}

// Direct is the route to all issuers of tasks without a relay.
func Direct(rt http.RoundTripper) func(*task.Task, task.Party) (Route, error) {
	return func(*task.Task, task.Party) (Route, error) { return Route{Keys: rt, Issuance: rt}, nil }
}

// Fetch fetches the credentials that are due, and returns when it wants to be called
// again; zero if there is nothing to wait for. The route is that to a party of a task, and
// there is no other: a credential whose route fails waits. When a credential is due does
// not depend on records. Failures are tried again later, and joined in the error.
func (w *Wallet) Fetch(ctx context.Context, route func(*task.Task, task.Party) (Route, error)) (time.Time, error) {
	w.fetch.Lock()
	defer w.fetch.Unlock()
	if nothing, err := w.empty(); err != nil || nothing {
		return time.Time{}, err
	}
	now := w.o.Clock.Now()
	due, next, err := w.plan(now)
	if err != nil {
		return time.Time{}, fmt.Errorf("fetching credentials: %w", err)
	}
	var failed error
	for _, d := range due {
		if ctx.Err() != nil {
			break
		}
		err := w.fetchOne(ctx, route, d)
		if ctx.Err() != nil {
			break // says nothing about the issuer
		}
		again, noted := w.outcome(d.key, err)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("credential of %q from the %v: %w", d.slot.Metric, d.slot.Role, err))
		}
		failed = errors.Join(failed, noted)
		next = earlier(next, again)
	}
	return next, errors.Join(failed, ctx.Err())
}

// A dueFetch is a credential that is to be fetched now.
type dueFetch struct {
	key   heldKey
	slot  Slot
	id    task.ID
	task  *task.Task
	party task.Party
}

// ready returns nil if the slot's period is the present one or the next by a clock.
func (d *dueFetch) ready(now time.Time) error {
	s := d.slot
	if at := now.Unix(); at >= s.End || at < 2*s.Start-s.End {
		return fmt.Errorf("it is %s by the relay's clock, and the period is from %s to %s", now.Format(time.RFC3339),
			time.Unix(s.Start, 0).UTC().Format(time.RFC3339), time.Unix(s.End, 0).UTC().Format(time.RFC3339))
	}
	return nil
}

// client returns an HTTP client that follows no redirect.
func client(rt http.RoundTripper) *http.Client {
	return &http.Client{
		Transport:     rt,
		Timeout:       time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// plan draws when the credentials of this period and the next are fetched, as far as
// that has not been drawn, and returns those that are due.
func (w *Wallet) plan(now time.Time) (due []dueFetch, next time.Time, err error) {
	err = w.change(func(c *contents) (bool, error) {
		due, next = nil, time.Time{}
		changed := c.prune(now.Unix())
		ends, err := w.drop(c, now)
		if err != nil {
			return false, err
		}
		changed = changed || ends
		seen := map[heldKey]bool{}
		for _, of := range c.relayedFirst(w.o.Tasks) {
			for _, n := range needs(of.task, now) {
				h, drawn, err := w.draw(c, n, now)
				if err != nil {
					return false, err
				}
				changed = changed || drawn
				// The version of the metric with that relay fetches it.
				if h.credential != nil || h.relay != n.relay || seen[h.key()] {
					continue
				}
				seen[h.key()] = true
				if at := time.UnixMilli(h.next); at.After(now) {
					next = earlier(next, at)
				} else {
					due = append(due, dueFetch{h.key(), h.slot, of.id, of.task, n.party})
				}
			}
			next = earlier(next, nextPeriod(of.task, now))
		}
		return changed, nil
	})
	return due, next, err
}

// drop forgets tasks that are over.
func (w *Wallet) drop(c *contents, now time.Time) (bool, error) {
	dropped := false
	for id, signed := range c.tasks {
		t, _, err := w.o.Tasks(signed)
		if err != nil {
			return false, err
		}
		if t.Expires <= now.Unix() {
			delete(c.tasks, id)
			dropped = true
		}
	}
	return dropped, nil
}

// An opened is a task of the wallet.
type opened struct {
	id   task.ID
	task *task.Task
}

// relayedFirst returns the tasks, those with a relay first, always in one order: if
// versions of one metric differ in that, credentials are fetched through the relay.
func (c *contents) relayedFirst(open func([]byte) (*task.Task, task.ID, error)) []opened {
	var all []opened
	for id, signed := range c.tasks {
		if t, _, err := open(signed); err == nil { // they were opened before
			all = append(all, opened{id, t})
		}
	}
	slices.SortFunc(all, func(a, b opened) int {
		if r := a.task.Relayed(); r != b.task.Relayed() {
			if r {
				return -1
			}
			return 1
		}
		return bytes.Compare(a.id[:], b.id[:])
	})
	return all
}

// A need is a credential that a client of a task is to have.
type need struct {
	party task.Party
	slot  Slot
	relay [32]byte
	until int64
	// The credential is fetched at a time in the window.
	window time.Duration
}

// needs returns what a client of t needs at now: the credentials of this period, soon,
// and those of the next one, before it begins.
func needs(t *task.Task, now time.Time) []need {
	var all []need
	e := t.EpochAt(now)
	_, next := t.CredentialPeriod(e)
	for _, p := range asking(t) {
		for i, e := range []task.Epoch{e, next} {
			s, _ := SlotOf(t, p, e)
			if s.End <= t.NotBefore || s.Start >= t.Expires {
				continue
			}
			window := min(longestWait, time.Duration(t.EpochSeconds)*time.Second/2)
			if i == 1 {
				window = time.Unix(s.Start, 0).Sub(now)
			}
			_, end := t.CredentialPeriod(e)
			all = append(all, need{p, s, relayOf(t), t.Closes(end - 1).Unix(), window})
		}
	}
	return all
}

// nextPeriod returns when the next period of t begins, zero if it is over by then.
func nextPeriod(t *task.Task, now time.Time) time.Time {
	_, end := t.CredentialPeriod(t.EpochAt(now))
	if at := t.Start(end); at.Unix() < t.Expires {
		return at
	}
	return time.Time{}
}

// draw returns the wallet's entry for a need, which it makes. One whose time passed while
// no program ran gets another, soon and once: a device that is on for minutes a day must
// get its credentials, and not all devices at the time when they are switched on.
func (w *Wallet) draw(c *contents, n need, now time.Time) (*held, bool, error) {
	h := c.held[heldKey{n.slot.Party, n.slot.name()}]
	window := n.window
	switch {
	case h == nil:
		h = &held{slot: n.slot, relay: n.relay, until: n.until}
		c.held[h.key()] = h
	case h.public == nil && h.relay == [32]byte{} && n.relay != [32]byte{}: // nothing was asked for yet
		h.relay, h.late = n.relay, false
	case h.credential != nil || h.late || now.Sub(time.UnixMilli(h.next)) < overdue:
		return h, false, nil
	default:
		window, h.late = lateSpread, true
	}
	at, err := w.random(window)
	if err != nil {
		return nil, false, err
	}
	h.next = now.Add(at).UnixMilli()
	return h, true, nil
}

// random returns a time in [0, n).
func (w *Wallet) random(n time.Duration) (time.Duration, error) {
	var b [8]byte
	if _, err := io.ReadFull(w.o.Rand, b[:]); err != nil {
		return 0, err
	}
	if n <= 0 {
		return 0, nil
	}
	return time.Duration(binary.BigEndian.Uint64(b[:]) % uint64(n)), nil
}

// outcome notes what became of an attempt, and returns when the next one is.
func (w *Wallet) outcome(key heldKey, failed error) (again time.Time, err error) {
	if failed == nil {
		return time.Time{}, nil
	}
	wait := longRetry
	err = w.change(func(c *contents) (bool, error) {
		h := c.held[key]
		if h == nil || h.credential != nil {
			return false, nil
		}
		h.attempts++
		if !errors.Is(failed, errRejected) {
			wait = clock.Backoff(int(min(h.attempts, 30)), firstRetry, longRetry)
		}
		jitter, err := w.random(wait)
		if err != nil {
			return false, err
		}
		again = w.o.Clock.Now().Add(max(wait/2, retryAfter(failed)) + jitter)
		h.next = again.UnixMilli()
		if h.failure = failed.Error(); len(h.failure) > maxFailure {
			h.failure = h.failure[:maxFailure]
		}
		return true, nil
	})
	return again, err
}

// retryAfter returns for how long an answer asks to wait.
func retryAfter(failed error) time.Duration {
	var says interface{ RetryAfter() time.Duration }
	if errors.As(failed, &says) {
		return says.RetryAfter()
	}
	return 0
}

// fetchOne fetches one credential: the key, unless it is known, then the answer to a
// request that is durable.
func (w *Wallet) fetchOne(ctx context.Context, route func(*task.Task, task.Party) (Route, error), d dueFetch) error {
	h, err := w.entry(d.key)
	if err != nil || h == nil || h.credential != nil {
		return err
	}
	to, err := route(d.task, d.party)
	if err != nil {
		return err
	}
	if to.Now != nil {
		now, err := to.Now(ctx)
		if err != nil {
			return err
		}
		if err := d.ready(now); err != nil {
			return err
		}
	}
	url := d.party.URL + "/tasks/" + d.id.String() + "/credentials/" + d.party.Role.String() + "/" + strconv.FormatInt(d.slot.Start, 10)
	if h.request == nil {
		if h, err = w.prepare(ctx, client(to.Keys), url, d); err != nil {
			return err
		}
	}
	a := application{slot: d.slot, request: h.request, work: h.work}
	if h.gates&(gateInvitation|gateCallOut) != 0 {
		if a.admission, err = w.admission(); err != nil {
			return err
		}
	}
	answer, err := exchange(ctx, client(to.Issuance), http.MethodPost, url, a.encode(), AnswerType, arc.ResponseSize)
	if err != nil {
		return err
	}
	credential, err := h.finalize(answer)
	if err != nil {
		return fmt.Errorf("%w: %w", errRejected, err)
	}
	return w.change(func(c *contents) (bool, error) {
		h := c.held[d.key]
		if h == nil {
			return false, nil
		}
		h.credential, h.secrets, h.request, h.failure = credential, nil, nil, ""
		return true, nil
	})
}

// admission returns what is shown to gates.
func (w *Wallet) admission() (b []byte, err error) {
	err = w.read(func(c *contents) error {
		b = c.admission
		return nil
	})
	if err == nil && len(b) == 0 {
		err = fmt.Errorf("%w: its gate wants an invitation: give one to the client", errRejected)
	}
	return b, err
}

func (h *held) finalize(answer []byte) ([]byte, error) {
	public, err := arc.ParsePublicKey(h.public)
	if err != nil {
		return nil, err
	}
	secrets, err := arc.ParseSecrets(h.secrets)
	if err != nil {
		return nil, err
	}
	request, err := arc.ParseRequest(h.request)
	if err != nil {
		return nil, err
	}
	response, err := arc.ParseResponse(answer)
	if err != nil {
		return nil, err
	}
	credential, err := secrets.Finalize(public, request, response)
	if err != nil {
		return nil, err
	}
	return credential.Bytes(), nil
}

func (w *Wallet) entry(key heldKey) (*held, error) {
	var found *held
	err := w.read(func(c *contents) error {
		found = c.held[key]
		return nil
	})
	return found, err
}

// prepare fetches the key, makes the request and stores it with its secrets, unless
// another process has done so before.
func (w *Wallet) prepare(ctx context.Context, client *http.Client, url string, d dueFetch) (*held, error) {
	signed, err := exchange(ctx, client, http.MethodGet, url, nil, keyTypeOf(d.task), maxSigned)
	if err != nil {
		return nil, err
	}
	b, err := w.o.Open(d.task, d.slot, signed)
	if err != nil {
		return nil, err
	}
	announced, err := parseAnnouncement(b)
	if err != nil {
		return nil, err
	}
	secrets, request, err := arc.NewRequest(rand.Reader, d.slot.RequestContext())
	if err != nil {
		return nil, err
	}
	a := &application{slot: d.slot, request: request.Bytes()}
	if announced.workBits > 0 {
		if err := a.findWork(ctx, announced.workBits); err != nil {
			return nil, err
		}
	}
	var ready *held
	err = w.change(func(c *contents) (bool, error) {
		h := c.held[d.key]
		if h == nil {
			return false, errors.New("the wallet has changed")
		}
		if h.relay != relayOf(d.task) {
			return false, errors.New("another version of the metric has a relay: it is asked for there")
		}
		ready = h
		if h.request != nil {
			return false, nil
		}
		if h.public != nil && !bytes.Equal(h.public, announced.public.Bytes()) {
			return false, fmt.Errorf("%w: it announces another key for this period than before", errRejected)
		}
		h.public, h.secrets = announced.public.Bytes(), secrets.Bytes()
		h.request, h.work, h.gates = a.request, a.work, announced.gates
		return true, nil
	})
	return ready, err
}

// exchange makes a request with the fewest headers that HTTP allows, the same for
// every client, and returns the body of an answer of the given type.
func exchange(ctx context.Context, client *http.Client, method, url string, body []byte, want string, limit int64) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header["User-Agent"] = nil // none, rather than the library's
	if body != nil {
		req.Header.Set("Content-Type", RequestType)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		p := problem.Read(resp, time.Time{})
		name, ours := p.Name()
		if ours && !problem.Temporary(resp.StatusCode) {
			return nil, fmt.Errorf("%w: HTTP %d (%s)", errRejected, resp.StatusCode, name)
		}
		return nil, &waitError{resp.StatusCode, p.Retry}
	}
	if resp.Header.Get("Content-Type") != want {
		return nil, errors.New("the answer has another type: a proxy may answer in its place")
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("the answer has more than %d bytes", limit)
	}
	return b, err
}

// A waitError is an answer that says nothing final.
type waitError struct {
	status int
	after  time.Duration
}

// Error names the status.
func (e *waitError) Error() string { return fmt.Sprintf("HTTP %d", e.status) }

// RetryAfter returns how long the answer asks to wait, 0 if it does not.
func (e *waitError) RetryAfter() time.Duration { return e.after }
