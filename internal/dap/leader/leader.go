package leader

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/exchange"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/dap/tasks"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/loss"
)

// A Config is what a [Leader] is made of. The first group is required.
type Config struct {
	Store    Store           // of this leader alone, shared by its nodes
	Ledgers  *ledger.Ledgers // over Store; their ExpiryGrace exceeds the time that jobs take while the helper is away
	Registry *tasks.Registry // the tasks and their secrets
	FS       durable.FS      // holds Dir
	Dir      string          // reports; made if missing; of this process alone

	Node   string       // the name of this node among those that share Store; default "leader"
	Clock  clock.Clock  // default: the system's
	Rand   io.Reader    // batch IDs and noise; default: crypto/rand
	Client *http.Client // to reach helpers; redirects are not followed

	MaxReport   int   // bytes of an encoded report; default 32 MiB
	MaxRequests int   // uploads of a task that are read at once, fewer if its reports are large; default 256
	MaxBacklog  int64 // bytes of a task's reports on this node; default 16 GiB
	RecentIDs   int   // reports of a task that are recognised when uploaded again; default 65,536, up to twice as many are kept
	// OpenAtUpload opens the leader's share of each report when it is uploaded, and
	// refuses a report that does not open. It is opened again in its job.
	OpenAtUpload      bool
	LogReports        int           // when an intake log, which all tasks share, has so many reports, the next one is begun; default 50,000
	LogBytes          int64         // the same by size; default 64 MiB
	LogAge            time.Duration // the same by age; default 30 s
	JobReports        int           // of an aggregation job, at most; default 1000
	JobBytes          int64         // of a job's reports, at most, unless one is larger; default 16 MiB
	BatchWindow       time.Duration // of the report times in a batch that the leader selects; default: any times
	Workers           int           // jobs at once; default: twice the CPUs
	LeaseTime         time.Duration // how long a worker may take for a job; default 10 minutes
	ClaimTime         time.Duration // how long the node's name is leased, renewed five times in that time; default 5 minutes
	Attempts          int           // for the helper's share, at least, before a collection fails; default 30
	Rounds            int           // of jobs in which the helper finds a report too early, before it is given up; default 3
	FirstPause        time.Duration // after a failure, doubled each time; default 1 s
	LongPause         time.Duration // the longest of these; default 10 minutes
	CollectionTimeout time.Duration // how long a collection waits, after its grace, and a job for the helper if reports do not expire; default 7 days
	Settle            time.Duration // how long a clock that jumped forward is not believed; default 10 minutes
	Results           time.Duration // how long the answer to a collection is kept, if the task has no expiry, and after that the count of lost reports; default 30 days

	// Withdrawn reports whether a task takes no more reports. Those that it has taken
	// are aggregated and collected. Default: no task.
	Withdrawn func(dap.TaskID) bool

	Metrics Metrics         // default: none
	Lost    func(loss.Loss) // called for reports that the disk has lost, also again; its Role is not set; default: none
	Failed  func(error)     // called for requests that failed by our fault; default: none
}

