package server

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shoal-project/shoal/internal/dap/collector"
	"github.com/shoal-project/shoal/internal/dap/taskconfig"
	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/metric/task"
)

// openAPI is the description of the management API. A test walks every route
// against it.
//
//go:embed openapi.yaml
var openAPI []byte

// maxBundle bounds a bundle that is added through the API.
const maxBundle = 4 << 20

// managementRoute is one operation of the management API.
type managementRoute struct {
	pattern string
	scope   Scope
	handle  http.HandlerFunc
}

func (s *Server) managementRoutes() []managementRoute {
	return []managementRoute{
		{"GET /api/v1/openapi.yaml", ScopeRead, s.getOpenAPI},
		{"GET /api/v1/tasks", ScopeRead, s.getTasks},
		{"POST /api/v1/tasks", ScopeTasks, s.postTasks},
		{"GET /api/v1/tasks/{task}", ScopeRead, s.getTask},
		{"GET /api/v1/tasks/{task}/batches", ScopeRead, s.getBatches},
		{"GET /api/v1/tasks/{task}/export", ScopeExport, s.getExport},
		{"POST /api/v1/tasks/{task}/disable", ScopeTasks, s.postDisable},
		{"GET /api/v1/tasks/{task}/collections", ScopeRead, s.getCollections},
		{"POST /api/v1/tasks/{task}/collections", ScopeCollect, s.postCollection},
		{"GET /api/v1/keys", ScopeRead, s.getKeys},
		{"POST /api/v1/keys/rotate", ScopeKeys, s.postRotate},
	}
}

func (s *Server) getOpenAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(openAPI)
}

// taskView is a task as the API shows it, in one role of the organisation.
type taskView struct {
	ID           string    `json:"id"`
	Metric       string    `json:"metric"`
	Question     string    `json:"question"`
	Owner        string    `json:"owner"`
	OwnerKey     string    `json:"owner_key"`
	Method       string    `json:"method"`
	Role         string    `json:"role"`
	State        string    `json:"state"`
	EpochSeconds uint32    `json:"epoch_seconds"`
	MinBatch     uint32    `json:"min_batch"`
	Threshold    string    `json:"threshold,omitempty"`
	Kind         string    `json:"kind,omitempty"`
	Noise        string    `json:"noise,omitempty"`
	Presence     string    `json:"presence,omitempty"`
	DAPTask      string    `json:"dap_task,omitempty"`
	NotBefore    time.Time `json:"not_before"`
	Expires      time.Time `json:"expires"`
	Consent      string    `json:"consent,omitempty"`
	Hops         []hopView `json:"hops"`
}

type hopView struct {
	Role     string `json:"role"`
	URL      string `json:"url"`
	Identity string `json:"identity"`
}

func (s *Server) viewTask(ctx context.Context, t Task) taskView {
	v := taskView{
		ID: t.ID.String(), Metric: t.Task.Metric, Question: t.Task.Question,
		Owner: t.Task.OwnedBy, OwnerKey: task.FormatPublic(t.Task.Owner), Role: t.Role().String(),
		Method: methodName(t.Task.Method), State: s.TaskState(ctx, t),
		EpochSeconds: t.Task.EpochSeconds, MinBatch: t.Task.MinBatch,
		NotBefore: time.Unix(t.Task.NotBefore, 0).UTC(), Expires: time.Unix(t.Task.Expires, 0).UTC(),
		Consent: t.Task.Consent,
	}
	if t.Task.Method == task.Aggregate {
		a := t.Task.Aggregation
		v.Kind, v.Noise, v.Presence = a.Kind.String(), a.Noise.String(), a.Presence.String()
		if made, err := taskconfig.New(t.Task, t.ID); err == nil {
			v.DAPTask = made.ID().String()
		}
	} else if rule, err := t.Task.Threshold.Rule(); err == nil {
		v.Threshold = rule.String()
	}
	for _, h := range t.Task.Hops {
		v.Hops = append(v.Hops, hopView{h.Role.String(), h.URL, task.FormatPublic(h.Identity)})
	}
	return v
}

func methodName(m task.Method) string {
	if m == task.Aggregate {
		return "aggregate"
	}
	return "crowd"
}

// TaskState is the state of a task: served, disabled, or what it waits for.
func (s *Server) TaskState(ctx context.Context, t Task) string {
	if !t.Until.IsZero() {
		return "withdrawn: no bundle names it, reports that it has taken are processed until " + t.Until.UTC().Format(time.DateOnly)
	}
	if r, ok := s.role(t.Role()).(stater); ok {
		return r.TaskState(ctx, t)
	}
	return stateServed
}

func (s *Server) viewTasks(ctx context.Context, tasks []Task) map[string][]taskView {
	views := []taskView{}
	for _, t := range tasks {
		views = append(views, s.viewTask(ctx, t))
	}
	return map[string][]taskView{"tasks": views}
}

func (s *Server) getTasks(w http.ResponseWriter, r *http.Request) {
	writeJSON(w, http.StatusOK, s.viewTasks(r.Context(), s.Tasks()))
}

