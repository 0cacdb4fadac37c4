package shuffler_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/metric/task"
)

// TestDetailOfFewIsReduced: of a crowd with fewer detailed records than the threshold no
// detail is published, and its records are, in plain form; also over blinded crowds.
func TestDetailOfFewIsReduced(t *testing.T) {
	detail := func(t *task.Task) {
		t.Schema = append(t.Schema, task.Field{Name: "vivid", Kind: task.Bool})
		t.Protection.Detail = []uint8{2}
	}
	hidden := newChain2With(t, func(t *task.Task) { detail(t); blinded(t) })
	open := newChain(t, detail)
	for name, w := range map[string]pairWorld{
		"tags":    {open.World, open, open.finish, nil},
		"blinded": {hidden.World, hidden.chain, hidden.settle, nil},
	} {
		n := int64(0)
		for _, crowd := range []struct {
			word            string
			plain, detailed int
		}{{"many", 2, 3}, {"few", 3, 2}, {"none", 4, 0}, {"small", 1, 1}} {
			for i := range crowd.plain + crowd.detailed {
				rec := task.Record{crowd.word, n, nil}
				if i >= crowd.plain {
					rec[2] = true
				}
				if status := w.Post(t, w.ReportOf(t, w.Epoch(0), rec)); status != 201 {
					t.Fatalf("report was answered %d", status)
				}
				n++
			}
		}
		w.chain.closeEpoch(0)
		w.settle(t)
		have := map[string]int{}
		entries, err := w.chain.a.Tables().Entries(t.Context())
		must(t, err)
		for row, err := range w.chain.a.Tables().Rows(entries[0], analyzer.RecordsTable) {
			must(t, err)
			have[fmt.Sprint(row[1], " ", row[3])]++
		}
		want := map[string]int{"many <nil>": 2, "many true": 3, "few <nil>": 5, "none <nil>": 4}
		if fmt.Sprint(have) != fmt.Sprint(want) {
			t.Errorf("%s: released %v, want %v", name, have, want)
		}
		var shown []string
		for row, err := range w.chain.a.Tables().Rows(entries[0], analyzer.ValuesTable) {
			must(t, err)
			shown = append(shown, fmt.Sprint(row[1], row[4], row[5])) // answers and those that show it
		}
		if slices.Sort(shown); !slices.Equal(shown, []string{"few0 0", "many3 3", "none0 0"}) {
			t.Errorf("%s: values %v", name, shown)
		}
	}
}
