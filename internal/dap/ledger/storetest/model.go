package storetest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/ledger"
)

// ErrCrashed is what a [Model] returns from its crash on.
var ErrCrashed = errors.New("store crashed")

// A Model is a [ledger.Store] in memory that can crash just before or just after
// a change takes effect. A model of a role's store embeds it and makes its own
// steps with [Model.Atomically].
type Model struct {
	// Flaky makes the model answer by ErrCrashed where it would crash, and live on.
	Flaky bool
	// Stopped is asked before each call whether the machine has stopped for another
	// reason; OnCrash is called when the model stops it. Both may be nil.
	Stopped func() bool
	OnCrash func()

	mu      sync.Mutex
	ledgers map[dap.TaskID]*account
	calls   int
	crashAt int  // number of the call that crashes; 0: none
	after   bool // whether that call takes effect
	dead    bool
}

var _ ledger.Store = (*Model)(nil)

// account is the ledger of a task. What it holds is replaced, never changed.
type account struct {
	head   ledger.Head
	blocks map[ledger.Page][]ledger.Block
	sums   map[ledger.Place]ledger.Sum
}

func (a *account) clone() *account {
	return &account{a.head, maps.Clone(a.blocks), maps.Clone(a.sums)}
}

// NewModel returns an empty store.
func NewModel() *Model { return &Model{ledgers: make(map[dap.TaskID]*account)} }

// CrashAt makes the nth change from now crash, n >= 1, before or after it has
// taken effect.
func (m *Model) CrashAt(n int, after bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.crashAt, m.after = m.calls+n, after
}

// Calls returns how many changes were tried.
func (m *Model) Calls() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls
}

// Crashed reports whether the store has crashed, after which it answers nothing.
func (m *Model) Crashed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dead
}

// Restart returns the store that is found after a crash. This one is dead then.
func (m *Model) Restart() *Model {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead = true
	return &Model{ledgers: maps.Clone(m.ledgers)}
}

func (m *Model) stopped() bool { return m.dead || m.Stopped != nil && m.Stopped() }

// Read calls do on the store's state, or fails with [ErrCrashed].
func (m *Model) Read(do func() error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped() {
		return ErrCrashed
	}
	return do()
}

// A Step is a part of a transaction: it reads the store's state and returns a
// function that makes the part take effect, or an error.
type Step func() (apply func(), err error)

// Atomically makes steps in one transaction: all of them, or none if one returns
// an error, which is then returned. It counts as one change for [Model.CrashAt].
func (m *Model) Atomically(steps ...Step) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped() {
		return ErrCrashed
	}
	m.calls++
	crash := m.calls == m.crashAt
	if crash {
		m.dead = !m.Flaky
		if m.OnCrash != nil {
			m.OnCrash()
		}
		if !m.after {
			return ErrCrashed
		}
	}
	var all []func()
	for _, step := range steps {
		apply, err := step()
		if err != nil {
			return err
		}
		all = append(all, apply)
	}
	for _, apply := range all {
		apply()
	}
	if crash {
		return ErrCrashed
	}
	return nil
}

// Begin implements [ledger.Store].
func (m *Model) Begin(_ context.Context, task dap.TaskID, l ledger.Layout) (ledger.Layout, error) {
	if err := l.Validate(); err != nil {
		return ledger.Layout{}, err
	}
	err := m.Atomically(func() (func(), error) {
		if a := m.ledgers[task]; a != nil {
			l = a.head.Layout
			return func() {}, nil
		}
		return func() {
			m.ledgers[task] = &account{ledger.Head{Layout: l}, make(map[ledger.Page][]ledger.Block), make(map[ledger.Place]ledger.Sum)}
		}, nil
	})
	return l, err
}

// Head implements [ledger.Store].
func (m *Model) Head(_ context.Context, task dap.TaskID, since uint64) (h ledger.Head, err error) {
	err = m.Read(func() error {
		a := m.ledgers[task]
		if a == nil {
			return ledger.ErrNotBegun
		}
		h = a.head
		h.Marks = slices.DeleteFunc(slices.Clone(h.Marks), func(k ledger.Mark) bool { return k.Generation <= since })
		return nil
	})
	return h, err
}

