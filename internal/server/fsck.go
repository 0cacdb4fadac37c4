package server

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/shoal-project/shoal/internal/loss"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/metric/task"
)

// damagedResults enters released files that are damaged into the list of losses.
func (s *Server) damagedResults(r task.Role, all []*release.Damage) {
	for _, d := range all {
		s.lost(r)(loss.Loss{
			Cause: loss.Damaged, Place: fmt.Sprintf("table %s of epoch %d of %s", d.Table, d.Epoch, d.Metric),
			Detail: d.Err.Error() + ": restore the file from a backup; the other epochs are served",
		})
	}
}

// CheckTable checks a released file before it is read. A damaged one is entered into
// the list of losses.
func (s *Server) CheckTable(t Task, b release.Batch, table release.Table) *release.Damage {
	d := s.checker.Check(b, table)
	if d != nil {
		s.damagedResults(t.Role(), []*release.Damage{d})
	}
	return d
}

// epochsOf lists the epochs of damaged files, for a header.
func epochsOf(all []*release.Damage) string {
	epochs := make([]string, len(all))
	for i, d := range all {
		epochs[i] = strconv.FormatUint(uint64(d.Epoch), 10)
	}
	return strings.Join(epochs, ", ")
}

// Fsck reads every released file of an organisation through and compares it with the
// manifest that the catalogue has. It returns how many files there are, and which of
// them are damaged. It changes nothing, and may run beside a server.
func Fsck(ctx context.Context, c Config) (files int, damaged []*release.Damage, err error) {
	tables, done, err := OpenTables(ctx, c)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = done() }() // it was read only
	batches, err := tables.Released(ctx)
	if err != nil {
		return 0, nil, err
	}
	files, damaged = release.CheckAll(batches, func(b release.Batch, t release.Table) *release.Damage {
		if ctx.Err() != nil {
			return nil
		}
		return release.Check(b, t)
	})
	return files, damaged, ctx.Err()
}

// results looks in brief at what was released: whether every file is there and as
// long as it was.
func (d *doctor) results(ctx context.Context) {
	if !d.config.releases() {
		return
	}
	tables, done, err := OpenTables(ctx, d.config)
	if errors.Is(err, errNotRun) {
		d.say(OK, "results", "nothing has been released yet")
		return
	}
	if err != nil {
		d.say(Failure, "results", "%v", err)
		return
	}
	defer func() { _ = done() }() // it was read only
	batches, err := tables.Released(ctx)
	if err != nil {
		d.say(Failure, "results", "%v", err)
		return
	}
	files, damaged := release.CheckAll(batches, release.Brief)
	for i, bad := range damaged {
		if i == mostLosses {
			d.say(Failure, "results", "and %d more files", len(damaged)-mostLosses)
			break
		}
		d.say(Failure, "results", "%v: restore it from a backup", bad)
	}
	if len(damaged) == 0 {
		d.say(OK, "results", "%d files are there and as long as they were; \"shoal fsck\" reads them through", files)
	}
}
