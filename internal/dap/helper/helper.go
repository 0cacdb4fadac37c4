package helper

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"sync"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/auth"
	"github.com/shoal-project/shoal/internal/dap/exchange"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/dap/tasks"
)

// A Config is what a [Helper] is made of. Store, Registry and Ledgers are needed, the
// last over the first.
type Config struct {
	Store    Store
	Registry *tasks.Registry
	Ledgers  *ledger.Ledgers
	Clock    clock.Clock // default: the system's
	Rand     io.Reader   // noise; default: crypto/rand

	// Async makes the helper take jobs at once and handle them later, so that a
	// leader has to ask for the answer.
	Async bool
	Poll  time.Duration // Retry-After for leaders that have to ask again; default 2 s
	// MaxPending bounds the jobs that were taken and are not handled yet; default
	// 1000.
	MaxPending int

	MaxReports int           // of a job; default 10,000
	MaxMemory  int64         // bytes that the verified shares of a job may take, unless one report takes more; default 256 MiB
	MaxBodies  int64         // bytes of the requests that are read, wait and are handled; default: 32 MiB for each worker, and MaxMemory at least
	PeerBodies int           // requests of a leader that are read at once; default 64
	Workers    int           // jobs that are handled at a time; default: twice the CPUs
	Depth      int           // requests that wait; default: 16 for each worker; negative: none
	Age        time.Duration // how long a request waits; default 15 s
	Pace       Pace          // of the bodies of requests; default: no pause above 5 s, 64 KiB a second, and 5 min in all
	PerTask    Rate          // reports of a task; default: no limit
	PerPeer    Rate          // reports of a leader, all its tasks together; default: no limit

	KeepResponses time.Duration // answers of jobs that were handled later; default 1 day
	KeepRecords   time.Duration // what makes repeated requests harmless, and shares; default 28 days
	Sweep         time.Duration // pause between two sweeps; default 1 min
	Settle        time.Duration // how long a clock that jumped forward is not believed: nothing is forgotten; default 10 min

	Metrics Metrics     // default: none
	Report  func(error) // called with faults of the helper, which no peer learns; default: none
}

// A Helper plays the helper's part for the tasks of a registry. It is safe for
// concurrent use.
type Helper struct {
	config  Config
	queue   *queue
	perTask *buckets[dap.TaskID]
	perPeer *buckets[string]
	bodies  *bodies
	pending *pending
	guard   *clock.Guard // what is forgotten too early is lost

	mu     sync.Mutex
	status Status
}