// Blocks implements [ledger.Store].
func (m *Model) Blocks(_ context.Context, task dap.TaskID, page ledger.Page, after uint32) (out []ledger.Block, err error) {
	err = m.Read(func() error {
		a := m.ledgers[task]
		if a == nil {
			return ledger.ErrNotBegun
		}
		ids := 0
		for _, b := range a.blocks[page] {
			if b.Seq > after && ids < ledger.ReadIDs {
				out = append(out, b)
				ids += len(b.IDs) / ledger.IDSize
			}
		}
		return nil
	})
	return out, err
}

// Block implements [ledger.Store].
func (m *Model) Block(_ context.Context, task dap.TaskID, page ledger.Page, seq uint32) (out ledger.Block, err error) {
	err = m.Read(func() error {
		a := m.ledgers[task]
		if a == nil {
			return ledger.ErrConflict
		}
		i := slices.IndexFunc(a.blocks[page], func(b ledger.Block) bool { return b.Seq == seq })
		if i < 0 {
			return ledger.ErrConflict
		}
		out = a.blocks[page][i]
		return nil
	})
	return out, err
}

// Last implements [ledger.Store].
func (m *Model) Last(_ context.Context, task dap.TaskID, page ledger.Page) (last uint32, err error) {
	err = m.Read(func() error {
		if a := m.ledgers[task]; a != nil {
			for _, b := range a.blocks[page] {
				last = max(last, b.Seq)
			}
		}
		return nil
	})
	return last, err
}

// Sums implements [ledger.Store].
func (m *Model) Sums(_ context.Context, task dap.TaskID, s dap.BatchSelector) (out []ledger.Sum, err error) {
	err = m.Read(func() error {
		a := m.ledgers[task]
		if a == nil {
			return ledger.ErrNotBegun
		}
		out, err = a.batch(s)
		return err
	})
	return out, err
}

// batch returns the parts of a batch in order.
func (a *account) batch(s dap.BatchSelector) ([]ledger.Sum, error) {
	first, last, batch, err := ledger.Range(s)
	if err != nil {
		return nil, err
	}
	var out []ledger.Sum
	for place, sum := range a.sums {
		b := place.Bucket
		if batch == nil && b.Batch == (dap.BatchID{}) && b.Unit >= first && b.Unit <= last || batch != nil && b.Batch == *batch {
			out = append(out, sum)
		}
	}
	slices.SortFunc(out, func(x, y ledger.Sum) int {
		p, q := x.Place, y.Place
		return cmp.Or(cmp.Compare(p.Bucket.Unit, q.Bucket.Unit), bytes.Compare(p.Bucket.Batch[:], q.Bucket.Batch[:]), cmp.Compare(p.Part, q.Part))
	})
	return out, nil
}

// Commit implements [ledger.Store].
func (m *Model) Commit(_ context.Context, c ledger.Change) error {
	return m.Atomically(m.StepCommit(c))
}

// StepCommit returns a commit as a step.
func (m *Model) StepCommit(c ledger.Change) Step {
	return func() (func(), error) {
		if err := c.Check(); err != nil {
			return nil, err
		}
		a := m.ledgers[c.Task]
		if a == nil {
			return nil, ledger.ErrNotBegun
		}
		if a.head.Generation != c.Generation {
			return nil, ledger.ErrConflict
		}
		next := a.clone()
		for _, b := range c.Blocks {
			have := next.blocks[b.Page]
			last := uint32(0)
			if len(have) > 0 {
				last = have[len(have)-1].Seq
			}
			if b.Seq != last+1 {
				return nil, ledger.ErrConflict
			}
			b.IDs = bytes.Clone(b.IDs)
			next.blocks[b.Page] = append(slices.Clip(have), b)
		}
		for _, d := range c.Deltas {
			sum := next.sums[d.Place]
			total, err := c.Merge(d.Place, bytes.Clone(sum.Total))
			if err != nil {
				return nil, err
			}
			next.sums[d.Place] = ledger.Sum{Place: d.Place, Rev: sum.Rev + 1, Latest: max(sum.Latest, d.Latest), Total: bytes.Clone(total)}
		}
		var spend func()
		if c.Spent != nil {
			var err error
			if spend, err = m.StepCommit(*c.Spent)(); err != nil {
				return nil, err
			}
		}
		return func() {
			m.ledgers[c.Task] = next
			if spend != nil {
				spend()
			}
		}, nil
	}
}

