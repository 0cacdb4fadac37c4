package disk

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"slices"
)

// sector is what a real disk writes at once.
const sector = 512

// change is a write of data at off, or a truncation to off.
type change struct {
	truncate bool
	off      int64
	data     []byte
}

func (c change) apply(b []byte) []byte {
	if c.truncate {
		return resize(b, int(c.off))
	}
	if end := int(c.off) + len(c.data); end > len(b) {
		b = resize(b, end)
	}
	copy(b[c.off:], c.data)
	return b
}

func resize(b []byte, size int) []byte {
	if size <= len(b) {
		// What a later growth uncovers must read as zeros.
		clear(b[size:])
		return b[:size]
	}
	old := len(b)
	b = slices.Grow(b, size-old)[:size]
	clear(b[old:])
	return b
}

// change applies c to the present content and notes it for the next crash.
func (d *Disk) change(n *node, c change) {
	n.data = c.apply(n.data)
	if d.mode == Journaled {
		c.data = bytes.Clone(c.data)
		n.since = append(n.since, c)
	}
}

func (n *node) sync() {
	for _, c := range n.since {
		n.synced = c.apply(n.synced)
	}
	n.since = nil
}

// move is one change to directories: an entry added (from is nil), removed (to
// is nil) or renamed.
type move struct {
	seq      int
	from     *node
	fromName string
	to       *node
	toName   string
	what     *node

	added, removed bool // that half is durable
}

// apply carries m out and notes it for the next crash.
func (d *Disk) apply(m *move) {
	d.moves++
	m.seq = d.moves
	if m.from != nil {
		delete(m.from.children, m.fromName)
	}
	if m.to != nil {
		m.to.children[m.toName] = m.what
	}
	if d.mode != Journaled {
		return
	}
	if m.from != nil {
		m.from.moved = append(m.from.moved, m)
	}
	if m.to != nil && m.to != m.from {
		m.to.moved = append(m.to.moved, m)
	}
}

// add and remove carry out one half of the move on the entries of a directory.
func (m *move) add(dir *node, entries map[string]*node) {
	if m.to == dir && !m.added {
		entries[m.toName] = m.what
	}
}

func (m *move) remove(dir *node, entries map[string]*node) {
	if m.from == dir && !m.removed && entries[m.fromName] == m.what {
		delete(entries, m.fromName)
	}
}

// settle makes the first unsynced moves of a directory durable.
func (n *node) settle(first int) {
	moves := n.moved[:first]
	n.moved = n.moved[first:]
	for _, m := range moves {
		m.add(n, n.kept)
		m.remove(n, n.kept)
		m.added = m.added || m.to == n
		m.removed = m.removed || m.from == n
		// That a file has left its old directory never becomes durable
		// before its arrival in the new one: nothing would be left of it.
		if m.from == n && m.to != nil && !m.added {
			m.to.settle(slices.Index(m.to.moved, m) + 1)
		}
	}
}

// SyncDir makes the present entries of a directory durable.
func (d *Disk) SyncDir(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.find(split(name))
	if err != nil {
		return pathError("syncdir", name, err)
	}
	n.settle(len(n.moved))
	return nil
}

// FailSync does to a file what a failed fsync does: some of what was written
// since the last sync reaches the disk, and the rest never will, whatever later
// syncs return. The content that readers see does not change.
func (h *Handle) FailSync(r *rand.Rand) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	h.node.synced = survive(h.node.synced, h.node.since, r)
	h.node.since = nil
}

// Crash returns the disk that is found after a loss of power now: all that was
// synced, and of the rest what r decides. d itself is not changed; calling
// again gives another outcome.
func (d *Disk) Crash(r *rand.Rand) *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mode != Journaled {
		panic("disk: crash of a disk without a journal")
	}
	c := &crash{
		rand: r, strategy: strategy(r.IntN(4)), until: d.moves - r.IntN(min(d.moves, 8)+1),
		fate: map[*move]bool{}, nodes: map[*node]*node{},
	}
	return &Disk{mode: Journaled, root: c.node(d.root)}
}

// strategy selects which of the unsynced changes survive.
type strategy int

const (
	none   strategy = iota // nothing
	all                    // everything
	prefix                 // the first ones, the last of them perhaps in part
	some                   // any subset
)

// crash is the making of one outcome.
type crash struct {
	rand     *rand.Rand
	strategy strategy        // for entries of directories
	until    int             // prefix: the last move that survives
	fate     map[*move]bool  // decided so far: both halves of a move share it
	nodes    map[*node]*node // made so far
}

func (c *crash) keeps(m *move) bool {
	switch c.strategy {
	case none:
		return false
	case all:
		return true
	case prefix:
		return m.seq <= c.until
	}
	keep, decided := c.fate[m]
	if !decided {
		keep = c.rand.IntN(2) == 0
		c.fate[m] = keep
	}
	return keep
}

func (c *crash) node(n *node) *node {
	if made := c.nodes[n]; made != nil {
		return made
	}
	made := &node{perm: n.perm}
	c.nodes[n] = made
	if !n.isDir() {
		made.data = survive(bytes.Clone(n.synced), n.since, c.rand)
		made.synced = bytes.Clone(made.data)
		return made
	}
	entries := maps.Clone(n.kept)
	for _, m := range n.moved {
		if c.keeps(m) {
			m.add(n, entries)
			m.remove(n, entries)
		}
	}
	made.children = map[string]*node{}
	// Sorted, so that equal seeds give equal outcomes.
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		made.children[name] = c.node(entries[name])
	}
	made.kept = maps.Clone(made.children)
	return made
}

// survive applies to b what survives of the changes after the last sync.
func survive(b []byte, since []change, r *rand.Rand) []byte {
	if len(since) == 0 {
		return b
	}
	switch strategy(r.IntN(4)) {
	case none:
		return b
	case all:
		for _, c := range since {
			b = c.apply(b)
		}
		return b
	case prefix:
		last := r.IntN(len(since))
		for _, c := range since[:last] {
			b = c.apply(b)
		}
		return tear(b, since[last], r)
	}
	for _, c := range since {
		b = scatter(b, c, r)
	}
	return b
}

// tear applies the beginning of a write; what follows is missing, zero or, as
// where old blocks show through, rubbish.
func tear(b []byte, c change, r *rand.Rand) []byte {
	if c.truncate {
		return b
	}
	cut := r.IntN(len(c.data) + 1)
	switch r.IntN(3) {
	case 0:
		return change{off: c.off, data: c.data[:cut]}.apply(b)
	case 1:
		return change{off: c.off, data: append(bytes.Clone(c.data[:cut]), make([]byte, len(c.data)-cut)...)}.apply(b)
	}
	torn := bytes.Clone(c.data)
	for i := cut; i < len(torn); i++ {
		torn[i] = byte(r.Uint32())
	}
	return change{off: c.off, data: torn}.apply(b)
}

// scatter applies some sectors of a write, or a truncation perhaps.
func scatter(b []byte, c change, r *rand.Rand) []byte {
	if c.truncate {
		if r.IntN(2) == 0 {
			return b
		}
		return c.apply(b)
	}
	for start := 0; start < len(c.data); {
		end := min(len(c.data), start+sector-int(c.off+int64(start))%sector)
		if r.IntN(2) == 0 {
			b = change{off: c.off + int64(start), data: c.data[start:end]}.apply(b)
		}
		start = end
	}
	return b
}