// named returns the task of the request's path; without such a task it answers.
func (s *Server) named(w http.ResponseWriter, r *http.Request) (Task, bool) {
	id, err := task.ParseID(r.PathValue("task"))
	if err != nil {
		problems.malformed.Because("The task ID is not 43 characters of unpadded base64url.").Write(w, 0)
		return Task{}, false
	}
	t, ok := s.task(id)
	if !ok {
		problems.unknownTask.Write(w, 0)
	}
	return t, ok
}

// releasing is named, of the role that releases results where the organisation has
// two parts in a task.
func (s *Server) releasing(w http.ResponseWriter, r *http.Request) (Task, bool) {
	t, ok := s.named(w, r)
	if !ok {
		return t, false
	}
	if o, ok := s.Find(t.ID, task.Collector); ok {
		return o, true
	}
	return t, true
}

func (s *Server) getTask(w http.ResponseWriter, r *http.Request) {
	if t, ok := s.named(w, r); ok {
		writeJSON(w, http.StatusOK, s.viewTask(r.Context(), t))
	}
}

// postTasks admits a bundle, all of it or nothing, keeps it for the next start,
// and begins to serve what is new.
func (s *Server) postTasks(w http.ResponseWriter, r *http.Request) {
	bundle, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBundle))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		problems.tooLarge.Write(w, 0)
		return
	}
	if err != nil {
		problems.malformed.Because("The body ended early.").Write(w, 0)
		return
	}
	added, err := s.addTasks(r, bundle)
	switch {
	case errors.Is(err, errStorage):
		s.failed("tasks", err)
		problems.unavailable.Because("The task could not be stored.").Write(w, 0)
	case err != nil:
		problems.refused.Because(err.Error()).Write(w, 0)
	case len(added) == 0:
		writeJSON(w, http.StatusOK, s.viewTasks(r.Context(), nil))
	default:
		writeJSON(w, http.StatusCreated, s.viewTasks(r.Context(), added))
	}
}

// errStorage means that a task was right and could not be taken all the same.
var errStorage = errors.New("not stored")

func (s *Server) addTasks(r *http.Request, bundle []byte) ([]Task, error) {
	s.adding.Lock()
	defer s.adding.Unlock()
	next := s.copyRegistry()
	added, err := next.add(bundle, s.o.Clock.Now())
	if err != nil || len(added) == 0 {
		return nil, err
	}
	if err := s.config.saveAdded(bundle, sha256.Sum256(bundle)); err != nil {
		return nil, fmt.Errorf("%w: %w", errStorage, err)
	}
	before := s.setRegistry(next)
	for _, h := range rolesOf[replacer](s) {
		if !slices.ContainsFunc(added, func(t Task) bool { return t.Role() == h.Name() }) {
			continue
		}
		if err := h.replace(r.Context(), s.tasksOf(h.Name())); err != nil {
			s.setRegistry(before) // so that trying again does not find the task served
			return nil, fmt.Errorf("%w: %w", errStorage, err)
		}
	}
	s.logAdded(added)
	s.syncRoles(r.Context())
	return added, nil
}

func (s *Server) setRegistry(next *registry) *registry {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.registry
	s.registry = next
	return before
}

func (s *Server) copyRegistry() *registry {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := *s.registry
	next.tasks = slices.Clone(next.tasks)
	next.places, next.byID = maps.Clone(next.places), maps.Clone(next.byID)
	return &next
}

// batchView is a batch as the API shows it. At a shuffler it has no counts:
// what has not been released must not be visible.
type batchView struct {
	Epoch    uint64    `json:"epoch"`
	Start    time.Time `json:"start"`
	End      time.Time `json:"end"`
	State    string    `json:"state"`
	Manifest any       `json:"manifest,omitempty"`
}

func (s *Server) getBatches(w http.ResponseWriter, r *http.Request) {
	t, ok := s.releasing(w, r)
	if !ok {
		return
	}
	p, err := pageOf(r)
	if err != nil {
		problems.malformed.Because(err.Error()).Write(w, 0)
		return
	}
	views, err := s.batches(r.Context(), t, p)
	if err != nil {
		s.failed("batches", err)
		problems.internal.Write(w, 0)
		return
	}
	writeJSON(w, http.StatusOK, map[string][]batchView{"batches": views})
}

// A page is a part of a list of batches: the last ones of those whose epochs are below
// one, at most so many.
type page struct {
	before task.Epoch
	most   int
}

const (
	defaultPage = mostEpochs
	maxPage     = 10_000
)

// pageOf reads the parameters before and limit.
func pageOf(r *http.Request) (page, error) {
	p := page{math.MaxInt64, defaultPage}
	if text := r.URL.Query().Get("before"); text != "" {
		n, err := strconv.ParseUint(text, 10, 63)
		if err != nil {
			return p, fmt.Errorf("before: %q is not an epoch: want a number from 0 to 2^63-1", text)
		}
		p.before = task.Epoch(n)
	}
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxPage {
			return p, fmt.Errorf("limit: %q is not a number from 1 to %d", text, maxPage)
		}
		p.most = n
	}
	return p, nil
}

