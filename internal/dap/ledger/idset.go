package ledger

import (
	"hash/maphash"
	"math/bits"

	"github.com/shoal-project/shoal/dap"
)

// An idSet is a set of report IDs in one array without pointers: an open hash
// table with linear probing, filled to between 68 and 85 percent, that is 19 to
// 24 bytes an ID. Clients choose the IDs, so the hash has a secret seed.
type idSet struct {
	seed    maphash.Seed
	slots   []dap.ReportID // the zero ID is an empty slot
	n       int            // in slots
	hasZero bool
}

const leastSlots = 64

func newIDSet() idSet { return idSet{seed: maphash.MakeSeed()} }

// len returns how many IDs there are.
func (s *idSet) len() int {
	if s.hasZero {
		return s.n + 1
	}
	return s.n
}

// size returns the bytes of memory.
func (s *idSet) size() int64 { return int64(len(s.slots) * IDSize) }

// slot returns where an ID is or would be.
func (s *idSet) slot(id dap.ReportID) int {
	hi, _ := bits.Mul64(maphash.Comparable(s.seed, id), uint64(len(s.slots)))
	at := int(hi)
	for s.slots[at] != id && s.slots[at] != (dap.ReportID{}) {
		if at++; at == len(s.slots) {
			at = 0
		}
	}
	return at
}

func (s *idSet) has(id dap.ReportID) bool {
	if id == (dap.ReportID{}) {
		return s.hasZero
	}
	return s.n > 0 && s.slots[s.slot(id)] == id
}

// add adds an ID if it is not there.
func (s *idSet) add(id dap.ReportID) {
	if id == (dap.ReportID{}) {
		s.hasZero = true
		return
	}
	if (s.n+1)*20 > len(s.slots)*17 {
		s.grow()
	}
	if at := s.slot(id); s.slots[at] != id {
		s.slots[at] = id
		s.n++
	}
}

// each calls do for each ID.
func (s *idSet) each(do func(dap.ReportID)) {
	if s.hasZero {
		do(dap.ReportID{})
	}
	for _, id := range s.slots {
		if id != (dap.ReportID{}) {
			do(id)
		}
	}
}

func (s *idSet) grow() {
	old := s.slots
	s.slots = make([]dap.ReportID, max(leastSlots, len(old)+len(old)/4))
	for _, id := range old {
		if id != (dap.ReportID{}) {
			s.slots[s.slot(id)] = id
		}
	}
}
