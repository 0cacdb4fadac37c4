package helper_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/shoal-project/shoal/dap"
)

// A whole task, in each variant and batch mode: jobs, a batch, the result.
func TestRoundTrip(t *testing.T) {
	for _, v := range variants() {
		for _, mode := range []dap.BatchMode{dap.TimeIntervalMode, dap.LeaderSelectedMode} {
			t.Run(fmt.Sprintf("%v/%v", v, mode), func(t *testing.T) {
				w := newWorld(t, v, mode)
				batch := dap.BatchID{5}
				query, selector := hour(unit)
				if mode == dap.LeaderSelectedMode {
					query, selector = dap.NextBatchQuery(), dap.BatchIDSelector(batch)
				}
				one := w.aggregate(1, batch, w.report(3), w.report(3), w.report(0))
				two := w.aggregate(2, batch, w.report(9))
				req, mine := w.shareReq(query, selector, one, two)
				a := w.createShare(1, w.encode(req))
				if got, want := w.unshard(a, req, mine), []uint64{1, 0, 0, 2, 0, 0, 0, 0, 0, 1}; !slices.Equal(got, want) {
					t.Errorf("result %v, want %v", got, want)
				}
				if len(w.errs) > 0 {
					t.Error(w.errs)
				}
			})
		}
	}
}