// Collect implements [ledger.Store].
func (m *Model) Collect(_ context.Context, c ledger.Collection) error {
	return m.Atomically(m.StepCollect(c))
}

// StepCollect returns a collection as a step.
func (m *Model) StepCollect(c ledger.Collection) Step {
	return func() (func(), error) {
		a := m.ledgers[c.Task]
		if a == nil {
			return nil, ledger.ErrNotBegun
		}
		sums, err := a.batch(c.Selector)
		if err != nil {
			return nil, err
		}
		if a.head.Generation != c.Generation || !c.Match(sums) {
			return nil, ledger.ErrConflict
		}
		next := a.clone()
		next.head.Generation++
		next.head.Marks = append(slices.Clip(a.head.Marks), ledger.Mark{Generation: next.head.Generation, Selector: c.Selector})
		for _, s := range sums {
			delete(next.sums, s.Place)
		}
		return func() { m.ledgers[c.Task] = next }, nil
	}
}

// Evict implements [ledger.Store].
func (m *Model) Evict(_ context.Context, task dap.TaskID, generation uint64, watermark dap.Time) error {
	return m.Atomically(func() (func(), error) {
		a := m.ledgers[task]
		if a == nil {
			return nil, ledger.ErrNotBegun
		}
		if a.head.Generation != generation {
			return nil, ledger.ErrConflict
		}
		if watermark <= a.head.Watermark {
			return func() {}, nil
		}
		next := a.clone()
		next.head.Generation++
		next.head.Watermark = watermark
		maps.DeleteFunc(next.blocks, func(p ledger.Page, _ []ledger.Block) bool {
			return (p.Window+1)*uint64(a.head.Layout.Window) <= uint64(watermark)
		})
		kept := make(map[dap.Bucket]bool)
		for p, s := range a.sums {
			kept[p.Bucket] = kept[p.Bucket] || s.Latest >= watermark
		}
		maps.DeleteFunc(next.sums, func(p ledger.Place, _ ledger.Sum) bool { return !kept[p.Bucket] })
		next.head.Marks = slices.DeleteFunc(slices.Clone(a.head.Marks), func(k ledger.Mark) bool {
			_, last, batch, err := ledger.Range(k.Selector)
			return err == nil && batch == nil && last < watermark
		})
		return func() { m.ledgers[task] = next }, nil
	})
}

// Compact implements [ledger.Store].
func (m *Model) Compact(_ context.Context, task dap.TaskID, c ledger.Compaction) error {
	if err := c.Check(); err != nil {
		return err
	}
	return m.Atomically(func() (func(), error) {
		a := m.ledgers[task]
		if a == nil {
			return nil, ledger.ErrNotBegun
		}
		var kept []ledger.Block
		var last, end uint32
		n := 0
		for _, o := range a.blocks[c.Page()] {
			end = o.Seq
			if o.Seq <= c.After || o.Seq > c.Last {
				kept = append(kept, o)
				continue
			}
			last = o.Seq
			n++
		}
		if n != c.Count || last != c.Last || c.Appends() && c.Blocks[0].Seq != end+1 {
			return nil, ledger.ErrConflict
		}
		next := a.clone()
		for _, b := range c.Blocks {
			b.IDs = bytes.Clone(b.IDs)
			kept = append(kept, b)
		}
		next.blocks[c.Page()] = kept
		slices.SortFunc(next.blocks[c.Page()], func(x, y ledger.Block) int { return cmp.Compare(x.Seq, y.Seq) })
		return func() { m.ledgers[task] = next }, nil
	})
}
