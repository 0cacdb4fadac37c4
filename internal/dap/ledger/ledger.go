package ledger

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/atrest"
)

// A Config is the configuration of [Ledgers]. Keys, Clock and Rand are needed.
type Config struct {
	Keys  *atrest.Keys // seal the totals
	Clock clock.Clock
	Rand  io.Reader // crypto/rand.Reader
	// CacheBytes bounds what is in memory of report IDs, all tasks together; 0 means
	// 256 MiB. One ID takes 2.25 bytes, up to 130,000 new ones of a page up to 24. When
	// it is full the task with the most gives way, and its commits read 64 KiB for each
	// report and million IDs that it has no memory for.
	CacheBytes int64
	// ExpiryGrace is how much longer than the expiry of [Ledgers.Open] a report can be
	// committed and its ID is kept; [Ledger.Late] heeds the expiry alone. A leader
	// accepts no report that is too old, but what the helper has counted meanwhile it
	// must count, however long the answer took. 0 means not at all.
	ExpiryGrace time.Duration
	// NotBefore drops all reports before a time, rounded up to the time precision of
	// their task, whatever the store has forgotten: after a store was lost or put back
	// to an older state. Zero means none.
	NotBefore time.Time
	// Parts is into how many parts buckets are divided, one for each process and
	// chosen at random, 1 to 256; 0 means 8.
	Parts int
}

const (
	defaultCacheBytes = 256 << 20
	defaultParts      = 8
)

// Ledgers are the ledgers of one aggregator over one store. They are safe for
// concurrent use.
type Ledgers struct {
	store  Store
	config Config
	part   uint8
	cache  cache
	sizes  sizes

	mu      sync.Mutex
	ledgers map[dap.TaskID]*Ledger
}

// New returns the ledgers over a store.
func New(store Store, c Config) (*Ledgers, error) {
	if c.Keys == nil || c.Clock == nil || c.Rand == nil {
		return nil, errors.New("opening ledgers: keys, clock and randomness are needed")
	}
	if c.CacheBytes == 0 {
		c.CacheBytes = defaultCacheBytes
	}
	if c.Parts == 0 {
		c.Parts = defaultParts
	}
	if c.CacheBytes < 0 || c.Parts < 0 || c.Parts > 256 || c.ExpiryGrace < 0 {
		return nil, fmt.Errorf("opening ledgers: cache of %d bytes, %d parts and %v longer, want 1 or more, 1 to 256, and not negative", c.CacheBytes, c.Parts, c.ExpiryGrace)
	}
	var b [1]byte
	if _, err := io.ReadFull(c.Rand, b[:]); err != nil {
		return nil, fmt.Errorf("opening ledgers: reading randomness: %w", err)
	}
	return &Ledgers{
		store: store, config: c, part: uint8(int(b[0]) % c.Parts),
		cache:   cache{limit: c.CacheBytes, pages: make(map[cacheKey]*list.Element), tasks: make(map[dap.TaskID]*cacheTask)},
		ledgers: make(map[dap.TaskID]*Ledger),
		sizes:   defaultSizes,
	}, nil
}

// Open returns the ledger of a task, and begins the task's ledger if the task has
// none. Reports older than expiry are dropped, 0 means never; the expiry of the
// last call holds.
func (bs *Ledgers) Open(ctx context.Context, task *dap.Task, expiry time.Duration) (*Ledger, error) {
	b, err := bs.open(ctx, &Ledger{ledgers: bs, task: task, id: task.ID(), precision: task.Config().TimePrecision}, expiry)
	if err != nil {
		return nil, err
	}
	b.expiry.Store(int64(expiry))
	return b, nil
}

// open returns the ledger of an ID, which is b unless it is there.
func (bs *Ledgers) open(ctx context.Context, b *Ledger, expiry time.Duration) (*Ledger, error) {
	if expiry < 0 {
		return nil, fmt.Errorf("opening the ledger of task %v: negative expiry %v", b.id, expiry)
	}
	bs.mu.Lock()
	first := bs.ledgers[b.id]
	bs.mu.Unlock()
	if first != nil {
		return first, nil
	}
	layout, err := bs.store.Begin(ctx, b.id, DefaultLayout(b.precision))
	if err != nil {
		return nil, fmt.Errorf("opening the ledger of task %v: %w", b.id, err)
	}
	if err := layout.Validate(); err != nil {
		return nil, fmt.Errorf("opening the ledger of task %v: %w", b.id, err)
	}
	b.layout, b.sem = layout, make(chan struct{}, 1)
	b.expiry.Store(int64(expiry))
	if err := b.refresh(ctx); err != nil {
		return nil, err
	}
	bs.mu.Lock()
	defer bs.mu.Unlock()
	if first := bs.ledgers[b.id]; first != nil {
		return first, nil
	}
	bs.ledgers[b.id] = b
	return b, nil
}

// Cached returns how many bytes of report IDs are in memory.
func (bs *Ledgers) Cached() int64 { return bs.cache.size() }

// A Ledger is the ledger of one task. It is safe for concurrent use, and so are
// many ledgers of the same task, in any number of processes.
type Ledger struct {
	ledgers   *Ledgers
	task      *dap.Task // nil of a [Spent]
	id        dap.TaskID
	precision dap.TimePrecision
	layout    Layout
	expiry    atomic.Int64

	// sem is held by the one that changes the ledger, or reads for it.
	sem chan struct{}

	mu         sync.RWMutex // guards what follows; to write, both are held
	generation uint64
	watermark  dap.Time
	marks      marks
}

// Task returns the ledger's task.
func (b *Ledger) Task() *dap.Task { return b.task }

// lock waits for the lock, as long as the context lasts.
func (b *Ledger) lock(ctx context.Context) error {
	select {
	case b.sem <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for the ledger of task %v: %w", b.id, ctx.Err())
	}
}

func (b *Ledger) unlock() { <-b.sem }

// refresh reads what is new in the head. The lock is held.
func (b *Ledger) refresh(ctx context.Context) error {
	head, err := b.ledgers.store.Head(ctx, b.id, b.generation)
	if err != nil {
		return fmt.Errorf("reading the ledger of task %v: %w", b.id, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range head.Marks {
		if err := b.marks.add(m.Selector); err != nil {
			return fmt.Errorf("reading the ledger of task %v: %w", b.id, err)
		}
	}
	b.generation, b.watermark = head.Generation, max(b.watermark, head.Watermark)
	return nil
}

// floor is [Config.NotBefore] in units of the task's time precision.
func (b *Ledger) floor() dap.Time {
	at, precision := b.ledgers.config.NotBefore, b.precision
	if at.IsZero() {
		return 0
	}
	t, err := precision.Time(at.Add(time.Duration(precision)*time.Second - 1))
	if err != nil { // before 1970
		return 0
	}
	return t
}

// horizon returns the time before which reports are dropped now, if they are kept
// for so much longer. The lock or mu is held.
func (b *Ledger) horizon(expiryGrace time.Duration) dap.Time {
	first := max(b.watermark, b.floor())
	expiry := time.Duration(b.expiry.Load())
	if expiry == 0 {
		return first
	}
	oldest, err := b.precision.Time(b.ledgers.config.Clock.Now().Add(-expiry - expiryGrace))
	if err != nil { // before 1970: nothing has expired
		return first
	}
	return max(first, oldest)
}
