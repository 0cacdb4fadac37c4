package server

import (
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/shoal-project/shoal/esa/analyzer"
	"github.com/shoal-project/shoal/metric"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/release"
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
	}
}

func (s *Server) getOpenAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(openAPI)
}

// taskView is a task as the API shows it.
type taskView struct {
	ID           string    `json:"id"`
	Metric       string    `json:"metric"`
	Question     string    `json:"question"`
	Owner        string    `json:"owner"`
	OwnerKey     string    `json:"owner_key"`
	Role         string    `json:"role"`
	EpochSeconds uint32    `json:"epoch_seconds"`
	MinBatch     uint32    `json:"min_batch"`
	Threshold    string    `json:"threshold"`
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

func viewTask(t Task) taskView {
	v := taskView{
		ID: t.ID.String(), Metric: t.Task.Metric, Question: t.Task.Question,
		Owner: t.Task.OwnedBy, OwnerKey: task.FormatPublic(t.Task.Owner), Role: t.Role().String(),
		EpochSeconds: t.Task.EpochSeconds, MinBatch: t.Task.MinBatch,
		NotBefore: time.Unix(t.Task.NotBefore, 0).UTC(), Expires: time.Unix(t.Task.Expires, 0).UTC(),
		Consent: t.Task.Consent,
	}
	if rule, err := metric.Threshold(t.Task.Threshold); err == nil {
		v.Threshold = rule.String()
	}
	for _, h := range t.Task.Hops {
		v.Hops = append(v.Hops, hopView{h.Role.String(), h.URL, task.FormatPublic(h.Identity)})
	}
	return v
}

func viewTasks(tasks []Task) map[string][]taskView {
	views := []taskView{}
	for _, t := range tasks {
		views = append(views, viewTask(t))
	}
	return map[string][]taskView{"tasks": views}
}

func (s *Server) getTasks(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, viewTasks(s.Tasks()))
}

// named returns the task of the request's path; if there is none it answers.
func (s *Server) named(w http.ResponseWriter, r *http.Request) (Task, bool) {
	id, err := task.ParseID(r.PathValue("task"))
	if err != nil {
		problems.malformed.write(w, "The task ID is not 43 characters of unpadded base64url.")
		return Task{}, false
	}
	t, ok := s.task(id)
	if !ok {
		problems.unknownTask.write(w, "")
	}
	return t, ok
}

func (s *Server) getTask(w http.ResponseWriter, r *http.Request) {
	if t, ok := s.named(w, r); ok {
		writeJSON(w, http.StatusOK, viewTask(t))
	}
}

// postTasks admits a bundle, all of it or nothing, keeps it for the next start,
// and begins to serve what is new.
func (s *Server) postTasks(w http.ResponseWriter, r *http.Request) {
	bundle, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBundle))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		problems.tooLarge.write(w, "")
		return
	}
	if err != nil {
		problems.malformed.write(w, "The body ended early.")
		return
	}
	added, err := s.addTasks(r, bundle)
	switch {
	case errors.Is(err, errStorage):
		s.failed("tasks", err)
		problems.unavailable.write(w, "The task could not be stored.")
	case err != nil:
		problems.refused.write(w, err.Error())
	case len(added) == 0:
		writeJSON(w, http.StatusOK, viewTasks(nil))
	default:
		writeJSON(w, http.StatusCreated, viewTasks(added))
	}
}

// errStorage says that a task was right and could not be taken all the same.
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
	for _, h := range s.hosts {
		if !slices.ContainsFunc(added, func(t Task) bool { return RoleName(t.Role().String()) == h.role }) {
			continue
		}
		if err := h.replace(r.Context(), s.tasksOf(h.role)); err != nil {
			s.setRegistry(before) // so that trying again does not find the task served
			return nil, fmt.Errorf("%w: %w", errStorage, err)
		}
	}
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
	return &next
}

// batchView is a batch as the API shows it. At a shuffler it has no counts:
// what has not been released is nobody's to see.
type batchView struct {
	Epoch    uint64             `json:"epoch"`
	Start    time.Time          `json:"start"`
	End      time.Time          `json:"end"`
	State    string             `json:"state"`
	Manifest *analyzer.Manifest `json:"manifest,omitempty"`
}

func (s *Server) getBatches(w http.ResponseWriter, r *http.Request) {
	t, ok := s.named(w, r)
	if !ok {
		return
	}
	views, err := s.batches(r, t)
	if err != nil {
		s.failed("batches", err)
		problems.internal.write(w, "")
		return
	}
	writeJSON(w, http.StatusOK, map[string][]batchView{"batches": views})
}

func (s *Server) batches(r *http.Request, t Task) ([]batchView, error) {
	views := []batchView{}
	view := func(e task.Epoch, state string, m *analyzer.Manifest) {
		views = append(views, batchView{uint64(e), t.Task.Start(e), t.Task.Start(e + 1), state, m})
	}
	if t.Role() == task.Analyzer {
		entries, err := s.Tables().Entries(r.Context())
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if e.Task == t.ID {
				view(e.Epoch, e.State.String(), e.Manifest)
			}
		}
		return views, nil
	}
	waiting, err := s.firstHost([]RoleName{ShufflerRole}).waiting(r.Context())
	if err != nil {
		return nil, err
	}
	for _, b := range waiting {
		if b.task == t.ID {
			view(b.epoch, b.state, nil)
		}
	}
	return views, nil
}

// Tables returns what the organisation has released as an analyzer, or nil if
// it is none.
func (s *Server) Tables() *analyzer.Tables {
	h := s.firstHost([]RoleName{AnalyzerRole})
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
	t, ok := s.named(w, r)
	if !ok {
		return
	}
	if t.Role() != task.Analyzer {
		problems.notFound.write(w, "This organisation is not the task's analyzer: it has no tables.")
		return
	}
	query, format, err := exportQuery(t, r)
	if err != nil {
		problems.malformed.write(w, err.Error())
		return
	}
	selected, err := release.Select(r.Context(), s.Tables(), query)
	if err != nil {
		s.failed("export", err)
		problems.internal.write(w, "")
		return
	}
	if len(selected) == 0 {
		problems.notFound.write(w, "Nothing has been released.")
		return
	}
	w.Header().Set("Content-Type", exportTypes[format])
	w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", t.Task.Metric+"-"+query.Table+"."+string(format)))
	if err := s.Tables().Export(r.Context(), w, format, query); err != nil {
		s.failed("export", err)
		panic(http.ErrAbortHandler) // a cut connection, rather than a file that looks whole
	}
}

// exportQuery reads the parameters format, table and epoch.
func exportQuery(t Task, r *http.Request) (release.Query, release.Format, error) {
	get := r.URL.Query().Get
	q := release.Query{Metric: t.Task.Metric, Task: &t.ID, Table: get("table")}
	orElse(&q.Table, analyzer.CountsTable)
	if !slices.Contains([]string{analyzer.RecordsTable, analyzer.CountsTable, analyzer.ValuesTable}, q.Table) {
		return q, "", errors.New("table: want records, counts or values")
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