// withDefaults fills in what was not given.
func (c Config) withDefaults() (Config, error) {
	if c.Store == nil || c.Ledgers == nil || c.Registry == nil || c.FS == nil || c.Dir == "" {
		return c, errors.New("store, ledgers, registry, files and directory must be given")
	}
	if c.Clock == nil {
		c.Clock = clock.System()
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Withdrawn == nil {
		c.Withdrawn = func(dap.TaskID) bool { return false }
	}
	if c.Metrics == nil {
		c.Metrics = noMetrics{}
	}
	if c.Lost == nil {
		c.Lost = func(loss.Loss) {}
	}
	if c.Failed == nil {
		c.Failed = func(error) {}
	}
	c.Node = cmp.Or(c.Node, "leader")
	c.MaxReport = cmp.Or(c.MaxReport, 32<<20)
	c.MaxRequests = cmp.Or(c.MaxRequests, 256)
	c.MaxBacklog = cmp.Or(c.MaxBacklog, 16<<30)
	c.RecentIDs = cmp.Or(c.RecentIDs, 1<<16)
	c.LogReports = cmp.Or(c.LogReports, 50_000)
	c.LogBytes = cmp.Or(c.LogBytes, 64<<20)
	c.LogAge = cmp.Or(c.LogAge, 30*time.Second)
	c.JobReports = cmp.Or(c.JobReports, 1000)
	c.JobBytes = cmp.Or(c.JobBytes, 16<<20)
	c.Workers = cmp.Or(c.Workers, 2*runtime.GOMAXPROCS(0))
	c.LeaseTime = cmp.Or(c.LeaseTime, 10*time.Minute)
	c.ClaimTime = cmp.Or(c.ClaimTime, 5*time.Minute)
	c.Attempts = cmp.Or(c.Attempts, 30)
	c.Rounds = cmp.Or(c.Rounds, 3)
	c.FirstPause = cmp.Or(c.FirstPause, time.Second)
	c.LongPause = cmp.Or(c.LongPause, 10*time.Minute)
	c.CollectionTimeout = cmp.Or(c.CollectionTimeout, 7*24*time.Hour)
	c.Settle = cmp.Or(c.Settle, 10*time.Minute)
	c.Results = cmp.Or(c.Results, 30*24*time.Hour)
	return c, nil
}

// Metrics counts events. All labels are bounded, and no argument concerns one
// sender. Methods are called by many goroutines and must not block.
type Metrics interface {
	// Upload is called for each report that arrives, with 0 if it is taken.
	Upload(dap.ReportError)
	// Rejected is called for each report that was taken and cannot be aggregated.
	Rejected(dap.ReportError)
	// Aggregated is called when a job ends, with the reports that it counted.
	Aggregated(reports int)
	// Lost is called for reports that were accepted from clients and are given up.
	Lost(cause LossCause, reports int)
	// Job is called when a job has been worked on.
	Job(JobOutcome)
	// Collection is called when a collection job has reached a state.
	Collection(CollectionState)
}

type noMetrics struct{}

func (noMetrics) Upload(dap.ReportError)     {}
func (noMetrics) Rejected(dap.ReportError)   {}
func (noMetrics) Aggregated(int)             {}
func (noMetrics) Lost(LossCause, int)        {}
func (noMetrics) Job(JobOutcome)             {}
func (noMetrics) Collection(CollectionState) {}

// A Leader plays the leader's part for the tasks of a registry. Its methods are
// safe for concurrent use.
type Leader struct {
	config  Config
	client  *exchange.Client
	guard   *clock.Guard // what must not come too early asks it for the time
	started *startedJobs
	damaged damages
	losses  [LostEarly + 1]atomic.Int64
	claimed claimed // this process's claim on the node's name

	wake struct{ intake, jobs, collections, gc clock.Signal }

	creating, driving, collecting, sweeping sync.Mutex // one of each at a time

	opening sync.Mutex // held while a shared log is begun
	readers readers
	recount atomic.Bool // the numbers of jobs of logs are in doubt
	looked  time.Time   // when the store was asked last what collections wait for; guarded by creating

	mu       sync.Mutex // guards what follows
	intakes  map[dap.TaskID]*intake
	sharing  sharing
	doubts   map[*intake]struct{}  // whose logs are in doubt
	wanted   map[dap.TaskID]uint64 // logs up to this number are waited for by collections
	logs     map[logKey]*taskLog   // all of this node
	leftover []*taskLog            // open ones of an earlier process that no shared log holds
	sealed   []*taskLog            // wait for their jobs
	blocked  blocked
	finished map[*taskLog]struct{} // have no jobs any more
	changed  chan struct{}         // closed and replaced when a collection job changes
	progress map[collectionKey]progress
	stirred  map[dap.TaskID]bool  // of whose collections something may have changed
	missing  map[dap.TaskID]error // why the helper's last answer was missing

	expired time.Time // when expire was last called; guarded by sweeping
}

// New returns the leader, with what an earlier process of this node has left.
// Close it after use.
func New(ctx context.Context, c Config) (*Leader, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("starting leader: %w", err)
	}
	l := &Leader{
		config:   c,
		client:   &exchange.Client{HTTP: c.Client, Clock: c.Clock, Attempts: 1},
		guard:    clock.NewGuard(c.Clock, c.Settle),
		started:  newStartedJobs(4 * c.Workers),
		intakes:  make(map[dap.TaskID]*intake),
		doubts:   make(map[*intake]struct{}),
		wanted:   make(map[dap.TaskID]uint64),
		logs:     make(map[logKey]*taskLog),
		finished: make(map[*taskLog]struct{}),
		changed:  make(chan struct{}),
		progress: make(map[collectionKey]progress), stirred: make(map[dap.TaskID]bool),
		missing: make(map[dap.TaskID]error),
	}
	l.blocked.logs = make(map[dap.TaskID][]*taskLog)
	l.readers = readers{leader: l, limit: 4*c.Workers + 16, all: make(map[logKey]*reader)}
	l.wake.intake, l.wake.jobs, l.wake.collections, l.wake.gc = clock.NewSignal(), clock.NewSignal(), clock.NewSignal(), clock.NewSignal()
	if err := l.recover(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("starting leader: %w", err), l.Close()) //nolint:contextcheck // Close has no context: the claim is given up also when that of the start has ended
	}
	return l, nil
}