// newest cuts a list that is ordered by epoch to a page.
func (p page) newest(views []batchView) []batchView {
	views = slices.DeleteFunc(views, func(v batchView) bool { return v.Epoch >= uint64(p.before) })
	return views[max(0, len(views)-p.most):]
}

func (s *Server) batches(ctx context.Context, t Task, p page) ([]batchView, error) {
	views := []batchView{}
	view := func(e task.Epoch, state string, m any) {
		views = append(views, batchView{uint64(e), t.Task.Start(e), t.Task.Start(e + 1), state, m})
	}
	switch t.Role() {
	case task.Collector:
		id, err := s.DAPTask(t)
		if err != nil {
			return nil, err
		}
		entries, err := s.Aggregates().Newest(ctx, id, uint64(p.before), p.most)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			m := e.Manifest
			views = append(views, batchView{m.Epoch, m.Start, m.End, e.Status(), m})
		}
		return views, nil
	case task.Leader, task.Helper: // what is not released must not be visible
		return views, nil
	case task.Analyzer:
		stated, err := s.Tables().Stated(ctx, t.ID)
		if err != nil {
			return nil, err
		}
		entries, err := s.Tables().Before(ctx, t.ID, p.before, p.most)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if e.Manifest == nil {
				view(e.Epoch, e.State.String(), nil)
				continue
			}
			view(e.Epoch, e.Status(), e.Manifest)
		}
		if p.before < math.MaxInt64 && len(entries) == 0 { // rows begin with the first batch
			entries, err = s.Tables().Newest(ctx, t.ID, 1)
			if err != nil {
				return nil, err
			}
		}
		return p.newest(s.withUnreleased(t, p, entries, stated, views)), nil
	}
	if m := s.crowdHost(task.Shuffler).shuffler(); m != nil {
		for _, b := range m.LiveOf(t.ID) {
			view(b.Epoch, b.State.String(), nil)
		}
	}
	return p.newest(views), nil
}

// Tables returns what the organisation has released as an analyzer, or nil if
// it is not one.
func (s *Server) Tables() *analyzer.Tables {
	h := s.crowdHost(task.Analyzer)
	if h == nil {
		return nil
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	if a, ok := h.member.(*analyzer.Analyzer); ok {
		return a.Tables()
	}
	return nil
}

// exportTypes are the media types of exports.
var exportTypes = map[release.Format]string{
	release.CSV:     "text/csv; charset=utf-8",
	release.JSON:    "application/json",
	release.Parquet: "application/vnd.apache.parquet",
}

func (s *Server) getExport(w http.ResponseWriter, r *http.Request) {
	t, ok := s.releasing(w, r)
	if !ok {
		return
	}
	if t.Role() != task.Analyzer && t.Role() != task.Collector {
		problems.notFound.Because("This organisation is neither the task's analyzer nor its collector: it has no tables.").Write(w, 0)
		return
	}
	query, format, err := exportQuery(t, r)
	if err != nil {
		problems.malformed.Because(err.Error()).Write(w, 0)
		return
	}
	selected, err := release.Select(r.Context(), s.Released(), query)
	if err != nil {
		s.failed("export", err)
		problems.internal.Write(w, 0)
		return
	}
	if len(selected) == 0 {
		problems.notFound.Because("Nothing has been released.").Write(w, 0)
		return
	}
	if _, damaged := s.checker.Whole(selected, query.Table); len(damaged) > 0 {
		s.damagedResults(t.Role(), damaged)
		if len(damaged) == len(selected) {
			problems.internal.Because((&release.Partial{Damaged: damaged}).Error()).Write(w, 0)
			return
		}
		w.Header().Set("Shoal-Damaged-Epochs", epochsOf(damaged))
	}
	w.Header().Set("Content-Type", exportTypes[format])
	w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", t.Task.Metric+"-"+query.Table+"."+string(format)))
	err = release.Export(r.Context(), s.Released(), w, format, query)
	if _, partial := errors.AsType[*release.Partial](err); partial {
		return // the header names the epochs, the others are whole
	}
	if err != nil {
		s.failed("export", err)
		panic(http.ErrAbortHandler) // a cut connection, rather than a file that looks whole
	}
}

// exportQuery reads the parameters format, table and epoch.
func exportQuery(t Task, r *http.Request) (release.Query, release.Format, error) {
	get := r.URL.Query().Get
	q := release.Query{Metric: t.Task.Metric, Task: &t.ID, Table: get("table")}
	tables := []string{analyzer.CountsTable, analyzer.RecordsTable, analyzer.ValuesTable}
	if t.Role() == task.Collector {
		tables = []string{collector.ResultsTable}
	}
	orElse(&q.Table, tables[0])
	if !slices.Contains(tables, q.Table) {
		return q, "", errors.New("table: want one of " + strings.Join(tables, ", "))
	}
	if text := get("epoch"); text != "" {
		n, err := strconv.ParseUint(text, 10, 63)
		if err != nil {
			return q, "", errors.New("epoch: want a number")
		}
		e := task.Epoch(n)
		q.Epoch = &e
	}
	name := get("format")
	orElse(&name, string(release.CSV))
	f, err := release.ParseFormat(name)
	return q, f, err
}
