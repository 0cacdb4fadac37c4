package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/shoal-project/shoal/internal/dap/leader"
	"github.com/shoal-project/shoal/internal/loss"
	"github.com/shoal-project/shoal/internal/store/sqlite"
	"github.com/shoal-project/shoal/metric/task"
)

// setDamagedAside inspects the databases of all roles. A damaged one is a loss, and
// stops the start: what it holds cannot be distinguished from what it held. With
// --new-data it is renamed and a new one takes its place. It returns how many were.
func (s *Server) setDamagedAside(ctx context.Context, all []holding) (int, error) {
	aside := 0
	var errs []error
	for _, h := range all {
		if h.dir || h.path == "" {
			continue
		}
		err := sqlite.Inspect(ctx, h.path, false)
		if err == nil {
			continue
		}
		if !sqlite.IsDamaged(err) {
			return aside, fmt.Errorf("data: %w", err)
		}
		s.storeDamaged(h.role, err)
		if !s.o.NewData {
			errs = append(errs, fmt.Errorf("data: %w. Restore a backup; without one, \"shoal serve --new-data\" sets the store aside "+
				"and starts without it once, and its reports are not counted", err))
			continue
		}
		to, err := sqlite.SetAside(h.path)
		if err != nil {
			return aside, fmt.Errorf("data: %w", err)
		}
		s.o.Logger.Warn("a damaged store is given up, as --new-data demands; reports in it are not counted", "role", h.role, "kept_as", filepath.Base(to))
		s.gone = append(s.gone, h)
		aside++
	}
	return aside, errors.Join(errs...)
}

// hasStore reports whether there is a database file. One that is empty is no new one: a
// database has content as soon as there is one.
func hasStore(name string) (bool, error) {
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil && info.Size() == 0 {
		err = fmt.Errorf("%s is empty: restore it from a backup", name)
	}
	return err == nil, err
}

// confirm checks that a store is the one that the organisation has had. Another one
// that is accepted is a loss of what was in the first.
func (s *Server) confirm(ctx context.Context, r task.Role, store identified) error {
	other, err := s.data.confirm(ctx, r, store)
	if err != nil || !other || s.gaveUp(storeHolding(r)) {
		return err
	}
	if err := s.openRestored(true); err != nil { // what was in the former one is not known
		return err
	}
	s.lost(r)(loss.Loss{Cause: loss.Missing, Place: r.String() + ".db", Detail: "the store is another one than before, and the server was started with --new-data: reports in the former one are not counted"})
	return nil
}

// gaveUp reports whether a holding was missing or damaged and is given up.
func (s *Server) gaveUp(name string) bool {
	return slices.ContainsFunc(s.gone, func(h holding) bool { return h.name == name })
}

// storeDamaged enters the database of a role into the list of losses.
func (s *Server) storeDamaged(r task.Role, err error) {
	s.lost(r)(loss.Loss{
		Cause: loss.Damaged, Place: ownerOf(r) + ".db",
		Detail: err.Error() + ": stop the server and restore a backup, or start it with --new-data, which sets the store aside",
	})
}

// giveUp enters what is missing and not waited for, as --new-data demands, into the
// list of losses.
func (s *Server) giveUp(gone []missingHolding) {
	for _, g := range gone {
		s.o.Logger.Warn("data is missing and given up, as --new-data demands; reports in it are not counted", "missing", g.what)
		l := loss.Loss{Cause: loss.Missing, Place: filepath.Base(g.path), Detail: "it was missing, and the server was started with --new-data: reports in it are not counted"}
		if g.role == 0 {
			l.Detail = "it was missing, and the server was started with --new-data: tasks that were added by the management API must be added again"
		}
		s.gone = append(s.gone, g.holding)
		s.lost(g.role)(l)
	}
}

// noticeDamage enters a database into the list of losses if an error of a stage, whose
// name begins with that of a role, shows that it is damaged.
func (s *Server) noticeDamage(stage string, err error) {
	if !sqlite.IsDamaged(err) {
		return
	}
	name, _, _ := strings.Cut(stage, " ")
	i := slices.IndexFunc(s.config.Roles, func(r task.Role) bool { return r.String() == name })
	var r task.Role // 0: the stage is that of no role
	if i >= 0 {
		r = s.config.Roles[i]
	}
	s.storeDamaged(r, err)
}

// dropNode gives up the logs that a leader's store expects in a folder that was given
// up. They are in the counters of dropped reports, too.
func (s *Server) dropNode(ctx context.Context, store leader.Store) error {
	node := s.config.Aggregates.Node
	if !s.gaveUp(leaderFolder(node)) || s.gaveUp(storeHolding(task.Leader)) {
		return nil
	}
	d, err := store.DropNode(ctx, node, s.o.Clock.Now())
	if err != nil {
		return fmt.Errorf("giving up the reports of the missing folder: %w", err)
	}
	s.o.Logger.Warn("reports of a node were given up", "node", d.Node, "logs", d.Logs, "open_logs", d.Open, "reports", d.Reports)
	return nil
}
