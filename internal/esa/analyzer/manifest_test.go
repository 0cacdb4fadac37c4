package analyzer_test

import (
	"testing"

	"github.com/shoal-project/shoal/internal/esa/analyzer"
)

// TestTotal: the number is always within its interval, which holds what is known
// for certain: the rows released and the minimum of a batch.
func TestTotal(t *testing.T) {
	const within = 16
	for _, c := range []struct{ noised, released, minimum, total, low, high uint64 }{
		{250, 200, 100, 250, 234, 266},
		{241, 243, 100, 243, 243, 257}, // the noise carries it below the rows
		{220, 243, 100, 243, 243, 243}, // and farther than the interval reaches
		{101, 90, 100, 101, 100, 117},
		{92, 90, 100, 100, 100, 108},
		{7, 3, 0, 7, 3, 23},
	} {
		m := analyzer.Manifest{}
		m.Parameters.MinBatch = uint32(c.minimum)
		width := uint64(within)
		m.Shuffler = analyzer.ShufflerCounts{Reports: &c.noised, Within95: &width}
		m.Analyzer.Records = c.released
		total, low, high, told := m.Total()
		if !told || total != c.total || low != c.low || high != c.high {
			t.Errorf("%+v: got %d, from %d to %d, %v", c, total, low, high, told)
		}
	}
}
