package analyzer

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
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
	"github.com/shoal-project/shoal/metric/cost"
	"github.com/shoal-project/shoal/metric/task"
)

// Keys are what a hop opens reports with, and what it announces about them.
type Keys = hop.Keys

// A Config is what an [Analyzer] is made of.
type Config struct {
	Store    Store             // of this role alone
	FS       durable.FS        // holds Dir
	Dir      string            // received batches and released tables; made if missing; of this process alone
	Clock    clock.Clock       // default: the system's
	Identity ed25519.PublicKey // by which tasks name this analyzer
	Keys     Keys              // see [Analyzer.SetKeys]
	Tasks    []*task.Task      // each names Identity as its analyzer
	Engine   engine.Engine     // of this process alone; needed for tasks with a quorum or blinded crowds
	// Issuer verifies the credentials that hardened tasks require.
	Issuer *credential.Issuer

	MaxBatch int64         // bytes of a batch; default 64 GiB
	Workers  int           // goroutines that open reports; default: the CPUs
	Settle   time.Duration // how long a clock that jumped forward is not believed; default 10 minutes
	Metrics  Metrics       // default: none
	Memory   int64         // bytes for what is counted about the crowds of a batch, about; default 1 GiB
	Retry    bool          // try batches again that were set aside
	// Lost is called when a batch that was received turns out to be lost, each time
	// that it is tried. Its Role is not set.
	Lost func(loss.Loss) // default: none
}

// Metrics is notified of what happens, for counters. Methods must not block.
type Metrics interface {
	// Batch is called when a batch has reached a state: one that is released with its
	// manifest and with its exact counts, which are the operator's; others with nil.
	Batch(State, *Manifest, *OperatorCounts)
	// Took is called with how long the release of a batch took, by the clock.
	Took(time.Duration)
}

type noMetrics struct{}

func (noMetrics) Batch(State, *Manifest, *OperatorCounts) {}
func (noMetrics) Took(time.Duration)                      {}

// An Analyzer plays the last hop's part for a number of tasks. Its methods are
// safe for concurrent use.
type Analyzer struct {
	config   Config
	guard    *clock.Guard
	tasks    map[task.ID]*hosted
	rules    cost.Cache    // of tasks with equal rules there is one copy
	wake     clock.Signal  // a batch has arrived
	tickMu   sync.Mutex    // one Tick at a time
	acceptMu sync.Mutex    // one batch is accepted at a time
	serial   atomic.Uint64 // of batches that arrive

	mu      sync.Mutex
	keys    Keys
	aside   map[esa.BatchID]error   // batches that are not tried any more
	pending map[esa.BatchID]attempt // batches that await their release or the removal of files
	strays  []esa.BatchID           // files of which the catalogue did not know at the start

	unserved []Batch // received, of tasks that are not served
}

// hosted is a task as this analyzer sees it.
type hosted struct {
	task      *task.Task
	id        task.ID
	opener    atomic.Pointer[esa.Opener] // replaced when keys change
	threshold dp.Threshold
	total     *dp.Total // nil if the task has no noise
}

// hop is the analyzer's place in the task's hops: the last.
func (h *hosted) hop() int { return len(h.task.Hops) - 1 }

// An attempt remembers that a release failed, and when to try again.
type attempt struct {
	n    int
	next time.Time
	err  error
}

// New returns the analyzer, with what a crash has left put right.
func New(ctx context.Context, c Config) (*Analyzer, error) {
	if c.Store == nil || c.FS == nil || c.Dir == "" || c.Identity == nil {
		return nil, errors.New("starting analyzer: store, files, directory and identity must be given")
	}
	if c.Clock == nil {
		c.Clock = clock.System()
	}
	if c.Metrics == nil {
		c.Metrics = noMetrics{}
	}
	if c.Lost == nil {
		c.Lost = func(loss.Loss) {}
	}
	c.Memory = cmp.Or(c.Memory, 1<<30)
	c.MaxBatch = cmp.Or(c.MaxBatch, 64<<30)
	c.Workers = cmp.Or(c.Workers, runtime.GOMAXPROCS(0))
	c.Settle = cmp.Or(c.Settle, 10*time.Minute)
	a := &Analyzer{
		config:  c,
		guard:   clock.NewGuard(c.Clock, c.Settle),
		tasks:   map[task.ID]*hosted{},
		wake:    clock.NewSignal(),
		pending: map[esa.BatchID]attempt{},
		aside:   map[esa.BatchID]error{},
	}
	for _, t := range c.Tasks {
		if err := a.host(t); err != nil {
			return nil, fmt.Errorf("starting analyzer: %w", err)
		}
	}
	if err := a.SetKeys(c.Keys); err != nil {
		return nil, fmt.Errorf("starting analyzer: %w", err)
	}
	if err := a.recover(ctx); err != nil {
		return nil, fmt.Errorf("starting analyzer: %w", err)
	}
	return a, nil
}

