package leader_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/auth"
	"github.com/shoal-project/shoal/internal/dap/leader"
	"github.com/shoal-project/shoal/internal/dap/tasks"
)

// renew gives the leader a new token, and returns it.
func (w *world) renew(t testing.TB) auth.Token {
	t.Helper()
	token := w.newToken(t)
	must(t, w.registry.Update(t.Context(), w.task.ID(), func(e *tasks.Entry) error {
		e.Renew(token)
		return nil
	}))
	return token
}

// learn makes the helper know exactly some tokens.
func (w *world) learn(t testing.TB, tokens ...auth.Token) {
	t.Helper()
	must(t, w.theirs.Update(t.Context(), w.task.ID(), func(e *tasks.Entry) error {
		e.Inbound = nil
		for _, token := range tokens {
			e.Inbound = append(e.Inbound, token.Hash())
		}
		return nil
	}))
	s, err := w.theirs.Lookup(t.Context(), w.task.ID())
	must(t, err)
	w.helper.serving = s
}

// former returns how many former tokens the leader keeps.
func (w *world) former(t testing.TB) int {
	t.Helper()
	s, err := w.registry.Lookup(t.Context(), w.task.ID())
	must(t, err)
	return len(s.Entry.Former)
}

// A token that the helper does not know yet causes no outage, for jobs, polls and
// shares, and is used alone once the helper knows it.
func TestTokenRenewal(t *testing.T) {
	for name, async := range map[string]*bool{"401": nil, "404 at once": new(false), "404 later": new(true)} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, dap.DAP18(), nil, nil)
			finish := func() {}
			if async != nil {
				h := w.useHelper(t, *async)
				finish = func() { must(t, h.Finish(t.Context())) }
			}
			w.renew(t)
			at, q := w.uploadAndCollect(t, 4)
			last := w.renew(t) // and again, before the helper has accepted one
			for i := range 4 {
				if i == 2 {
					w.restart(t)
				}
				w.tickAlong(t, 1, 5*time.Second)
				finish()
			}
			if got := w.result(t, at, q); !slices.Equal(got, ones(4)) || w.seen.jobs[leader.JobPostponed] != 0 {
				t.Fatalf("result %v, jobs %v", got, w.seen.jobs)
			}
			if n := w.former(t); n != 2 {
				t.Errorf("%d former tokens before the helper has accepted the newest, want 2", n)
			}
			w.learn(t, last)
			at, q = w.uploadAndCollect(t, 4)
			for range 4 {
				w.tickAlong(t, 1, 5*time.Second)
				finish()
			}
			if got := w.result(t, at, q); !slices.Equal(got, ones(4)) {
				t.Fatalf("result %v", got)
			}
			if n := w.former(t); n != 0 {
				t.Errorf("%d former tokens after the helper has accepted the newest", n)
			}
		})
	}
}

// While the helper knows no token the leader waits, and sends each at every attempt;
// a server before the helper that lets nothing through proves nothing.
func TestNoTokenIsKnown(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, nil)
	first := w.renew(t)
	w.renew(t)
	w.learn(t, w.newToken(t))
	at, q := w.uploadAndCollect(t, 4)
	w.tickAlong(t, 1, 10*time.Minute)
	if n := len(w.helper.requests); n != 3 {
		t.Errorf("%d requests, want one with each token", n)
	}
	w.helper.refuse = func(*http.Request) *http.Response { return respond(200, "", []byte("<html>log in")) }
	w.tickAlong(t, 1, 10*time.Minute)
	w.helper.refuse = nil
	if n := w.former(t); n != 2 {
		t.Errorf("%d former tokens after a stranger's answer", n)
	}
	w.learn(t, first)
	w.tickAlong(t, 2, 10*time.Minute)
	if got := w.result(t, at, q); !slices.Equal(got, ones(4)) {
		t.Fatalf("result %v", got)
	}
}
