package shuffler

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/engine/local"
)

// A crowd that loses more reports than are remembered of it loses those with the
// smallest keys all the same, and its neighbours lose none.
func TestManyDropped(t *testing.T) {
	const lost, kept = firstMost + 1000, 2000
	naive, err := dp.NewNaive(lost + 1)
	if err != nil {
		t.Fatal(err)
	}
	drop, err := dp.NewNoisyDrop(1, lost, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		rule  dp.Threshold
		sizes []int
		want  []int
	}{
		{"suppressed", naive, []int{lost, lost + 1, 3}, []int{0, lost + 1, 0}},
		{"dropped", drop, []int{lost + kept, 3, lost + 1}, []int{kept, 0, 1}},
	} {
		var reports [][]byte
		for crowd, size := range c.sizes {
			for i := range size {
				report := make([]byte, 17+testNext)
				report[1] = byte(crowd)
				binary.BigEndian.PutUint32(report[17:], uint32(i))
				reports = append(reports, report)
			}
		}
		e, err := local.New(t.TempDir(), local.Options{MemoryBytes: 64 << 20})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		st := &stage{engine: e, name: "test", workers: 2, open: openTest, nextSize: testNext, seed: seedOf(1), threshold: c.rule}
		made, err := st.run(t.Context(), each(reports))
		if err != nil {
			t.Fatal(err)
		}
		have := make([]int, len(c.sizes))
		o, _ := newOrder(st.seed)
		keys := map[byte][][]byte{} // of those that went on
		for _, row := range rowsOf(t, st, made) {
			have[row[0]]++
			k := keyOf(o, slices.Concat([]byte{0}, row))
			keys[row[0]] = append(keys[row[0]], k[:])
		}
		if !slices.Equal(have, c.want) {
			t.Errorf("%s: crowds of %v have %v records, want %v", c.name, c.sizes, have, c.want)
		}
		// Of each crowd those with the largest keys go on.
		all := map[byte][][]byte{}
		for _, report := range reports {
			k := keyOf(o, report)
			all[report[1]] = append(all[report[1]], k[:])
		}
		for crowd, went := range keys {
			slices.SortFunc(went, bytes.Compare)
			slices.SortFunc(all[crowd], bytes.Compare)
			if !slices.EqualFunc(went, all[crowd][len(all[crowd])-len(went):], bytes.Equal) {
				t.Errorf("%s: a report of crowd %d went on instead of one with a larger key", c.name, crowd)
			}
		}
	}
}

// A stage in little memory gives, row for row, what one in much memory gives.
func TestStageSpills(t *testing.T) {
	var reports [][]byte
	for i := range 20_000 {
		report := make([]byte, 17+testNext)
		report[1] = byte(i * i % 251 % 7) // few crowds, most of the reports in one
		binary.BigEndian.PutUint32(report[17:], uint32(i%19_900))
		reports = append(reports, report)
	}
	drop, err := dp.NewNoisyDrop(5, 6, 2000)
	if err != nil {
		t.Fatal(err)
	}
	var want [][]byte
	for _, memory := range []int64{64 << 20, 4 << 20, 1 << 20, local.MinMemory} {
		e, err := local.New(t.TempDir(), local.Options{MemoryBytes: memory, Workers: 2})
		if err != nil {
			t.Fatal(err)
		}
		st := &stage{engine: e, name: "test", workers: 2, open: openTest, nextSize: testNext, seed: seedOf(1), threshold: drop}
		made, err := st.run(t.Context(), each(reports))
		if err != nil {
			t.Fatal(err)
		}
		rows := rowsOf(t, st, made)
		if want == nil {
			want = rows
		}
		if len(rows) == 0 || !slices.EqualFunc(rows, want, bytes.Equal) {
			t.Errorf("%d bytes of memory: %d rows, want the same as with more memory, %d", memory, len(rows), len(want))
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
