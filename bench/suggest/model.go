package suggest

// A model predicts the next view from two: by counts of three views in a row, of two, and of one, the longest
// that has been seen often enough (back-off).
type model struct {
	one   [Items]int
	two   map[uint32]map[uint16]int // by the last view
	three map[uint32]map[uint16]int // by the last two
	best  map[uint32]uint16         // of contexts, once all was added
	top   uint16
}

// enough is how often the best continuation of a context must have been seen to be preferred to that of
// a shorter one.
const enough = 4

func newModel() *model {
	return &model{two: map[uint32]map[uint16]int{}, three: map[uint32]map[uint16]int{}}
}

// add adds views in a row.
func (m *model) add(views []uint16) {
	for i, v := range views {
		m.one[v]++
		if i >= 1 {
			count(m.two, uint32(views[i-1]), v)
		}
		if i >= 2 {
			count(m.three, pair(views[i-2], views[i-1]), v)
		}
	}
}

func pair(a, b uint16) uint32 { return uint32(a+1)<<16 | uint32(b) }

func count(of map[uint32]map[uint16]int, context uint32, v uint16) {
	if of[context] == nil {
		of[context] = map[uint16]int{}
	}
	of[context][v]++
}

// fit chooses the best continuations.
func (m *model) fit() {
	m.best = map[uint32]uint16{}
	for _, counts := range []map[uint32]map[uint16]int{m.two, m.three} {
		for context, next := range counts {
			most := enough - 1
			for v, n := range next {
				if n > most || n == most && most >= enough && v < m.best[context] {
					most, m.best[context] = n, v
				}
			}
		}
	}
	for v, n := range m.one {
		if n > m.one[m.top] {
			m.top = uint16(v)
		}
	}
}

// predict returns the view that most likely follows two.
func (m *model) predict(a, b uint16) uint16 {
	if v, ok := m.best[pair(a, b)]; ok {
		return v
	}
	if v, ok := m.best[uint32(b)]; ok {
		return v
	}
	return m.top
}

// accuracy returns the shares of predictions that are right, of the model and of the most popular item, for
// the last views of histories that no model has seen.
func (m *model) accuracy(c *chain) (right, popular float64) {
	const tests = 60_000
	for n := range tests {
		h := c.history(Histories + n)
		last := h[len(h)-1]
		if m.predict(h[len(h)-3], h[len(h)-2]) == last {
			right++
		}
		if m.top == last {
			popular++
		}
	}
	return right / tests, popular / tests
}
