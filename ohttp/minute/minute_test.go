package minute_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/ohttp/minute"
)

var start = time.Date(2026, 11, 30, 11, 0, 30, 0, time.UTC)

// identity returns the nth of the identity keys of this test.
func identity(t testing.TB, n byte) task.IdentityKey {
	t.Helper()
	k, err := task.GenerateIdentityKey(bytes.NewReader(bytes.Repeat([]byte{n}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// A party signs the minute of its clock.
type party struct {
	key   task.IdentityKey
	clock *clock.Virtual
	off   time.Duration
	fail  error
	count int
}

func (p *party) fetch(context.Context) ([]byte, error) {
	p.count++
	if p.fail != nil {
		return nil, p.fail
	}
	return minute.Sign(p.key, p.clock.Now().Add(p.off))
}

func newServer(t testing.TB) (*party, *minute.Server) {
	t.Helper()
	p := &party{key: identity(t, 1), clock: clock.NewVirtual(start)}
	s, err := minute.NewServer(minute.Config{Party: p.key.Public(), Fetch: p.fetch, Clock: p.clock})
	if err != nil {
		t.Fatal(err)
	}
	return p, s
}

// TestSameMinuteForAll: many callers of a minute get the same bytes from one fetch.
func TestSameMinuteForAll(t *testing.T) {
	p, s := newServer(t)
	for i := range 3 {
		want := start.Add(time.Duration(i) * time.Minute).Truncate(time.Minute)
		var first []byte
		for range 10 {
			signed, err := s.Minute(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if m, err := minute.Open(signed, p.key.Public()); err != nil || !m.Equal(want) {
				t.Errorf("%v, %v, want %v", m, err, want)
			}
			if first == nil {
				first = signed
			}
			if !bytes.Equal(first, signed) {
				t.Error("two callers get different bytes")
			}
		}
		if p.count != i+1 {
			t.Errorf("minute %d: %d fetches", i, p.count)
		}
		p.clock.Advance(time.Minute)
	}
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			if _, err := s.Minute(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if p.count != 4 {
		t.Errorf("%d fetches for 4 minutes", p.count)
	}
}

// TestServerRefuses: a minute that is off, goes back or is signed by another is not
// served, and neither is an old one instead.
func TestServerRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*party)
		ok     bool
	}{
		"two minutes fast":   {func(p *party) { p.off = 2 * time.Minute }, true},
		"three minutes fast": {func(p *party) { p.off = 3 * time.Minute }, false},
		"three minutes slow": {func(p *party) { p.off = -3 * time.Minute }, false},
		"back":               {func(p *party) { p.off = -2 * time.Minute }, false},
		"down":               {func(p *party) { p.fail = errors.New("down") }, false},
		"another signer":     {func(p *party) { p.key = identity(t, 2) }, false},
	} {
		p, s := newServer(t)
		if _, err := s.Minute(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.clock.Advance(time.Minute)
		test.change(p)
		for range 3 {
			if got, err := s.Minute(t.Context()); (err == nil) != test.ok {
				t.Errorf("%s: %x, %v", name, got, err)
			}
		}
		if p.count > 2 {
			t.Errorf("%s: %d fetches within a minute", name, p.count-1)
		}
	}
}

// TestSlowParty covers a party that keeps the clients of a relay waiting: while it is
// asked, others get the minute before, and one that goes away does not wait.
func TestSlowParty(t *testing.T) {
	p := &party{key: identity(t, 1), clock: clock.NewVirtual(start)}
	slow, asked := make(chan struct{}), make(chan struct{}, 8)
	s, err := minute.NewServer(minute.Config{Party: p.key.Public(), Clock: p.clock, Fetch: func(ctx context.Context) ([]byte, error) {
		asked <- struct{}{}
		if p.clock.Now().After(start.Add(time.Second)) {
			<-slow
		}
		return p.fetch(ctx)
	}})
	if err != nil {
		t.Fatal(err)
	}
	first, err := s.Minute(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	<-asked
	p.clock.Advance(time.Minute)
	gone, leave := context.WithCancel(t.Context())
	waited := make(chan error, 1)
	go func() {
		_, err := s.Minute(gone)
		waited <- err
	}()
	<-asked
	for range 3 {
		if got, err := s.Minute(t.Context()); err != nil || !bytes.Equal(got, first) {
			t.Errorf("while the party is asked: %x, %v", got, err)
		}
	}
	leave()
	if err := <-waited; !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that goes away: %v", err)
	}
	p.clock.Advance(2 * time.Minute) // the one before is too old by now
	gone, leave = context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer leave()
	if got, err := s.Minute(gone); err == nil {
		t.Errorf("an old minute is served: %x", got)
	}
	close(slow)
	if _, err := s.Minute(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestServeHTTP(t *testing.T) {
	p, s := newServer(t)
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
	if m, err := minute.Open(rec.Body.Bytes(), p.key.Public()); err != nil || !m.Equal(start.Truncate(time.Minute)) || rec.Header().Get("Content-Type") != minute.MediaType {
		t.Errorf("%v, %v", m, err)
	}
	rec = httptest.NewRecorder()
	s.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/", nil))
	if rec.Code != http.StatusMethodNotAllowed || rec.Header().Get("Allow") != "GET" {
		t.Errorf("POST: %d", rec.Code)
	}
	p.clock.Advance(time.Minute)
	p.fail = errors.New("down")
	rec = httptest.NewRecorder()
	s.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
	if rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" {
		t.Errorf("down: %d", rec.Code)
	}
}

// TestClient: two devices whose clocks are years apart know one time, and wait
// without it.
func TestClient(t *testing.T) {
	key := identity(t, 1)
	sign := func(at time.Time) []byte {
		t.Helper()
		b, err := minute.Sign(key, at)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, device := range []time.Time{start, start.AddDate(-8, 0, 0), start.Add(40 * time.Second)} {
		own := clock.NewVirtual(device)
		c := minute.NewClient(key.Public(), own, 0)
		if _, err := c.Now(); !errors.Is(err, minute.ErrWait) {
			t.Errorf("before the first minute: %v", err)
		}
		if err := c.Take(sign(start)); err != nil {
			t.Fatal(err)
		}
		own.Advance(90 * time.Second)
		if now, err := c.Now(); err != nil || !now.Equal(start.Truncate(time.Minute).Add(time.Minute)) {
			t.Errorf("device at %v: %v, %v", device, now, err)
		}
		if err := c.Take(sign(start.Add(-time.Minute))); !errors.Is(err, minute.ErrInvalid) {
			t.Errorf("an earlier minute: %v", err)
		}
		if err := c.Take(sign(start)[:50]); !errors.Is(err, minute.ErrInvalid) {
			t.Errorf("half a minute: %v", err)
		}
		own.Advance(time.Hour)
		if _, err := c.Now(); !errors.Is(err, minute.ErrWait) {
			t.Errorf("an hour later: %v", err)
		}
		if err := c.Take(sign(start.Add(time.Hour))); err != nil {
			t.Error(err)
		}
		own.Advance(-time.Minute) // the device's clock is set back
		if _, err := c.Now(); !errors.Is(err, minute.ErrWait) {
			t.Errorf("a clock that goes back: %v", err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	key := identity(t, 1)
	signed, err := minute.Sign(key, start)
	if err != nil {
		t.Fatal(err)
	}
	for i := range signed {
		damaged := bytes.Clone(signed)
		damaged[i] ^= 1
		if m, err := minute.Open(damaged, key.Public()); !errors.Is(err, minute.ErrInvalid) {
			t.Errorf("byte %d changed: %v, %v", i, m, err)
		}
	}
	if _, err := minute.Sign(key, time.Unix(-1, 0)); err == nil {
		t.Error("a time before 1970 is signed")
	}
	if _, err := minute.NewServer(minute.Config{}); err == nil {
		t.Error("an empty configuration is taken")
	}
}

// FuzzOpen: nothing but what was signed opens.
func FuzzOpen(f *testing.F) {
	key := identity(f, 1)
	signed, err := minute.Sign(key, start)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed)
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := minute.Open(b, key.Public()); err == nil && !bytes.Equal(b, signed) {
			t.Fatalf("%x opens to %v", b, m)
		}
	})
}
