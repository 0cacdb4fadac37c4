package dap_test

import (
	"errors"
	"testing"

	"github.com/shoal-project/shoal/dap"
)

func TestCollectionChecks(t *testing.T) {
	interval := func(start dap.Time, n dap.Duration) []byte {
		return dap.IntervalQuery(dap.Interval{Start: start, Duration: n}).Config
	}
	id := batchID(1)
	query := func(m dap.BatchMode, b []byte) dap.CollectionJobReq {
		return dap.CollectionJobReq{Query: dap.Query{Mode: m, Config: b}}
	}
	good := query(dap.TimeIntervalMode, interval(10, 4))
	withParam, withExtension := good, good
	withParam.AggParam = []byte{0}
	withExtension.Extensions = []dap.Extension{{Type: 1}}
	tests := []struct {
		mode     dap.BatchMode
		job      dap.CollectionJobReq
		selector dap.BatchSelector
		want     dap.ProblemType
	}{
		{dap.TimeIntervalMode, good, dap.BatchSelector{Mode: 1, Config: interval(10, 4)}, ""},
		{dap.TimeIntervalMode, good, dap.BatchSelector{Mode: 1, Config: interval(11, 1)}, ""},
		{dap.TimeIntervalMode, good, dap.BatchSelector{Mode: 1, Config: interval(9, 4)}, dap.ProblemBatchInvalid},
		{dap.TimeIntervalMode, good, dap.BatchSelector{Mode: 1, Config: interval(11, 4)}, dap.ProblemBatchInvalid},
		{dap.TimeIntervalMode, good, dap.BatchSelector{Mode: 1, Config: interval(10, 0)}, dap.ProblemBatchInvalid},
		{dap.TimeIntervalMode, good, dap.BatchSelector{Mode: 1, Config: interval(11, 1<<64-1)}, dap.ProblemBatchInvalid},
		{dap.TimeIntervalMode, good, dap.BatchSelector{Mode: 1, Config: interval(10, 4)[1:]}, dap.ProblemInvalidMessage},
		{dap.TimeIntervalMode, good, dap.BatchIDSelector(id), dap.ProblemInvalidMessage},
		{dap.TimeIntervalMode, query(dap.TimeIntervalMode, interval(10, 0)), dap.BatchSelector{Mode: 1, Config: interval(10, 4)}, dap.ProblemBatchInvalid},
		{dap.TimeIntervalMode, query(dap.TimeIntervalMode, nil), dap.BatchSelector{Mode: 1, Config: interval(10, 4)}, dap.ProblemInvalidMessage},
		{dap.TimeIntervalMode, query(dap.LeaderSelectedMode, nil), dap.BatchSelector{Mode: 1, Config: interval(10, 4)}, dap.ProblemInvalidMessage},
		{dap.TimeIntervalMode, withParam, dap.BatchSelector{Mode: 1, Config: interval(10, 4)}, dap.ProblemInvalidAggregationParameter},
		{dap.TimeIntervalMode, withExtension, dap.BatchSelector{Mode: 1, Config: interval(10, 4)}, dap.ProblemUnsupportedExtension},
		{dap.LeaderSelectedMode, query(dap.LeaderSelectedMode, nil), dap.BatchIDSelector(id), ""},
		{dap.LeaderSelectedMode, query(dap.LeaderSelectedMode, id[:]), dap.BatchIDSelector(id), dap.ProblemInvalidMessage},
		{dap.LeaderSelectedMode, query(dap.LeaderSelectedMode, nil), dap.BatchSelector{Mode: 2, Config: id[1:]}, dap.ProblemInvalidMessage},
	}
	for i, tt := range tests {
		config := configuration()
		config.BatchMode = tt.mode
		err := newTask(t, dap.DAP18(), config).CheckSelector(&dap.AggregateShareReq{Job: tt.job, Selector: tt.selector})
		abort := dap.AbortOf(err)
		if tt.want == "" && err != nil || tt.want != "" && (abort == nil || abort.Type != tt.want) {
			t.Errorf("case %d: %v, want %s", i, err, tt.want)
		}
	}
}

func TestBatchChecks(t *testing.T) {
	w := newWorld(t, dap.DAP18(), dap.TimeIntervalMode)
	query, selector := dap.IntervalQuery(unit.Bucket()), dap.IntervalSelector(unit.Bucket())
	problem := func(want dap.ProblemType) {
		t.Helper()
		_, err := w.collect(t, query, selector)
		if abort := dap.AbortOf(err); abort == nil || abort.Type != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	problem(dap.ProblemInvalidBatchSize)
	w.aggregate(t, dap.BatchID{}, w.report(t, 1))
	problem(dap.ProblemInvalidBatchSize)
	w.aggregate(t, dap.BatchID{}, w.report(t, 1), w.report(t, 1))
	// The helper has another report in place of one: same count.
	total := w.helperLedger.totals[dap.Bucket{Unit: unit}]
	total.Checksum[0] ^= 1
	problem(dap.ProblemBatchMismatch)
	total.Checksum[0] ^= 1
	total.Count++
	problem(dap.ProblemBatchMismatch)
	total.Count--
	if got, err := w.collect(t, query, selector); err != nil || got[1] != 3 {
		t.Errorf("%v, %v", got, err)
	}
	// An answer with reports from outside of the query.
	job := dap.CollectionJobReq{Query: query}
	if _, err := w.task.OpenCollection(w.collector, w.collector, &job, &dap.CollectionJobResp{Interval: (unit + 1).Bucket()}); !errors.Is(err, dap.ErrMalformed) {
		t.Errorf("%v, want ErrMalformed", err)
	}
}
