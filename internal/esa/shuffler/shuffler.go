package shuffler

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/credential"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/engine"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/hop"
	"github.com/shoal-project/shoal/internal/keyring"
	"github.com/shoal-project/shoal/internal/loss"
	"github.com/shoal-project/shoal/internal/segment"
	"github.com/shoal-project/shoal/metric/cost"
	"github.com/shoal-project/shoal/metric/task"
)

// Keys are what a hop opens reports with, and what it announces about them.
type Keys = hop.Keys

// A Config is what a [Shuffler] is made of.
type Config struct {
	Store    Store            // of this role alone
	FS       durable.FS       // holds Dir
	Dir      string           // reports and hand-over files; made if missing; of this process alone
	Engine   engine.Engine    // of this process alone
	Clock    clock.Clock      // default: the system's
	Rand     io.Reader        // seeds; default: crypto/rand
	Identity task.IdentityKey // signs what is handed over
	Keys     Keys             // see [Shuffler.SetKeys]
	Tasks    []*task.Task     // each names Identity as one of its shufflers
	Client   *http.Client     // to reach the hops after this one; redirects are not followed

	// Issuer issues and verifies the credentials of the tasks that require some.
	// It is closed with the shuffler.
	Issuer *credential.Issuer

	MaxReports  int64         // reports a batch; default 100 million
	MaxHandOver int64         // bytes of a batch taken from the hop before; default 64 GiB
	Workers     int           // goroutines that open reports; default: the CPUs
	Stage       Stage         // default: Plain
	Memory      int64         // bytes for a batch of the stage Oblivious; default 512 MiB
	Settle      time.Duration // how long a clock that jumped forward is not believed; default 10 minutes
	Metrics     Metrics       // default: none
	// Since is when the store, the files or both were last given up or put back from a
	// backup: of what came before then nothing is known. The zero time is never.
	Since time.Time
	// Withdrawn reports whether a task takes no more reports. Those that it has taken
	// are processed. Default: all take reports.
	Withdrawn func(task.ID) bool
	// Lost is called when reports that were acknowledged turn out to be lost, also
	// for what was found before. Its Role is not set.
	Lost func(loss.Loss) // default: none
}

// Metrics is notified of what happens, for counters. All labels are bounded, and
// nothing that it is called with concerns one sender. Methods are called by many
// goroutines and must not block.
type Metrics interface {
	// Report is called for each report that arrives.
	Report(Outcome)
	// Batch is called when a batch has reached a state, with its counts.
	Batch(State, esa.Counts)
	// Took is called with how long the processing of a batch took, by the clock.
	Took(time.Duration)
}

type noMetrics struct{}

func (noMetrics) Report(Outcome)          {}
func (noMetrics) Batch(State, esa.Counts) {}
func (noMetrics) Took(time.Duration)      {}

// A Shuffler plays one hop's part for a number of tasks. Its methods are safe
// for concurrent use.
type Shuffler struct {
	config   Config
	guard    *clock.Guard
	tasks    map[task.ID]*hosted
	rules    cost.Cache   // of tasks with equal rules there is one copy
	client   *http.Client // follows no redirect
	peers    *keyring.Peers
	wake     clock.Signal  // a batch was opened: Run must look when it closes
	tickMu   sync.Mutex    // one Tick at a time
	acceptMu sync.Mutex    // one batch from the hop before at a time
	serial   atomic.Uint64 // of batches that arrive
	opening  opening
	stating  stating

	mu      sync.Mutex
	keys    Keys
	live    *live           // what the store holds and is not destroyed
	intakes map[Key]*intake // of batches that are open, or closed by this process
	inputs  map[Key]int64   // bytes of batches that are closed and were not taken by this process
	shared  shared
	retry   map[Key]attempt
	away    map[string]attempt // next hops that did not answer, by URL
	damaged map[place]int64    // records lost to the disk, at least
	strays  []string           // folders that no live batch had at the start
}

// hosted is a task as this shuffler sees it.
type hosted struct {
	task      *task.Task
	id        task.ID
	hop       int                        // this shuffler's place in task.Hops
	opener    atomic.Pointer[esa.Opener] // replaced when keys change
	threshold dp.Threshold               // nil unless this is the last shuffler
	withdrawn bool                       // takes no more reports
	total     *dp.Total                  // decides on the minimum where that decision shows
}

