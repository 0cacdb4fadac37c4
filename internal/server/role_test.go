package server

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/helper"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/loss"
	"github.com/shoal-project/shoal/internal/store/sqlite"
	"github.com/shoal-project/shoal/metric/task"
)

// fakeRole is a role that has the health it is given.
type fakeRole struct {
	name   task.Role
	health func() Health
}

func (f *fakeRole) Name() task.Role                              { return f.name }
func (f *fakeRole) Run(ctx context.Context, _ func(error)) error { <-ctx.Done(); return ctx.Err() }
func (f *fakeRole) Health(context.Context) Health                { return f.health() }
func (f *fakeRole) Close() error                                 { return nil }

// shownHealth is what a server shows of its roles.
type shownHealth struct {
	log, metrics string
	reasons      []string
	losses       []loss.Loss
}

// shownBy returns what a server shows of a leader after two looks at its health.
func shownBy(t *testing.T, now time.Time, health func(turn int) Health) shownHealth {
	t.Helper()
	var log bytes.Buffer
	turn := 0
	list, err := loss.Open(durable.OS(), t.TempDir())
	must(t, err)
	s := &Server{
		o:       Options{Clock: clock.NewVirtual(now), Logger: slog.New(slog.NewTextHandler(&log, nil))},
		config:  Config{Data: t.TempDir(), Roles: []task.Role{task.Leader}},
		metrics: newMetrics(), losses: list, noted: map[string]time.Time{}, counted: map[lossPlace]int64{},
	}
	s.roles = []role{&fakeRole{task.Leader, func() Health { return health(turn) }}}
	for turn = range 2 {
		s.refresh(t.Context())
	}
	rec := httptest.NewRecorder()
	s.metrics.handler().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	state, err := list.State()
	must(t, err)
	return shownHealth{log.String(), rec.Body.String(), s.unready(t.Context()), state.Open}
}

// TestDamageNamesItsRole: a store that a look at health finds damaged is in the list of
// losses as that of its role.
func TestDamageNamesItsRole(t *testing.T) {
	name := filepath.Join(t.TempDir(), "leader.db")
	must(t, os.WriteFile(name, bytes.Repeat([]byte("no database "), 1000), 0o600))
	err := sqlite.Inspect(t.Context(), name, true)
	if !sqlite.IsDamaged(err) {
		t.Fatalf("%v", err)
	}
	got := shownBy(t, time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC), func(int) Health { return Health{Err: err} })
	if len(got.losses) != 1 || got.losses[0].Role != "leader" || got.losses[0].Place != "leader.db" {
		t.Errorf("losses %+v", got.losses)
	}
}

// TestHealthIsShown: each part of a role's health comes out at its place: readiness,
// gauges, log, list of losses, and only once where it is repeated.
func TestHealthIsShown(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	full := Health{
		Reasons: []string{"it rains"},
		Losses:  []loss.Loss{{Cause: loss.GivenUp, Place: "a", Reports: 3}, {Cause: loss.Orphaned, Place: "b", Reports: 4}},
		Figures: []Figure{{"queue_batches", "open", 5}, {"queue_batches", "closed", 6}, {"tasks", "", 7}},
		Notes:   []Note{{"x", time.Hour, "a peer is away", []any{"peer", "p"}}},
		Need:    8,
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Health]()) {
		if f.Name != "Err" && reflect.ValueOf(full).FieldByIndex(f.Index).IsZero() {
			t.Fatalf("the test lacks %s", f.Name)
		}
	}
	got := shownBy(t, now, func(int) Health { return full })
	if !slices.Contains(got.reasons, "it rains") {
		t.Errorf("reasons %q", got.reasons)
	}
	for _, want := range []string{`shoal_queue_batches{role="leader",state="open"} 5`, `shoal_queue_batches{role="leader",state="closed"} 6`, `shoal_tasks{role="leader"} 7`} {
		if !strings.Contains(got.metrics, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	if strings.Count(got.log, "a peer is away") != 1 || !strings.Contains(got.log, "role=leader peer=p") {
		t.Errorf("log:\n%s", got.log)
	}
	reports := map[loss.Cause]int64{}
	for _, l := range got.losses {
		reports[l.Cause] += l.Reports
	}
	if len(got.losses) != 2 || reports[loss.GivenUp] != 3 || reports[loss.Orphaned] != 4 {
		t.Errorf("losses %+v", got.losses)
	}

	got = shownBy(t, now, func(turn int) Health {
		if turn == 0 {
			return full
		}
		return Health{Figures: []Figure{{"queue_batches", "open", 1}}}
	})
	if strings.Contains(got.metrics, `state="closed"`) || strings.Contains(got.metrics, "shoal_tasks{") || len(got.losses) != 1 || len(got.reasons) != 1 {
		t.Errorf("what has passed is shown: %+v\n%s", got.losses, got.metrics)
	}

	got = shownBy(t, now, func(turn int) Health {
		if turn == 0 {
			return full
		}
		return Health{Err: errors.New("disk on fire")}
	})
	if !strings.Contains(got.metrics, `shoal_tasks{role="leader"} 7`) || !strings.Contains(got.metrics, `shoal_failures_total{stage="gauges"} 1`) || !strings.Contains(got.log, "disk on fire") {
		t.Errorf("after an error: log %s\n%s", got.log, got.metrics)
	}
}

// TestRoleTable: every role of the configuration can be opened, in one order.
func TestRoleTable(t *testing.T) {
	var names []task.Role
	for _, r := range roleTable {
		names = append(names, r.name)
	}
	if !slices.Equal(names, append(slices.Clone(roles), task.Gateway)) {
		t.Errorf("roleTable has %v, the configuration %v", names, roles)
	}
}

// TestHelperStatus: what a helper reports of itself is a gauge or a reason.
func TestHelperStatus(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	st := helper.Status{Running: 1, Queued: 2, Pending: 3, Swept: now.Add(-time.Minute), Err: errors.New("disk on fire")}
	got := shownBy(t, now, func(int) Health { return helperHealth(now, st) })
	for _, want := range []string{
		`shoal_helper_requests{role="leader",state="running"} 1`, `shoal_helper_requests{role="leader",state="queued"} 2`,
		`shoal_helper_requests{role="leader",state="pending"} 3`, `shoal_helper_sweep_seconds{role="leader"} 60`,
	} {
		if !strings.Contains(got.metrics, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	if !slices.Contains(got.reasons, "the helper's store fails") {
		t.Errorf("reasons %q", got.reasons)
	}
}
