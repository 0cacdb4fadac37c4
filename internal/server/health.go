package server

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/shoal-project/shoal/internal/loss"
	"github.com/shoal-project/shoal/metric/task"
)

// A Health is how a role is at a moment. It is the only source of what readiness,
// gauges, the log and the list of losses show of a role; doctor reads it where the
// server shows it.
type Health struct {
	// Reasons are why the role cannot do its work now, by the formats of reasons.go. The
	// server is ready if no role has one.
	Reasons []string
	// Losses are what of the acknowledged reports cannot be worked on now
	// ([loss.Orphaned]), and how many were given up since the start, by place
	// ([loss.GivenUp]). What is lost at a known moment is entered in the list then.
	Losses []loss.Loss
	// Figures are the role's gauges. One that is not given any more is removed, unless Err
	// is set.
	Figures []Figure
	// Notes are for the log.
	Notes []Note
	// Need is the space in bytes that the work on the largest batch may take.
	Need int64
	// Err is why a part of this is not known.
	Err error
}

// A Figure is the value of a gauge.
type Figure struct {
	Gauge string // its name in the list of metrics
	State string // the label state, of gauges that have it
	Value float64
}

// A Note is a line for the log that is true for as long as the role gives it, and is
// repeated at intervals.
type Note struct {
	Key   string // what the line is about
	Every time.Duration
	Text  string
	Attrs []any
}

// figure adds a gauge.
func (h *Health) figure(gauge string, value float64) {
	h.Figures = append(h.Figures, Figure{Gauge: gauge, Value: value})
}

// cut shows how many rows of lists of what can be used once were damaged.
func (h *Health) cut(rows int) {
	h.figure("spent_rows_cut", float64(rows))
	if rows > 0 {
		h.Notes = append(h.Notes, Note{Key: "spent", Every: cutEvery, Text: cutText, Attrs: []any{"rows", rows}})
	}
}

// cutText is the note on lists of what can be used once whose ends were damaged.
const cutText = "the end of a list of what can be used once was damaged, by a crash or by the disk: what was in it may be used again"

// cutEvery is how often a damaged list is logged.
const cutEvery = 24 * time.Hour

// healthTimeout bounds what a role may take to look how it is.
const healthTimeout = 5 * time.Second

// health asks a role how it is.
func health(ctx context.Context, r role) Health {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	return r.Health(ctx)
}

// unready lists why the server cannot do its work now.
func (s *Server) unready(ctx context.Context) []string {
	var reasons []string
	if s.draining.Load() {
		reasons = append(reasons, whyStopping)
	}
	if free, err := diskFree(s.config.Data); err == nil && free < leastFree {
		reasons = append(reasons, fmt.Sprintf(whyDiskFull, Size(leastFree)))
	}
	reasons = append(reasons, s.lossReasons()...)
	for _, r := range s.roles {
		reasons = append(reasons, health(ctx, r).Reasons...)
	}
	return reasons
}

// refresh looks how the server and its roles are, and shows it: gauges, the list of
// losses, the log. It is called by one goroutine at a time.
func (s *Server) refresh(ctx context.Context) {
	if free, err := diskFree(s.config.Data); err == nil {
		s.metrics.diskFree.Set(float64(free))
	}
	need := int64(0)
	for _, r := range s.roles {
		h := health(ctx, r)
		if h.Err != nil && ctx.Err() == nil {
			s.noticeDamage(r.Name().String(), h.Err)
			s.countFailure("gauges", h.Err)
		}
		s.enterLosses(r.Name(), h.Losses)
		s.metrics.show(r.Name(), h.Figures, h.Err == nil)
		s.logNotes(r.Name(), h.Notes)
		need = max(need, h.Need)
	}
	s.need.Store(need)
	s.refreshLosses()
	s.logRefusals()
	s.logKeys()
}

// enterLosses brings the list of losses up to date with what a role reports.
func (s *Server) enterLosses(r task.Role, all []loss.Loss) {
	var orphans []loss.Loss
	for _, l := range all {
		l.Role = r.String()
		if l.Cause == loss.Orphaned {
			orphans = append(orphans, l)
			continue
		}
		s.countLoss(l)
	}
	fresh, err := s.losses.Replace(r.String(), loss.Orphaned, orphans)
	if err != nil {
		s.failed("losses", err)
	}
	for _, l := range fresh {
		s.logLoss(l)
	}
}

// countLoss enters what has been added to a loss since the last time. Log lines were
// written when it happened.
func (s *Server) countLoss(l loss.Loss) {
	key := lossPlace{lossKey{l.Role, l.Cause}, l.Place}
	all := l.Reports
	if all <= s.counted[key] {
		return
	}
	l.Reports -= s.counted[key]
	if err := s.losses.Count(l); err != nil {
		s.failed("losses", err) // the list of this process has it, and is written later
	}
	s.counted[key] = all
}

// logNotes logs the notes of a role that are new, or were logged long enough ago.
func (s *Server) logNotes(r task.Role, notes []Note) {
	now := s.o.Clock.Now()
	for _, n := range notes {
		key := r.String() + " " + n.Key
		if at, logged := s.noted[key]; logged && now.Sub(at) < n.Every {
			continue
		}
		s.noted[key] = now
		s.o.Logger.Warn(n.Text, slices.Concat([]any{"role", r}, n.Attrs)...) //nolint:sloglint // the texts of notes are constants of the roles
	}
}