// New returns a helper. It serves at once; jobs that wait from before are handled
// once [Helper.Run] runs.
func New(c Config) (*Helper, error) {
	if c.Store == nil || c.Registry == nil || c.Ledgers == nil {
		return nil, errors.New("starting helper: store, registry and ledgers must be given")
	}
	if c.Clock == nil {
		c.Clock = clock.System()
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Metrics == nil {
		c.Metrics = noMetrics{}
	}
	if c.Report == nil {
		c.Report = func(error) {}
	}
	c.Poll = cmp.Or(c.Poll, 2*time.Second)
	c.MaxPending = cmp.Or(c.MaxPending, 1000)
	c.MaxReports = cmp.Or(c.MaxReports, 10_000)
	c.MaxMemory = cmp.Or(c.MaxMemory, 256<<20)
	c.Workers = cmp.Or(c.Workers, 2*runtime.GOMAXPROCS(0))
	c.MaxBodies = cmp.Or(c.MaxBodies, max(c.MaxMemory, int64(c.Workers)<<25))
	c.PeerBodies = cmp.Or(c.PeerBodies, 64)
	c.Depth = max(0, cmp.Or(c.Depth, 16*c.Workers))
	c.Pace = cmp.Or(c.Pace, defaultPace)
	c.Age = cmp.Or(c.Age, 15*time.Second)
	c.KeepResponses = cmp.Or(c.KeepResponses, 24*time.Hour)
	c.KeepRecords = cmp.Or(c.KeepRecords, 28*24*time.Hour)
	c.Sweep = cmp.Or(c.Sweep, time.Minute)
	c.Settle = cmp.Or(c.Settle, 10*time.Minute)
	for name, r := range map[string]Rate{"task": c.PerTask, "peer": c.PerPeer} {
		if r.PerSecond > 0 && r.Burst < 1 {
			return nil, fmt.Errorf("starting helper: a limit of %v reports a second for each %s without a burst lets nothing in", r.PerSecond, name)
		}
	}
	if c.MaxReports < 1 || c.MaxMemory < 1 || c.MaxBodies < 1 || c.PeerBodies < 1 || c.MaxPending < 1 || c.Workers < 1 || c.KeepResponses < 0 || c.KeepRecords < c.KeepResponses || c.Sweep < 0 || c.Age < 0 || c.Poll < 0 {
		return nil, errors.New("starting helper: want at least one report and worker, and times that are not negative, records kept at least as long as responses")
	}
	return &Helper{
		config:  c,
		queue:   &queue{clock: c.Clock, slots: c.Workers, depth: c.Depth, age: c.Age},
		perTask: newBuckets[dap.TaskID](c.PerTask),
		perPeer: newBuckets[string](c.PerPeer),
		bodies:  newBodies(c.MaxBodies, c.PeerBodies),
		pending: newPending(c.MaxPending),
		guard:   clock.NewGuard(c.Clock, c.Settle),
	}, nil
}

// Handler serves the resources of a helper (draft-ietf-ppm-dap, section "HTTP
// Resources Reference"), where {task} is the task ID:
//
//	GET    /hpke_config
//	POST   /tasks/{task}/aggregation_jobs        creates a job, in the drafts
//	PUT    /tasks/{task}/aggregation_jobs/{id}   creates a job, in the variant janus
//	POST   /tasks/{task}/aggregation_jobs/{id}   continues it, which Prio3 never does
//	GET    /tasks/{task}/aggregation_jobs/{id}?step=0
//	DELETE /tasks/{task}/aggregation_jobs/{id}
//	POST   /tasks/{task}/aggregate_shares        creates a share, in the drafts
//	PUT    /tasks/{task}/aggregate_shares/{id}   creates a share, in the variant janus
//	GET    /tasks/{task}/aggregate_shares/{id}
//	DELETE /tasks/{task}/aggregate_shares/{id}
func (h *Helper) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hpke_config", h.getConfig)
	mux.HandleFunc("OPTIONS /hpke_config", func(w http.ResponseWriter, _ *http.Request) { exchange.Preflight(w, http.MethodGet) })
	for pattern, do := range map[string]func(http.ResponseWriter, *http.Request, *tasks.Serving) error{
		"POST /tasks/{task}/aggregation_jobs":        h.postJob,
		"PUT /tasks/{task}/aggregation_jobs/{id}":    h.putJob,
		"POST /tasks/{task}/aggregation_jobs/{id}":   h.continueJob,
		"GET /tasks/{task}/aggregation_jobs/{id}":    h.getJob,
		"DELETE /tasks/{task}/aggregation_jobs/{id}": h.deleteJob,
		"POST /tasks/{task}/aggregate_shares":        h.postShare,
		"PUT /tasks/{task}/aggregate_shares/{id}":    h.putShare,
		"GET /tasks/{task}/aggregate_shares/{id}":    h.getShare,
		"DELETE /tasks/{task}/aggregate_shares/{id}": h.deleteShare,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { h.serve(w, r, do) })
	}
	exchange.Unrouted(mux)
	return mux
}

// serve finds the task of a request and checks that its leader has sent it.
func (h *Helper) serve(w http.ResponseWriter, r *http.Request, do func(http.ResponseWriter, *http.Request, *tasks.Serving) error) {
	s, id, err := h.task(r)
	if err == nil {
		err = do(w, r, s)
	}
	if err == nil {
		return
	}
	if refused := new(dap.Abort); errors.As(err, &refused) && refused.Type == dap.ProblemUnrecognizedTask {
		h.config.Metrics.Refused(nil, NoTask)
	}
	if exchange.Refuse(w, id, err) && r.Context().Err() == nil { // else the leader has gone
		h.config.Report(fmt.Errorf("%s %s: %w", r.Method, r.URL.Path, err))
		h.fault(err)
	}
}

