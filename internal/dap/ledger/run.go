package ledger

import (
	"bytes"
	"hash/maphash"
	"math/bits"
	"slices"
	"sort"

	"github.com/shoal-project/shoal/dap"
)

// sizes are numbers of IDs. Tests have smaller ones.
type sizes struct {
	chunk int // of a block in a run: what one look into a run reads
	least int // of blocks that are found in order: fewer are kept whole in memory
	run   int // so many that are kept whole are put in order
	long  int // runs up to this size, and a quarter more, are made of joinRuns shorter ones
}

var defaultSizes = sizes{chunk: 1 << 12, least: 1 << 15, run: 1 << 17, long: 1 << 20}

// joinRuns is how many runs are joined to one.
const joinRuns = 8

// A run is a part of a page whose blocks are in the order of their IDs: 2 bytes of
// each ID in memory show whether it may be there, and then one block is read.
type run struct {
	after, last uint32 // its blocks have the numbers above after, up to last
	n           int    // IDs
	chunks      []chunk
	filter      *filter // nil: left out for want of memory
	misses      int     // blocks that were read for want of a filter
}

// A chunk is a block of a run.
type chunk struct {
	seq         uint32
	n           int
	first, last dap.ReportID
}

const chunkSize = 48 // bytes of a chunk in memory

// newRun makes a run of blocks that are in order.
func newRun(after uint32, blocks []Block, seed maphash.Seed) *run {
	r := &run{after: after, last: blocks[len(blocks)-1].Seq, chunks: make([]chunk, len(blocks))}
	for i := range blocks {
		b := &blocks[i]
		n := len(b.IDs) / IDSize
		r.chunks[i] = chunk{b.Seq, n, dap.ReportID(b.id(0)), dap.ReportID(b.id(n - 1))}
		r.n += n
	}
	r.filter = newFilter(blocks, r.n, seed)
	return r
}

// size returns the bytes of memory.
func (r *run) size() int64 { return int64(len(r.chunks)*chunkSize) + r.filter.size() }

// find returns the chunk that holds an ID if the run does, nil if it does not.
func (r *run) find(id dap.ReportID, seed maphash.Seed) *chunk {
	if r.filter != nil && !r.filter.may(maphash.Comparable(seed, id)) {
		return nil
	}
	i := sort.Search(len(r.chunks), func(i int) bool { return bytes.Compare(r.chunks[i].last[:], id[:]) >= 0 })
	if i == len(r.chunks) || bytes.Compare(r.chunks[i].first[:], id[:]) > 0 {
		return nil
	}
	return &r.chunks[i]
}

// holds reports whether an ID is in a run of blocks.
func (r *run) holds(blocks []Block, id dap.ReportID) bool {
	i := sort.Search(len(r.chunks), func(i int) bool { return bytes.Compare(r.chunks[i].last[:], id[:]) >= 0 })
	return i < len(blocks) && blocks[i].contains(id)
}

// is reports whether a block is the chunk. Another process may have put a part of
// the page in another order: the block of the number has other IDs then. It has the
// same ones if their bounds and their number are the same, as none ever goes.
func (c *chunk) is(b *Block) bool {
	n := len(b.IDs) / IDSize
	return n == c.n && bytes.Equal(b.id(0), c.first[:]) && bytes.Equal(b.id(n-1), c.last[:])
}

// contains reports whether an ID is in a block.
func (b *Block) contains(id dap.ReportID) bool {
	n := len(b.IDs) / IDSize
	i := sort.Search(n, func(i int) bool { return bytes.Compare(b.id(i), id[:]) >= 0 })
	return i < n && bytes.Equal(b.id(i), id[:])
}

// continues reports whether all IDs of a block are above those of the one before.
func (b *Block) continues(before *Block) bool {
	return bytes.Compare(b.id(0), before.id(len(before.IDs)/IDSize-1)) > 0
}

// A filter is a set of 16 bits of a hash of each ID, in buckets by other bits: it
// has 2.25 bytes an ID, and answers yes for an ID that is not there once in 4,000
// times.
type filter struct {
	starts []uint32 // of the buckets in prints, and the end
	prints []uint16
}

const bucketPrints = 16

func newFilter(blocks []Block, n int, seed maphash.Seed) *filter {
	f := &filter{starts: make([]uint32, n/bucketPrints+2), prints: make([]uint16, n)}
	hashes := make([]uint64, 0, n)
	for i := range blocks {
		b := &blocks[i]
		for k := range len(b.IDs) / IDSize {
			h := maphash.Comparable(seed, dap.ReportID(b.id(k)))
			hashes = append(hashes, h)
			f.starts[f.bucket(h)+1]++
		}
	}
	for i := 1; i < len(f.starts); i++ {
		f.starts[i] += f.starts[i-1]
	}
	next := slices.Clone(f.starts)
	for _, h := range hashes {
		at := f.bucket(h)
		f.prints[next[at]] = uint16(h)
		next[at]++
	}
	return f
}

func (f *filter) bucket(h uint64) int {
	hi, _ := bits.Mul64(h, uint64(len(f.starts)-1))
	return int(hi)
}

// may reports whether an ID with a hash may be in the set.
func (f *filter) may(h uint64) bool {
	at := f.bucket(h)
	return slices.Contains(f.prints[f.starts[at]:f.starts[at+1]], uint16(h))
}

// size returns the bytes of memory.
func (f *filter) size() int64 {
	if f == nil {
		return 0
	}
	return int64(4*len(f.starts) + 2*len(f.prints))
}

// split cuts the IDs of one block into blocks of size IDs, with the numbers after
// end.
func (b *Block) split(size int, end uint32) []Block {
	n := len(b.IDs) / IDSize
	count := (n + size - 1) / size
	out := make([]Block, 0, count)
	for i := range count {
		from, to := n*i/count, n*(i+1)/count
		out = append(out, Block{Page: b.Page, Seq: end + uint32(i+1), IDs: b.IDs[from*IDSize : to*IDSize]})
	}
	return out
}