// next is the party that batches are handed to.
func (h *hosted) next() task.Party { return h.task.Hops[h.hop+1] }

// New returns the shuffler, with the open batches of an earlier process
// recovered. Close it after use.
func New(ctx context.Context, c Config) (*Shuffler, error) {
	if c.Store == nil || c.FS == nil || c.Dir == "" || c.Engine == nil || c.Identity.Public() == nil {
		return nil, errors.New("starting shuffler: store, files, directory, engine and identity must be given")
	}
	if err := cmp.Or(c.Stage, Plain).check(); err != nil {
		return nil, fmt.Errorf("starting shuffler: %w", err)
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
	if c.Withdrawn == nil {
		c.Withdrawn = func(task.ID) bool { return false }
	}
	if c.Lost == nil {
		c.Lost = func(loss.Loss) {}
	}
	c.MaxReports = cmp.Or(c.MaxReports, 100_000_000)
	c.MaxHandOver = cmp.Or(c.MaxHandOver, 64<<30)
	c.Stage = cmp.Or(c.Stage, Plain)
	c.Memory = cmp.Or(c.Memory, 512<<20)
	c.Workers = cmp.Or(c.Workers, runtime.GOMAXPROCS(0))
	c.Settle = cmp.Or(c.Settle, 10*time.Minute)
	direct := keyring.Direct(c.Client)
	s := &Shuffler{
		config:  c,
		guard:   clock.NewGuard(c.Clock, c.Settle),
		tasks:   map[task.ID]*hosted{},
		client:  direct,
		peers:   keyring.NewPeers(direct, c.Clock),
		wake:    clock.NewSignal(),
		live:    newLive(),
		intakes: map[Key]*intake{},
		inputs:  map[Key]int64{},
		retry:   map[Key]attempt{},
		away:    map[string]attempt{},
		damaged: map[place]int64{},
		stating: newStating(),
	}
	for _, t := range c.Tasks {
		if err := s.host(t); err != nil {
			return nil, fmt.Errorf("starting shuffler: %w", err)
		}
	}
	if err := s.SetKeys(c.Keys); err != nil {
		return nil, fmt.Errorf("starting shuffler: %w", err)
	}
	err := s.recover(ctx)
	if err == nil {
		err = s.openHistory(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting shuffler: %w", err), s.Close())
	}
	return s, nil
}

func (s *Shuffler) host(t *task.Task) error {
	id, err := t.ID()
	if err != nil {
		return err
	}
	h := &hosted{task: t, id: id, withdrawn: s.config.Withdrawn(id)}
	h.hop = slices.IndexFunc(t.Hops, func(p task.Party) bool {
		return p.Role == task.Shuffler && p.Identity.Equal(s.config.Identity.Public())
	})
	if h.hop < 0 || h.hop == len(t.Hops)-1 {
		return fmt.Errorf("task %q names this identity as none of its shufflers", t.Metric)
	}
	if len(t.Presentations(t.Hops[h.hop])) > 0 && s.config.Issuer == nil {
		return fmt.Errorf("task %q requires credentials, and there is no issuer", t.Metric)
	}
	if h.next().Role == task.Analyzer {
		if t.HasSecond() && s.config.Stage == Oblivious {
			return fmt.Errorf("task %q counts each report in two crowds, which the oblivious stage cannot: set shuffler.stage to %s", t.Metric, Plain)
		}
		if h.threshold, err = s.rules.Threshold(t.Threshold); err != nil {
			return fmt.Errorf("task %q: %w", t.Metric, err)
		}
	}
	// A hop before the last one that destroys what is too small decides exactly:
	// the last one, whose noise only subtracts, would have destroyed it, too. If
	// it carries over instead, its decision shows, and needs noise.
	if h.threshold != nil || h.hop == 0 && t.Crowd.SaltEpochs > 1 {
		if h.total, err = s.rules.Total(t); err != nil {
			return err
		}
	}
	s.tasks[id] = h
	return nil
}

// SetKeys replaces the private keys and the announced key config, which must
// be signed by the shuffler's identity and name keys that are held.
func (s *Shuffler) SetKeys(k Keys) error {
	openers := map[*hosted]*esa.Opener{}
	for _, h := range s.tasks {
		o, err := esa.NewOpener(h.task, h.id, h.hop, k.Private...)
		if err != nil {
			return fmt.Errorf("setting keys: %w", err)
		}
		openers[h] = o
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for h, o := range openers {
		h.opener.Store(o)
	}
	s.keys = k
	return nil
}

// recover reads the store and the logs of open batches.
func (s *Shuffler) recover(ctx context.Context) error {
	if err := s.config.FS.MkdirAll(s.arriving(), 0o700); err != nil {
		return err
	}
	if err := hop.CleanArriving(s.config.FS, s.arriving()); err != nil {
		return err
	}
	all, err := s.config.Store.Live(ctx)
	if err != nil {
		return err
	}
	var open []Key
	for _, b := range all {
		s.hold(b)
		if b.State == Open {
			open = append(open, b.Key())
		}
	}
	if err := s.recoverLogs(open); err != nil {
		return err
	}
	for _, b := range all {
		if b.State == Closed {
			if err := s.measure(b); err != nil {
				return err
			}
		}
	}
	return s.findStrays()
}

// Close releases the open logs. Nothing is lost and nothing is flushed that
// was acknowledged.
func (s *Shuffler) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, l := range slices.Concat(s.shared.active, s.shared.ended) {
		errs = append(errs, l.log.Close())
	}
	if s.config.Issuer != nil {
		errs = append(errs, s.config.Issuer.Close())
	}
	return errors.Join(errs...)
}

// Handler serves
//
//	POST /tasks/{task}/reports          a report, at the first hop
//	GET  /tasks/{task}/keys             the key configs of all hops, at the first hop
//	PUT  /tasks/{task}/batches/{batch}  a batch, at later hops
//	PUT  /tasks/{task}/statement        which epochs are complete, at later hops
//	GET  /keys/shuffler                 the shuffler's own key config
//
// and what the issuer serves, see [credential.Issuer.Handler].
func (s *Shuffler) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /tasks/{task}/reports", s.postReport)
	mux.HandleFunc("GET /tasks/{task}/keys", s.getTaskKeys)
	mux.HandleFunc("PUT /tasks/{task}/batches/{batch}", s.putBatch)
	mux.HandleFunc("PUT /tasks/{task}/statement", s.takeStatement)
	mux.HandleFunc("GET /keys/shuffler", s.getKeys)
	if s.config.Issuer != nil {
		mux.Handle("/tasks/{task}/credentials/", s.config.Issuer.Handler())
	}
	return mux
}

// A Status is a picture of the shuffler for health checks and counters.
type Status struct {
	Batches []BatchStatus // not destroyed, by task and epoch
	Damaged int64         // records that the disk has lost, at least, as far as was noticed since the start
	// ClockUnsure reports that the clock has jumped forward and nothing closes.
	ClockUnsure bool
	// Unstated is of how many tasks the next hop does not have, or does not take, the
	// statement which epochs are complete.
	Unstated int
}

// A BatchStatus is a batch in a [Status].
type BatchStatus struct {
	Metric string
	Task   task.ID
	Epoch  task.Epoch
	State  State
	// Reports is what has been accepted so far; for closed batches it is 0.
	Reports int64
	// Attempts counts the failures of the present step, Err is the last.
	Attempts int
	Err      error
}

// Status returns how the shuffler is.
func (s *Shuffler) Status() Status {
	_, sure := s.guard.Now()
	damaged := s.Damaged()
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Status{ClockUnsure: !sure, Damaged: damaged, Unstated: s.stating.unstated()}
	for _, key := range s.live.keys() {
		b := s.live.batches[key]
		out := BatchStatus{Task: b.Task, Epoch: b.Epoch, State: b.State, Attempts: s.retry[key].n, Err: s.retry[key].err}
		if h := s.tasks[b.Task]; h != nil {
			out.Metric = h.task.Metric
		}
		if in := s.intakes[key]; in != nil {
			out.Reports = in.taken.Load()
		}
		st.Batches = append(st.Batches, out)
	}
	return st
}

// Live returns the batches that are not destroyed, in no order.
func (s *Shuffler) Live() []Batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.live.batches))
}