func (a *Analyzer) host(t *task.Task) error {
	id, err := t.ID()
	if err != nil {
		return err
	}
	if last := t.Hops[len(t.Hops)-1]; last.Role != task.Analyzer || !last.Identity.Equal(a.config.Identity) {
		return fmt.Errorf("task %q does not name this identity as its analyzer", t.Metric)
	}
	if (t.Encoding.Kind == task.Quorum || t.Protection.Blinded) && a.config.Engine == nil {
		return fmt.Errorf("task %q asks for a quorum or blinded crowds, for which the analyzer needs an engine", t.Metric)
	}
	if t.Hardened() && a.config.Issuer == nil {
		return fmt.Errorf("task %q requires credentials, and there is no issuer", t.Metric)
	}
	threshold, err := a.rules.Threshold(t.Threshold)
	if err != nil {
		return fmt.Errorf("task %q: %w", t.Metric, err)
	}
	total, err := a.rules.Total(t)
	if err != nil {
		return err
	}
	a.tasks[id] = &hosted{task: t, id: id, threshold: threshold, total: total}
	return nil
}

// SetKeys replaces the private keys and the announced key config, which must
// be signed by the analyzer's identity and name keys that are held. Private
// keys must be kept until no batch of an epoch in which they were valid, and
// of its salt window, can arrive any more.
func (a *Analyzer) SetKeys(k Keys) error {
	openers := map[*hosted]*esa.Opener{}
	for _, h := range a.tasks {
		o, err := esa.NewOpener(h.task, h.id, h.hop(), k.Private...)
		if err != nil {
			return fmt.Errorf("setting keys: %w", err)
		}
		openers[h] = o
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for h, o := range openers {
		h.opener.Store(o)
	}
	a.keys = k
	return nil
}

// recover removes the files of batches that the catalogue is done with.
func (a *Analyzer) recover(ctx context.Context) error {
	if err := a.config.FS.MkdirAll(a.received(), 0o700); err != nil {
		return err
	}
	if err := hop.CleanArriving(a.config.FS, a.received()); err != nil {
		return err
	}
	waiting, err := a.config.Store.In(ctx, Received)
	if err != nil {
		return err
	}
	for _, b := range waiting {
		if a.tasks[b.Task] == nil {
			a.unserved = append(a.unserved, b)
		}
		if a.config.Retry && b.Attempts > 0 {
			if err := a.config.Store.Try(ctx, b.ID, 0); err != nil {
				return err
			}
		}
		a.pending[b.ID] = attempt{}
	}
	if err := a.removeExpired(ctx); err != nil {
		return err
	}
	return a.sortOut(ctx)
}

// sortOut removes the files of batches that are finished, and notes those of which
// the catalogue does not know.
func (a *Analyzer) sortOut(ctx context.Context) error {
	entries, err := a.config.FS.ReadDir(a.received())
	if err != nil {
		return err
	}
	for _, e := range entries {
		id, err := esa.ParseBatchID(strings.TrimSuffix(e.Name(), ".batch"))
		if _, wanted := a.pending[id]; err == nil && wanted {
			continue
		}
		if err == nil {
			have, err := a.config.Store.Batch(ctx, id)
			if err != nil {
				return err
			}
			if have.State == None { // the shuffler may offer it again, or the catalogue is not the one that was
				a.strays = append(a.strays, id)
				continue
			}
		}
		if err := a.config.FS.Remove(filepath.Join(a.received(), e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// removeExpired removes the tables of expired batches that a crash has left.
func (a *Analyzer) removeExpired(ctx context.Context) error {
	kept, err := a.config.FS.ReadDir(filepath.Dir(tablesDir(a.config.Dir, Batch{})))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	there := make(map[string]bool, len(kept))
	for _, e := range kept {
		there[e.Name()] = true
	}
	expired, err := a.config.Store.In(ctx, Expired)
	if err != nil {
		return err
	}
	for _, b := range expired {
		dir := tablesDir(a.config.Dir, b)
		if !there[filepath.Base(dir)] {
			continue
		}
		if err := durable.RemoveAll(a.config.FS, dir); err != nil {
			return err
		}
	}
	return nil
}

func (a *Analyzer) received() string { return filepath.Join(a.config.Dir, "received") }

func (a *Analyzer) file(id esa.BatchID) string {
	return filepath.Join(a.received(), id.String()+".batch")
}

// Handler serves
//
//	PUT /tasks/{task}/batches/{batch}  a batch of the last shuffler
//	PUT /tasks/{task}/statement        which epochs are complete, by the last shuffler
//	GET /keys/analyzer                 the analyzer's key config
//
// and what the issuer serves, see [credential.Issuer.Handler].
func (a *Analyzer) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /tasks/{task}/batches/{batch}", a.putBatch)
	mux.HandleFunc("PUT /tasks/{task}/statement", a.putStatement)
	mux.HandleFunc("GET /keys/analyzer", func(w http.ResponseWriter, _ *http.Request) {
		a.mu.Lock()
		config := a.keys.Config
		a.mu.Unlock()
		keyring.Serve(w, keyring.ConfigType, config)
	})
	if a.config.Issuer != nil {
		mux.Handle("/tasks/{task}/credentials/", a.config.Issuer.Handler())
	}
	return mux
}

func (a *Analyzer) putBatch(w http.ResponseWriter, r *http.Request) {
	id, err := task.ParseID(r.PathValue("task"))
	h := a.tasks[id]
	if err != nil || h == nil {
		hop.UnknownTask.Write(w, 0)
		return
	}
	hop.PutBatch(w, r, hop.Intake{
		FS: a.config.FS, Dir: a.received(), Serial: &a.serial,
		Task: h.task, ID: h.id, From: h.hop() - 1, MaxBytes: a.config.MaxBatch,
		Accept: a.accept,
	})
}

// putStatement takes what the last shuffler states.
func (a *Analyzer) putStatement(w http.ResponseWriter, r *http.Request) {
	id, err := task.ParseID(r.PathValue("task"))
	h := a.tasks[id]
	if err != nil || h == nil {
		hop.UnknownTask.Write(w, 0)
		return
	}
	hop.PutStatement(w, r, h.task, h.id, h.hop()-1, a.config.Store.Learn)
}

// accept enters a verified batch into the catalogue, once.
func (a *Analyzer) accept(ctx context.Context, header esa.BatchHeader, digest esa.BatchDigest, file string) (bool, error) {
	a.acceptMu.Lock()
	defer a.acceptMu.Unlock()
	have, err := a.config.Store.Batch(ctx, header.ID)
	if err != nil {
		return false, err
	}
	b := Batch{ID: header.ID, Task: header.Task, Epoch: header.Epoch, State: Received, Digest: digest}
	if have.State != None {
		if have.Digest != b.Digest {
			return false, hop.ErrConflict
		}
		return false, nil
	}
	// The file comes first: an entry without a file would be a loss, a file
	// without an entry is kept, and replaced when the batch comes again.
	if err := a.config.FS.Rename(file, a.file(b.ID)); err != nil {
		return false, err
	}
	if err := a.config.FS.SyncDir(a.received()); err != nil {
		return false, err
	}
	a.mu.Lock()
	a.pending[b.ID] = attempt{} // whatever the store answers, look again
	a.mu.Unlock()
	fresh, err := a.config.Store.Accept(ctx, b)
	if errors.Is(err, ErrConflict) {
		return false, hop.ErrConflict
	}
	if err != nil {
		return false, err
	}
	a.config.Metrics.Batch(Received, nil, nil)
	a.wake.Set()
	return fresh, nil
}

// Close closes the files of the issuer. Nothing else is called afterwards.
func (a *Analyzer) Close() error {
	if a.config.Issuer == nil {
		return nil
	}
	return a.config.Issuer.Close()
}

// Tables returns the released tables.
func (a *Analyzer) Tables() *Tables { return NewTables(a.config.Store, a.config.FS, a.config.Dir) }

// A Status is a picture of the analyzer for health checks and counters.
type Status struct {
	Pending []PendingBatch // those with something to be done, by ID
	// Aside is how many batches are set aside: their release failed, or ended the
	// process, [MaxAttempts] times. They are kept until an operator has them tried
	// again, see [Config].
	Aside int
	// LostCredentials are the periods of which nothing is issued or verified any more, see
	// [credential.Issuer.Lost].
	LostCredentials []string
	CutCredentials  int // see [credential.Issuer.Cut]
}

// A PendingBatch is a batch whose release, or the removal of whose files, is due.
type PendingBatch struct {
	ID       esa.BatchID
	Attempts int   // that have failed
	Err      error // of the last
}

// Status returns how the analyzer is.
func (a *Analyzer) Status() Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	st := Status{Aside: len(a.aside)}
	for id, try := range a.pending {
		st.Pending = append(st.Pending, PendingBatch{id, try.n, try.err})
	}
	if a.config.Issuer != nil {
		st.LostCredentials, st.CutCredentials = a.config.Issuer.Lost(), a.config.Issuer.Cut()
	}
	slices.SortFunc(st.Pending, func(x, y PendingBatch) int { return slices.Compare(x.ID[:], y.ID[:]) })
	return st
}
