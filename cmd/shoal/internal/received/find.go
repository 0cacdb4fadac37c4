package received

import "encoding/binary"

// least is the shortest byte string that is searched for.
const least = 8

const filterBits = 1 << 22

// A finder finds byte strings of at least 8 bytes in long ones. It is read-only and safe
// for concurrent use.
type finder struct {
	strings [][]byte
	by      map[uint64][]int // by the first 8 bytes
	filter  []uint64         // of hashes of the same
}

// newFinder leaves out what is shorter than 8 bytes.
func newFinder(strings [][]byte) *finder {
	f := &finder{strings: strings, by: map[uint64][]int{}, filter: make([]uint64, filterBits/64)}
	for i, s := range strings {
		if len(s) < least {
			continue
		}
		head := binary.LittleEndian.Uint64(s)
		f.by[head] = append(f.by[head], i)
		h := hash(head)
		f.filter[h/64] |= 1 << (h % 64)
	}
	return f
}

func hash(head uint64) uint64 { return head * 0x9e3779b97f4a7c15 >> 42 }

// find calls hit with the index of each string that begins somewhere in b, and with where.
func (f *finder) find(b []byte, hit func(i, at int)) {
	for at := 0; at+least <= len(b); at++ {
		head := binary.LittleEndian.Uint64(b[at:])
		h := hash(head)
		if f.filter[h/64]>>(h%64)&1 == 0 {
			continue
		}
		for _, i := range f.by[head] {
			if s := f.strings[i]; len(s) <= len(b)-at && string(b[at:at+len(s)]) == string(s) {
				hit(i, at)
			}
		}
	}
}

// findApart is find for the longest string at each place that is not inside of one found
// before: what is part of a longer one is not found.
func (f *finder) findApart(b []byte, hit func(i int)) {
	best, begin, end := -1, 0, 0
	settle := func() {
		if best >= 0 {
			hit(best)
			best = -1
		}
	}
	f.find(b, func(i, at int) {
		n := len(f.strings[i])
		switch {
		case best >= 0 && at == begin:
			if n > len(f.strings[best]) {
				best, end = i, at+n
			}
		case at >= end:
			settle()
			best, begin, end = i, at, at+n
		}
	})
	settle()
}
