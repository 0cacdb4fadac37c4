package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/shoal-project/shoal/dap"
)

// IDSize is the length of a report ID in a block, in bytes.
const IDSize = len(dap.ReportID{})

// A Layout is the way in which the IDs of a task are spread over pages. It is fixed
// when the task is begun and never changes: a page under another layout would not
// be found.
type Layout struct {
	Window dap.Duration // how many units of time share a page, at least 1
	Shards uint16       // into how many pages a window is cut by report ID, 1 to 256
}

// DefaultLayout returns windows of a day, or of one unit if that is longer, in
// one shard: every job touches all shards of its windows, so that more of them
// help only where one window holds tens of millions of reports.
func DefaultLayout(p dap.TimePrecision) Layout {
	const day = 24 * 60 * 60
	return Layout{Window: dap.Duration(max(1, day/max(1, uint64(p)))), Shards: 1}
}

// Validate reports whether the layout has pages.
func (l Layout) Validate() error {
	if l.Window == 0 || l.Shards == 0 || l.Shards > 256 {
		return fmt.Errorf("ledger layout with windows of %d units in %d shards, want at least 1 and 1 to 256", l.Window, l.Shards)
	}
	return nil
}

// Page returns the page of a report.
func (l Layout) Page(id dap.ReportID, t dap.Time) Page {
	// The last byte: some clients count in the first ones.
	return Page{Window: uint64(t) / uint64(l.Window), Shard: uint8(uint16(id[IDSize-1]) % l.Shards)}
}

// A Page names a list of blocks of a task.
type Page struct {
	Window uint64 // time of the report over Layout.Window
	Shard  uint8  // of the report's ID
}

// A Block is some IDs of a page.
type Block struct {
	Page Page
	Seq  uint32 // 1, 2, 3, ... in the page; compaction leaves gaps
	IDs  []byte // IDSize bytes each, increasing
}

// A Compaction replaces the blocks with numbers above After, up to Last, by Blocks.
// These are one block with the number Last, or blocks with numbers after the last of
// the page: a reader that knows a part of what is replaced reads all that replaces
// it.
type Compaction struct {
	After, Last uint32
	Count       int     // of the blocks that are replaced
	Blocks      []Block // of one page, with increasing numbers
}

// A Place names a stored part of a bucket's total. Parts exist so that commits
// of different processes need not wait for each other.
type Place struct {
	Bucket dap.Bucket
	Part   uint8
}

// A Delta names the part of a bucket that a commit adds to.
type Delta struct {
	Place  Place
	Latest dap.Time // latest time of a report that is added
}

// A Sum is a part of a bucket as it is stored.
type Sum struct {
	Place  Place
	Rev    uint64   // 1, 2, 3, ...: how many deltas were merged
	Latest dap.Time // latest time of a report in it: the bucket is kept as long as that time is
	Total  []byte   // opaque to the store
}

// A Stamp is a part of a bucket at a revision.
type Stamp struct {
	Place Place
	Rev   uint64
}

// A Change is what one aggregation job commits: all of it or nothing.
type Change struct {
	Task       dap.TaskID
	Generation uint64  // of the head that the verdicts were made with
	Blocks     []Block // at most one a page; Seq is one more than the page's last
	Deltas     []Delta // at most one a place
	// Merge returns the total to store at the place of a delta; old is what is
	// there, nil if nothing is. It changes nothing, and is called within the
	// transaction, once or more often.
	Merge func(p Place, old []byte) ([]byte, error)
	// Spent is what reports of the job spend, on the list of a [Spent]: blocks alone.
	// nil: nothing.
	Spent *Change
}

// A Mark records that a batch was collected.
type Mark struct {
	Generation uint64 // to which the mark raised the ledger
	Selector   dap.BatchSelector
}

// A Collection marks a batch collected: its totals go, and no report is committed
// to it any more.
type Collection struct {
	Task       dap.TaskID
	Generation uint64 // of the head that the batch was found uncollected in
	Selector   dap.BatchSelector
	Seen       []Stamp // every stored part of the batch, as it was read
}

// A Head is a ledger's state without its pages and buckets.
type Head struct {
	Layout     Layout
	Generation uint64   // raised by one by each collection and each eviction; 0 at first
	Watermark  dap.Time // the IDs of reports before it are not kept
	Marks      []Mark   // in the order of their generations
}

var (
	// ErrConflict means that the store is in another state than the one that a step
	// was decided on. Read again, decide again, and try again.
	ErrConflict = errors.New("the ledger has changed")
	// ErrNotBegun means that the store holds no ledger of the task.
	ErrNotBegun = errors.New("the task has no ledger")
)

// A Store keeps the ledgers of one aggregator. A role's store embeds it and adds
// steps that take a Change or a Collection together with the role's own record,
// in one transaction: their promises are those of Commit and Collect.
//
// Durability: when a method that changes something returns nil, the change
// survives a crash and a power loss. When it returns an error that matches
// ErrConflict or ErrNotBegun, nothing has changed. After any other error, or a
// crash, all of the step has happened or nothing of it.
//
// Concurrency: all methods may be called at once, by many goroutines and by many
// processes on one database; Commit, Collect, Evict and Compact of one task take
// effect one after another.
type Store interface {
	// Begin creates the ledger of a task with a layout, if the task has none, and
	// returns the layout that it has.
	Begin(ctx context.Context, task dap.TaskID, l Layout) (Layout, error)
	// Head returns the head of a task's ledger, of its marks only those with a
	// generation above since.
	Head(ctx context.Context, task dap.TaskID, since uint64) (Head, error)
	// Blocks returns the blocks of a page with numbers above after, in their order.
	// It is empty for a page that does not exist. Of blocks with more than ReadIDs
	// IDs together it may return the first ones only, one at least.
	Blocks(ctx context.Context, task dap.TaskID, page Page, after uint32) ([]Block, error)
	// Block returns the block of a page with a number. It fails with ErrConflict if
	// the page has no such block.
	Block(ctx context.Context, task dap.TaskID, page Page, seq uint32) (Block, error)
	// Last returns the number of the last block of a page, 0 if the page is empty.
	Last(ctx context.Context, task dap.TaskID, page Page) (uint32, error)
	// Sums returns the stored parts of a batch, from one state of the store,
	// ordered by bucket and part. It is empty for a batch without reports.
	Sums(ctx context.Context, task dap.TaskID, s dap.BatchSelector) ([]Sum, error)
	// Commit makes a change and its Spent, both or neither. It fails with ErrConflict if
	// the generation is not the ledger's, or a block's number is not one more than the
	// last of its page, and with the error of Merge.
	Commit(ctx context.Context, c Change) error
	// Collect marks a batch, raises the generation and deletes the batch's parts.
	// It fails with ErrConflict if the generation is not the ledger's, or the parts
	// and revisions of the batch are not those in Seen.
	Collect(ctx context.Context, c Collection) error
	// Evict raises the watermark and the generation, and deletes what lies wholly
	// before the watermark: pages, buckets by the Latest of all their parts, and
	// marks of intervals, but not the marks of batches that the leader selected. It
	// fails with ErrConflict if the generation is not the ledger's, and changes
	// nothing if the watermark is not above the present one.
	Evict(ctx context.Context, task dap.TaskID, generation uint64, watermark dap.Time) error
	// Compact replaces blocks of a page by others with the same IDs. It fails with
	// ErrConflict if there are not Count blocks with numbers above After, up to Last,
	// the last of which is Last, or if the new blocks have numbers above Last and the
	// first one of these is not one more than the last of the page.
	Compact(ctx context.Context, task dap.TaskID, c Compaction) error
}