// LiveOf returns those of a task, by epoch.
func (s *Shuffler) LiveOf(id task.ID) []Batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live.of(id)
}

// Stage returns how crowds are counted.
func (s *Shuffler) Stage() Stage { return s.config.Stage }

// Unstated is the figure of [Status].
func (s *Shuffler) Unstated() int { return s.stating.unstated() }

// LostCredentials names the periods whose credentials cannot be issued or verified any
// more, see [credential.Issuer.Lost].
func (s *Shuffler) LostCredentials() []string {
	if s.config.Issuer == nil {
		return nil
	}
	return s.config.Issuer.Lost()
}

// CutCredentials returns how many rows of lists of issued credentials were damaged, see
// [credential.Issuer.Cut].
func (s *Shuffler) CutCredentials() int {
	if s.config.Issuer == nil {
		return 0
	}
	return s.config.Issuer.Cut()
}

// ClockUnsure reports whether the clock has jumped forward, so that nothing closes.
func (s *Shuffler) ClockUnsure() bool {
	_, sure := s.guard.Now()
	return !sure
}

// apply changes the store and, once that is durable, the picture in memory.
// Callers hold tickMu or create the batch; s.mu must not be held.
func (s *Shuffler) apply(ctx context.Context, changes ...Change) error {
	if err := s.recordGaps(ctx); err != nil { // before what was lost can be destroyed
		return err
	}
	err := s.config.Store.Apply(ctx, changes...)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.reload(context.WithoutCancel(ctx))
		return err
	}
	for _, c := range changes {
		delete(s.retry, c.To.Key())
		s.hold(c.To)
		s.stating.changed(s.tasks[c.To.Task], c.To)
		s.config.Metrics.Batch(c.To.State, c.To.Counts)
	}
	return nil
}

