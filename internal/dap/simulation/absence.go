package simulation

import (
	"net/http"
	"strings"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/auth"
	"github.com/shoal-project/shoal/internal/dap/tasks"
)

// calm reports whether the simulation makes no faults now.
func (w *world) calm() bool { return w.healed || w.looking > 0 || w.waiting }

// slow lets time pass in a call, and meanwhile others work. A call may take longer
// than a lease.
func (w *world) slow(meanwhile func()) {
	w.waiting = true
	defer func() { w.waiting = false }()
	w.stats.Slow++
	w.disturbed++
	d := time.Duration(1+w.random.IntN(20*60)) * time.Second
	w.note("  slow: %v", d)
	w.advance(d)
	meanwhile()
}

// An absent helper is one that its leader cannot use until a time.
type absent struct {
	until time.Time
	how   int
}

// absences are what a leader sees of a helper that is away: nothing, what a proxy
// answers for it, or that it does not know the task.
var absences = []struct {
	status  int
	kind    string // media type
	body    string
	retry   string
	problem dap.ProblemType
}{
	{}, // no connection
	{status: http.StatusServiceUnavailable},
	{status: http.StatusServiceUnavailable, retry: "30"},
	{status: http.StatusBadGateway, kind: "text/html", body: "<h1>Bad Gateway</h1>"},
	{status: http.StatusInternalServerError},
	{status: http.StatusTooManyRequests, retry: "1"},
	{status: http.StatusNotFound, kind: "text/plain", body: "404 page not found"},
	{status: http.StatusForbidden},
	{status: http.StatusNotFound, problem: dap.ProblemUnrecognizedTask},
}

// answer returns what comes instead of the helper's answer; nil for nothing. It
// reports false if the helper is there.
func (a *absent) answer(w *world, p *packet) (*answer, bool) {
	if w.healed || !strings.HasPrefix(p.url, helperURL) || !w.clock.Now().Before(a.until) {
		return nil, false
	}
	w.disturbed++
	f := absences[a.how]
	if f.status == 0 {
		return nil, true
	}
	out := &answer{status: f.status, header: http.Header{}, body: []byte(f.body)}
	if f.kind != "" {
		out.header.Set("Content-Type", f.kind)
	}
	if f.retry != "" {
		out.header.Set("Retry-After", f.retry)
	}
	if f.problem != "" {
		id := w.task.ID()
		abort := dap.Abort{Type: f.problem, Detail: "simulated"}
		out.header.Set("Content-Type", dap.ProblemMediaType)
		body, err := abort.Document(f.status, &id)
		if err != nil {
			w.breaks("making a problem document: %v", err)
		}
		out.body = body
	}
	return out, true
}

// leave takes the helper away for up to four days, while the leader works on.
func (w *world) leave() error {
	if !w.setting.Absence {
		return nil
	}
	w.stats.Absences++
	d := time.Duration(1+w.random.IntN(96)) * time.Hour
	w.absent = absent{w.clock.Now().Add(d), w.random.IntN(len(absences))}
	w.note("  for %v: %+v", d, absences[w.absent.how])
	looks := 60 + w.random.IntN(60)
	for range looks {
		w.advance(d / time.Duration(looks))
		for _, n := range w.leaders {
			_ = w.work(n)
		}
	}
	return nil
}

// renew gives the leader a new token for the helper, which learns it later.
func (w *world) renew() error {
	if !w.setting.Absence {
		return nil
	}
	if err := w.finishRenewal(); err != nil {
		return err
	}
	w.stats.Renewals++
	token, err := auth.NewToken(w.rand)
	if err != nil {
		return err
	}
	err = w.leaders[0].registry.Update(w.ctx, w.task.ID(), func(e *tasks.Entry) error {
		e.Renew(token)
		return nil
	})
	if err != nil {
		return err
	}
	w.renewal = func() error {
		return w.helpers[0].registry.Update(w.ctx, w.task.ID(), func(e *tasks.Entry) error {
			e.Inbound = []auth.Hash{token.Hash()}
			return nil
		})
	}
	return nil
}

// finishRenewal gives the helper the token that the leader has.
func (w *world) finishRenewal() error {
	if w.renewal == nil {
		return nil
	}
	do := w.renewal
	w.renewal = nil
	return do()
}
