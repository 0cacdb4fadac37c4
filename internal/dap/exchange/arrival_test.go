package exchange_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/exchange"
)

var pace = exchange.Pace{Pause: 5 * time.Second, PerSecond: 1000, Crowded: 10_000, Most: time.Minute}

// A wired recorder notes the deadlines of its connection, from now; 0 for none.
type wired struct {
	*httptest.ResponseRecorder
	deadlines []time.Duration
}

func (w *wired) SetReadDeadline(t time.Time) error {
	d := time.Until(t)
	if t.IsZero() {
		d = 0
	}
	w.deadlines = append(w.deadlines, d)
	return nil
}

// A timed body takes a time for each read and gives so many bytes.
type timed struct {
	steps []step
}

type step struct {
	takes time.Duration
	bytes int
}

func (b *timed) Read([]byte) (int, error) {
	if len(b.steps) == 0 {
		return 0, io.EOF
	}
	s := b.steps[0]
	b.steps = b.steps[1:]
	time.Sleep(s.takes)
	return s.bytes, nil
}

// Waiting spends the credit of a sender, bytes earn it up to the pause, what is
// done with the bytes costs nothing, and the end of the body lifts the deadline.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wired{ResponseRecorder: httptest.NewRecorder()}
		body := &timed{[]step{{4 * time.Second, 1000}, {time.Second, 2500}, {2 * time.Second, 9000}}}
		r := httptest.NewRequest("POST", "/", body)
		p := pace
		p.Most = 2 * time.Minute
		a := exchange.Arrive(w, r, clock.System(), p)
		if r.Body != io.ReadCloser(a) {
			t.Fatal("the request has another body")
		}
		buf := make([]byte, 10_000)
		for _, work := range []time.Duration{time.Minute, 0, 0, 0} {
			if _, err := a.Read(buf); err != nil && err != io.EOF {
				t.Fatal(err)
			}
			time.Sleep(work)
		}
		// 5; 5-4+1; 2-1+2.5; 5 again; none after the end.
		want := []time.Duration{5 * time.Second, 2 * time.Second, 3500 * time.Millisecond, 5 * time.Second, 0}
		if !slices.Equal(w.deadlines, want) {
			t.Errorf("deadlines %v, want %v", w.deadlines, want)
		}
	})
}

// However fast a sender is, it cannot save credit for a longer pause, nor go on
// for ever.
func TestPaceCap(t *testing.T) {
	c := clock.NewVirtual(start)
	for _, p := range []exchange.Pace{pace, {Pause: time.Hour, PerSecond: 1, Crowded: 1, Most: 5 * time.Second}} {
		w := &wired{ResponseRecorder: httptest.NewRecorder()}
		a := exchange.Arrive(w, httptest.NewRequest("POST", "/", bytes.NewReader(make([]byte, 1<<20))), c, p)
		if _, err := io.ReadFull(a, make([]byte, 1<<19)); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		for _, d := range w.deadlines {
			if d > 5*time.Second || d <= 0 {
				t.Errorf("a deadline in %v", d)
			}
		}
	}
}

// A reading is an arrival that a goroutine reads to its end.
type reading struct {
	a   *exchange.Arrival
	out *io.PipeWriter
	err error // once it has ended
}

func read(t *testing.T, c clock.Clock) *reading {
	t.Helper()
	in, out := io.Pipe()
	x := &reading{out: out}
	x.a = exchange.Arrive(httptest.NewRecorder(), httptest.NewRequest("POST", "/", in), c, pace)
	go func() { _, x.err = io.Copy(io.Discard, x.a) }()
	t.Cleanup(func() { out.Close() })
	synctest.Wait()
	return x
}

// send sends bytes and returns once the next read waits.
func (x *reading) send(t *testing.T, bytes int) {
	t.Helper()
	if _, err := x.out.Write(make([]byte, bytes)); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

// The sender furthest behind is cut, not the one that came first; and none that is
// not behind.
func TestCutSlowest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clock.NewVirtual(start)
		first := read(t, c)
		c.Advance(500 * time.Millisecond)
		second := read(t, c)
		set := map[*exchange.Arrival]bool{first.a: true, second.a: true}
		if _, found := exchange.DropSlowest(set); found {
			t.Fatal("one who is not behind was cut")
		}
		c.Advance(900 * time.Millisecond)
		first.send(t, 9000) // 1.4 s, less 0.9 s
		c.Advance(200 * time.Millisecond)
		dropped, found := exchange.DropSlowest(set)
		if !found || dropped != second.a {
			t.Fatal("another than the slowest was cut")
		}
		synctest.Wait()
		if !errors.Is(second.err, exchange.ErrTruncated) {
			t.Errorf("the read that waited: %v", second.err)
		}
		if _, err := second.a.Read(make([]byte, 1)); !errors.Is(err, exchange.ErrTruncated) {
			t.Errorf("the next read: %v", err)
		}
		if _, found := exchange.DropSlowest(set); found {
			t.Error("somebody was cut twice, or is not behind")
		}
		// A few bytes now and then do not help.
		for range 2 {
			c.Advance(400 * time.Millisecond)
			first.send(t, 1)
		}
		if dropped, found := exchange.DropSlowest(set); !found || dropped != first.a {
			t.Error("one who drips was not cut")
		}
	})
}

// Errors of the connection stay what they are.
func TestArrivalErrors(t *testing.T) {
	a := exchange.Arrive(httptest.NewRecorder(), httptest.NewRequest("POST", "/", iotest.ErrReader(http.ErrBodyNotAllowed)), clock.NewVirtual(start), pace)
	if _, err := a.Read(make([]byte, 1)); !errors.Is(err, http.ErrBodyNotAllowed) {
		t.Error(err)
	}
}

// On real connections a cut ends the read that waits and the sender has its
// answer, and a body that has arrived leaves no deadline behind.
func TestCutConnections(t *testing.T) {
	for _, two := range []bool{false, true} {
		c := clock.NewVirtual(start)
		arrivals := make(chan *exchange.Arrival, 1)
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			a := exchange.Arrive(w, r, c, pace)
			if r.URL.Path == "/slow" {
				arrivals <- a
			}
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				exchange.Refuse(w, nil, err)
				return
			}
			w.WriteHeader(http.StatusOK)
		}))
		s.EnableHTTP2 = two
		s.StartTLS()
		in, out := io.Pipe()
		status := make(chan int, 1)
		go func() {
			resp, err := s.Client().Post(s.URL+"/slow", "text/plain", in)
			if err != nil {
				t.Error(err)
				status <- 0
				return
			}
			resp.Body.Close()
			status <- resp.StatusCode
		}()
		set := map[*exchange.Arrival]bool{<-arrivals: true}
		for found := false; !found; { // until the read waits
			c.Advance(time.Second)
			_, found = exchange.DropSlowest(set)
			runtime.Gosched()
		}
		if got := <-status; got != http.StatusRequestTimeout {
			t.Errorf("HTTP/2 %v: the slow one was answered %d", two, got)
		}
		out.Close()
		for range 3 {
			resp, err := s.Client().Post(s.URL, "text/plain", bytes.NewReader(make([]byte, 10_000)))
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Fatalf("HTTP/2 %v: %v, %v", two, resp, err)
			}
			resp.Body.Close()
		}
		s.Close()
	}
}