// recover continues with what the store and the disk hold.
func (l *Leader) recover(ctx context.Context) error {
	if err := l.config.FS.MkdirAll(l.sharedDir(), 0o700); err != nil {
		return err
	}
	// Before the claim: a process on the wrong disk must not stop the right one.
	onDisk, err := l.findShared()
	if err != nil {
		return err
	}
	if _, err := l.logsHere(ctx, onDisk); err != nil {
		return err
	}
	if err := l.claim(ctx); err != nil {
		return err
	}
	if err := l.config.Store.Release(ctx, l.config.Node); err != nil {
		return err
	}
	rests, err := l.logsHere(ctx, onDisk)
	if err != nil {
		return err
	}
	for i := range rests {
		l.resume(&rests[i])
	}
	return nil
}

// resume continues with a log of an earlier process, which takes no more reports.
func (l *Leader) resume(r *rest) {
	k := logKey{r.info.Task, r.info.Number}
	o := &taskLog{key: k, info: r.info, jobs: r.info.Jobs, home: r.home, unknown: r.files}
	o.durable.Store(max(r.reports, r.info.Records))
	o.size.Store(r.size)
	in := l.intake(k.task)
	in.stored.Add(r.size)
	if r.info.State != LogDone {
		in.waiting.Add(o.durable.Load())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.logs[k] = o
	switch {
	case r.info.State == LogSealed:
		l.sealed = append(l.sealed, o)
	case r.info.State == LogDone:
		l.removable(o)
	case r.home == nil:
		l.leftover = append(l.leftover, o)
	}
	if r.home == nil {
		return
	}
	if _, known := r.home.numbers[k.task]; !known {
		r.home.numbers[k.task] = k.number
	}
	if r.info.State == LogOpen {
		r.home.members = append(r.home.members, o)
	} else {
		r.home.sealed = append(r.home.sealed, o)
	}
}

// Close releases the logs and the node's name, after Run has returned. Nothing
// that was acknowledged is lost.
func (l *Leader) Close() error {
	l.driving.Lock() // cursors are in use
	defer l.driving.Unlock()
	l.mu.Lock()
	shared := l.sharing.ended
	if l.sharing.active != nil {
		shared = append(shared, l.sharing.active)
	}
	l.sharing = sharing{closed: true, serial: l.sharing.serial}
	l.mu.Unlock()
	errs := []error{l.readers.closeAll()}
	for _, s := range shared {
		s.close()
		errs = append(errs, s.log.Close())
	}
	return errors.Join(append(errs, l.unclaim())...)
}

// now returns the time in whole seconds, as the store keeps it.
func (l *Leader) now() time.Time { return l.config.Clock.Now().Truncate(time.Second) }

// ledger returns the ledger of a task.
func (l *Leader) ledger(ctx context.Context, s *tasks.Serving) (*ledger.Ledger, error) {
	return l.config.Ledgers.Open(ctx, s.Task, s.Entry.Expiry)
}

// spent returns the list of what reports of a task spend, nil if they spend nothing.
func (l *Leader) spent(ctx context.Context, s *tasks.Serving) (*ledger.Spent, error) {
	if s.Spent == nil {
		return nil, nil
	}
	return l.config.Ledgers.OpenSpent(ctx, *s.Spent, s.Task, s.Entry.Expiry)
}

func compareKeys(a, b logKey) int {
	return cmp.Or(bytes.Compare(a.task[:], b.task[:]), cmp.Compare(a.number, b.number))
}

// announce wakes all that wait for a collection job.
func (l *Leader) announce() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.changed)
	l.changed = make(chan struct{})
}
