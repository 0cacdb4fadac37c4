package exchange

import (
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
)

// A Pace is how fast a body has to arrive. Its sender has Pause of credit. Waiting
// for bytes spends it and bytes that arrive earn it, up to Pause again: so no
// pause is longer, and over a long body the rate is at least PerSecond. While
// there is no room for others the rate is Crowded.
type Pace struct {
	Pause     time.Duration // positive
	PerSecond int           // bytes; positive
	Crowded   int           // bytes a second; at least PerSecond
	Most      time.Duration // for all of the body
}

// earns returns the credit for so many bytes.
func earns(bytes, perSecond int) time.Duration {
	return time.Duration(bytes) * time.Second / time.Duration(perSecond)
}

// slack is by how much a connection's deadline may be earlier than the credit
// allows: it is not moved for each read.
const slack = 250 * time.Millisecond

// idleBehind is how far behind its pace a sender is at least that is cut to make
// room for others. A sender that sends a request at once is never that late.
const idleBehind = time.Second

// An Arrival is the body of a request that arrives. It reads the body, and ends
// with an error when its sender does not keep the pace or is cut. Only the time
// for which Read waits counts against a sender, not what is done with the bytes.
//
// The pace is enforced by deadlines of the connection, in wall time, if it can
// have them; how far a sender is behind is measured by the clock.
type Arrival struct {
	clock   clock.Clock
	pace    Pace
	body    io.ReadCloser
	control *http.ResponseController

	last     time.Time // the latest deadline
	mu       sync.Mutex
	credit   time.Duration // at PerSecond
	crowded  time.Duration // the same at Crowded
	waiting  bool
	since    time.Time // of waiting
	deadline time.Time // of the connection; zero: none was set
	dropped  bool
}

// Arrive puts an Arrival in the place of a request's body and returns it.
func Arrive(w http.ResponseWriter, r *http.Request, c clock.Clock, p Pace) *Arrival {
	a := &Arrival{
		clock: c, pace: p, body: r.Body, control: http.NewResponseController(w),
		last: time.Now().Add(p.Most), credit: p.Pause, crowded: p.Pause,
	}
	r.Body = a
	return a
}

// Read reads the body.
func (a *Arrival) Read(b []byte) (int, error) {
	if err := a.wait(); err != nil {
		return 0, err
	}
	n, err := a.body.Read(b)
	if a.arrived(n, err) {
		return n, err
	}
	return n, ErrTruncated
}

// Close closes the body.
func (a *Arrival) Close() error { return a.body.Close() }

func (a *Arrival) wait() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.dropped {
		return ErrTruncated
	}
	a.waiting, a.since = true, a.clock.Now()
	end := time.Now().Add(a.credit)
	if end.After(a.last) {
		end = a.last
	}
	if end.Sub(a.deadline) > slack {
		a.deadline = end
		_ = a.control.SetReadDeadline(end) // connections of tests have none
	}
	return nil
}

// arrived notes what a read has returned, and reports whether it counts: the
// sender was not cut.
func (a *Arrival) arrived(n int, err error) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	waited := a.waited()
	a.credit = min(a.pace.Pause, a.credit-waited+earns(n, a.pace.PerSecond))
	a.crowded = min(a.pace.Pause, a.crowded-waited+earns(n, a.pace.Crowded))
	a.waiting = false
	if err == io.EOF && !a.dropped { // what is done with the request takes its time
		_ = a.control.SetReadDeadline(time.Time{})
	}
	return !a.dropped
}

// waited returns how long the current read waits. A clock that goes back costs
// nothing. Callers hold mu.
func (a *Arrival) waited() time.Duration {
	if !a.waiting {
		return 0
	}
	return max(0, a.clock.Now().Sub(a.since))
}

// behind returns how far the sender is behind the pace for crowded times. One that is not being
// waited for is not behind.
func (a *Arrival) behind() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.waiting || a.dropped {
		return 0
	}
	return a.pace.Pause - a.crowded + a.waited()
}

// end makes the read that waits fail. It reports whether there was one.
func (a *Arrival) end() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.waiting || a.dropped {
		return false
	}
	a.dropped = true
	// While the read waits the handler runs: the connection is still this request's.
	if err := a.control.SetReadDeadline(time.Unix(1, 0)); err != nil {
		go func() { _ = a.body.Close() }() // may wait for the read
	}
	return true
}

// DropSlowest cuts the arrival that is furthest behind the pace for crowded times,
// if one is so by a second or more, and returns it. Its handler answers with [ErrTruncated].
// Callers keep others from changing the set.
func DropSlowest[V any](set map[*Arrival]V) (*Arrival, bool) {
	for {
		var slowest *Arrival
		most := idleBehind
		for a := range set {
			if d := a.behind(); d > most || d == most && slowest == nil {
				slowest, most = a, d
			}
		}
		if slowest == nil {
			return nil, false
		}
		if slowest.end() {
			return slowest, true
		}
	}
}