// task returns the task that a request names. To a caller that does not hold its
// token a task looks as if it did not exist, so that IDs cannot be tried out
// (section "Predictable or Enumerable Task IDs").
func (h *Helper) task(r *http.Request) (*tasks.Serving, *dap.TaskID, error) {
	unrecognized := &dap.Abort{Type: dap.ProblemUnrecognizedTask, Detail: "the task is not served here, or not for the token of the request"}
	id, err := dap.ParseTaskID(r.PathValue("task"))
	if err != nil {
		return nil, nil, unrecognized
	}
	token, ok := auth.From(r.Header)
	if !ok {
		return nil, &id, unrecognized
	}
	s, err := h.config.Registry.Lookup(r.Context(), id)
	if errors.Is(err, tasks.ErrUnknown) {
		_ = token.Matches(make([]auth.Hash, 1)) // takes the time that a task's check takes
		return nil, &id, unrecognized
	}
	if err != nil {
		return nil, &id, err
	}
	if !token.Matches(s.Entry.Inbound) || s.Entry.Disabled {
		return nil, &id, unrecognized
	}
	return s, &id, nil
}

// getConfig serves the HPKE configurations (section "HPKE Configuration
// Request").
func (h *Helper) getConfig(w http.ResponseWriter, _ *http.Request) {
	ring := h.config.Registry.Keyring()
	list := ring.Configs(h.config.Clock.Now())
	exchange.AllowOrigins(w.Header())
	if len(list) == 0 {
		exchange.Refuse(w, nil, exchange.ErrUnavailable)
		return
	}
	// The list has one form in all variants.
	body, err := dap.NewCodec(dap.DAP18()).Encode(&list)
	if err != nil {
		h.config.Report(err)
		exchange.Refuse(w, nil, err)
		return
	}
	w.Header().Set("Cache-Control", ring.CacheControl())
	exchange.Send(w, http.StatusOK, dap.TypeHpkeConfigList, body)
}

// now returns the time that is stored, which is no finer than it has to be.
func (h *Helper) now() time.Time { return h.config.Clock.Now().Truncate(time.Minute) }

// codec returns the task's codec with this helper's limit of reports: the verified
// shares of a job are in memory until it is committed, and those of a long vector
// are much longer than the request.
func (h *Helper) codec(t *dap.Task) dap.Codec {
	share := int64(t.Instance().Sizes().AggregateShare)
	most := max(1, min(int64(h.config.MaxReports), int64(dap.DefaultLimits().Reports), h.config.MaxMemory/share))
	return t.Codec().WithLimits(dap.LimitsFor(t.Instance(), int(most)))
}

// ledger returns the task's ledger.
func (h *Helper) ledger(ctx context.Context, s *tasks.Serving) (*ledger.Ledger, error) {
	return h.config.Ledgers.Open(ctx, s.Task, s.Entry.Expiry)
}

// spent returns the list of what reports of a task spend, nil if they spend nothing.
func (h *Helper) spent(ctx context.Context, s *tasks.Serving) (*ledger.Spent, error) {
	if s.Spent == nil {
		return nil, nil
	}
	return h.config.Ledgers.OpenSpent(ctx, *s.Spent, s.Task, s.Entry.Expiry)
}

// locate names a resource in the header Location, under the endpoint that the
// task has agreed on.
func locate(w http.ResponseWriter, t *dap.Task, path string) {
	u, err := url.Parse(dap.Resolve(t.Config().Helper, path))
	if err != nil {
		return // not reached: the endpoint was checked with the task
	}
	location := u.EscapedPath()
	if u.RawQuery != "" {
		location += "?" + u.RawQuery
	}
	w.Header().Set("Location", location)
}