// hold enters a batch as the store holds it, and sets when it is due. Callers hold
// s.mu or are New.
func (s *Shuffler) hold(b Batch) {
	s.live.put(b)
	if b.State != Open && b.State != Closed {
		delete(s.intakes, b.Key())
	}
	if b.State != Closed {
		delete(s.inputs, b.Key())
	}
	s.reschedule(b)
	h := s.tasks[b.Task]
	if h == nil || h.task.Crowd.SaltEpochs <= 1 || b.State == Open || b.State == Closed {
		return
	}
	// Later batches of the salt window may have waited for this one.
	for _, other := range s.live.of(b.Task) {
		if other.State == Open {
			s.reschedule(other)
		}
	}
}

// reschedule sets when a batch is due. Callers hold s.mu or are New.
func (s *Shuffler) reschedule(b Batch) {
	h := s.tasks[b.Task]
	if h == nil || b.State == Destroyed || b.State == Carried {
		return
	}
	at := s.notBefore(h, b)
	if closes := h.task.Closes(b.Epoch); b.State == Open && closes.After(at) {
		at = closes
	}
	s.live.schedule(b.Key(), at)
}

// dir is the place of a batch's files.
func (s *Shuffler) dir(k Key) string {
	return filepath.Join(s.config.Dir, strings.ToLower(fmt.Sprintf("%x-%d", k.Task[:8], k.Epoch)))
}

func (s *Shuffler) logDir(k Key) string  { return filepath.Join(s.dir(k), "reports") }
func (s *Shuffler) inFile(k Key) string  { return filepath.Join(s.dir(k), "received.batch") }
func (s *Shuffler) outFile(k Key) string { return filepath.Join(s.dir(k), "handover.batch") }

// openLog opens the log of a batch, which nothing appends to: reports get there when
// a shared log is distributed.
func (s *Shuffler) openLog(k Key) (*segment.Log, error) {
	log, found, err := segment.Open(s.logDir(k), segment.Options{FS: s.config.FS})
	if err != nil {
		return nil, fmt.Errorf("opening the log of epoch %d: %w", k.Epoch, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost(found.Damaged...)
	return log, nil
}
