package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/shoal-project/shoal/metric/task"
)

// A role is one of the parts that the organisation plays, at work. The server knows
// its roles by this interface, in one list; what some of them have beside is in the
// interfaces below. Methods are safe for concurrent use.
//
// The documentation of the package describes how to add one.
type role interface {
	// Name is the role as the configuration names it.
	Name() task.Role
	// Run does the role's periodic work, whenever it is due, until ctx ends, and returns
	// ctx's error. Failures do not end it; they are passed to report.
	Run(ctx context.Context, report func(error)) error
	// Health returns how the role is now. It may ask stores, so ctx should have an end.
	Health(ctx context.Context) Health
	// Close releases what the role holds. It is called once, after Run has returned, and
	// no other method is called afterwards.
	Close() error
}

// A syncer brings tasks, pairings and keys up to date: after the start, after a change
// of tasks, and at each tick of the server.
type syncer interface {
	Sync(ctx context.Context) error
}

// A ticker does once what is due, Sync included, for servers whose periodic work is
// left to [Server.Tick].
type ticker interface {
	Tick(ctx context.Context) error
}

// A replacer can go on with another list of tasks while it works.
type replacer interface {
	role
	replace(ctx context.Context, tasks []*task.Task) error
}

// A responder answers requests of the public listener.
type responder interface {
	Handler() http.Handler
	// Routes are the resources that the handler answers for.
	Routes() []publicRoute
}

// A sharer answers for resources that another role of the organisation has, too.
type sharer interface {
	// Serves reports whether the request is for a task in which the organisation plays
	// this role.
	Serves(r *http.Request) bool
}

// A keyHolder has keys that rotate.
type keyHolder interface {
	Keys(now time.Time) []keyView
	// RenewKeys makes a new key of each mechanism before it is due, and announces it.
	RenewKeys(ctx context.Context) error
}

// A stater knows of its tasks whether they are served.
type stater interface {
	TaskState(ctx context.Context, t Task) string
}

// roleTable lists how each role is opened, in the order in which roles are opened,
// work at a tick, and are closed. If several roles of an organisation have a route,
// the first decides on what is common to its requests.
var roleTable = [...]struct {
	name task.Role
	open func(s *Server, ctx context.Context) (role, error)
}{
	{task.Shuffler, (*Server).openShuffler},
	{task.Analyzer, (*Server).openAnalyzer},
	{task.Leader, (*Server).openLeader},
	{task.Helper, (*Server).openHelper},
	{task.Collector, (*Server).openCollector},
	{task.Randomness, (*Server).openRandomness},
	{task.Relay, (*Server).openRelay},
	{task.Gateway, (*Server).openGateway}, // after those whose keys it announces
}

// openRoles opens the roles of the configuration.
func (s *Server) openRoles(ctx context.Context) error {
	for _, r := range roleTable {
		if !s.config.Has(r.name) && (r.name != task.Gateway || !s.config.hasGateway()) {
			continue
		}
		opened, err := r.open(s, ctx)
		if err != nil {
			return fmt.Errorf("starting the %s: %w", r.name, err)
		}
		s.roles = append(s.roles, opened)
	}
	return nil
}

// rolesOf returns the roles that are a T: a type of roles, or an interface that some
// of them have.
func rolesOf[T any](s *Server) []T {
	var all []T
	for _, r := range s.roles {
		if t, ok := r.(T); ok {
			all = append(all, t)
		}
	}
	return all
}

// roleOf returns the first role that is a T, or a zero T.
func roleOf[T any](s *Server) T {
	for _, r := range s.roles {
		if t, ok := r.(T); ok {
			return t
		}
	}
	var none T
	return none
}

// role returns the role of a name, or nil.
func (s *Server) role(name task.Role) role {
	i := slices.IndexFunc(s.roles, func(r role) bool { return r.Name() == name })
	if i < 0 {
		return nil
	}
	return s.roles[i]
}

// runRole runs a role until ctx ends.
func (s *Server) runRole(ctx context.Context, r role) error {
	err := r.Run(ctx, func(err error) { s.failed(r.Name().String(), err) })
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("the %s has ended: %w", r.Name(), err)
}

// syncRoles brings tasks, pairings and keys of all roles up to date. A role that cannot
// do so now tries it again later and does not keep the others from it.
func (s *Server) syncRoles(ctx context.Context) {
	s.noteRelayed()
	for _, r := range s.roles {
		if t, ok := r.(syncer); ok {
			if err := t.Sync(ctx); err != nil && ctx.Err() == nil {
				s.failed(r.Name().String()+" tasks and keys", err)
			}
		}
	}
}

// tickRoles does what is due in all roles, once.
func (s *Server) tickRoles(ctx context.Context) error {
	var errs []error
	for _, r := range s.roles {
		t, ok := r.(ticker)
		if !ok {
			continue
		}
		if err := t.Tick(ctx); err != nil {
			s.noticeDamage(r.Name().String(), err)
			errs = append(errs, fmt.Errorf("%s: %w", r.Name(), err))
		}
	}
	return errors.Join(errs...)
}

// closeRoles closes all roles.
func (s *Server) closeRoles() error {
	var errs []error
	for _, r := range s.roles {
		errs = append(errs, r.Close())
	}
	return errors.Join(errs...)
}
