package server

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/shoal-project/shoal/internal/loss"
	"github.com/shoal-project/shoal/metric/task"
)

// ownerOf returns the word by which losses name a role, 0 being that of no role.
func ownerOf(r task.Role) string {
	if r == 0 {
		return "server"
	}
	return r.String()
}

// lost returns what a role calls when reports that were acknowledged are lost. What
// is not known yet becomes a log line here; gauges, readiness and doctor read the
// list.
func (s *Server) lost(r task.Role) func(loss.Loss) {
	return func(l loss.Loss) {
		l.Role = ownerOf(r)
		fresh, err := s.losses.Add(l)
		if err != nil {
			s.failed("losses", err)
		}
		if fresh {
			s.logLoss(l)
		}
	}
}

func (s *Server) logLoss(l loss.Loss) {
	log := s.o.Logger.With("role", l.Role, "cause", l.Cause, "place", l.Place, "reports_at_least", l.Reports, "detail", l.Detail)
	if l.Cause == loss.Orphaned {
		log.Error("reports that were acknowledged wait for a decision: see shoal doctor")
		return
	}
	log.Error("reports that were acknowledged are lost: see shoal doctor")
}

// orphanage is a role that finds what it cannot work on, which its health has among
// the losses, and destroys it if an operator wants that.
type orphanage interface {
	role
	Discard(ctx context.Context, place string) error
}

// remind enters what roles have found at the start, and logs that losses of before are
// not acknowledged.
func (s *Server) remind(ctx context.Context) {
	for _, r := range s.roles {
		s.enterLosses(r.Name(), health(ctx, r).Losses)
	}
	for _, why := range s.lossReasons() {
		s.o.Logger.Warn("losses are not acknowledged", "why", why)
	}
	s.refreshLosses()
}

// A lossKey is what losses are added up by.
type lossKey struct {
	role  string
	cause loss.Cause
}

type lossPlace struct {
	lossKey
	place string
}

// lossReasons lists, for each role and cause, what was lost and is not acknowledged.
func (s *Server) lossReasons() []string {
	st, err := s.losses.State()
	var reasons []string
	if err != nil {
		reasons = append(reasons, whyLossList)
	}
	places, reports := map[lossKey]int{}, map[lossKey]int64{}
	var order []lossKey
	for _, l := range st.Open {
		k := lossKey{l.Role, l.Cause}
		if places[k] == 0 {
			order = append(order, k)
		}
		places[k]++
		reports[k] += l.Reports
	}
	for _, k := range order {
		reasons = append(reasons, fmt.Sprintf(whyLosses,
			k.role, k.cause, places[k], reports[k]))
	}
	return reasons
}

// refreshLosses sets the gauges of losses.
func (s *Server) refreshLosses() {
	if err := s.losses.Prune(s.o.Clock.Now()); err != nil {
		s.failed("losses", err)
	}
	st, err := s.losses.State()
	if err != nil {
		s.failed("losses", err)
	}
	s.metrics.losses.Reset()
	s.metrics.lossReports.Reset()
	for state, all := range map[string][]loss.Loss{"open": st.Open, "acknowledged": st.Acknowledged} {
		for _, l := range all {
			labels := prometheus.Labels{"role": l.Role, "cause": string(l.Cause), "state": state}
			s.metrics.losses.With(labels).Inc()
			s.metrics.lossReports.With(labels).Add(float64(l.Reports))
		}
	}
}

// DiscardOrphans destroys what the organisation cannot work on, as an operator has
// decided, and returns what that was. No server of the organisation must run.
func DiscardOrphans(ctx context.Context, c Config, o Options) ([]string, error) {
	o.Manual, o.Console = true, nil
	o.Listen = func(network, _ string) (net.Listener, error) { return net.Listen(network, "127.0.0.1:0") }
	s, err := New(ctx, c, o)
	if err != nil {
		return nil, fmt.Errorf("discarding orphans: %w", err)
	}
	var gone []string
	var errs []error
	for _, r := range rolesOf[orphanage](s) {
		for _, l := range health(ctx, r).Losses {
			if l.Cause != loss.Orphaned {
				continue
			}
			l.Role = r.Name().String()
			if err := r.Discard(ctx, l.Place); err != nil {
				errs = append(errs, err)
				continue
			}
			gone = append(gone, describe(l))
		}
		s.enterLosses(r.Name(), health(ctx, r).Losses)
	}
	return gone, errors.Join(append(errs, s.Close())...)
}
