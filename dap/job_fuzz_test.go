package dap_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/shoal-project/shoal/dap"
)

// FuzzHelperInit: whatever a leader sends, the helper answers every report or
// fails the job, and commits only what it admitted.
func FuzzHelperInit(f *testing.F) {
	w := newWorld(f, dap.DAP18(), dap.TimeIntervalMode)
	_, req, err := w.leader.LeaderInit(4, dap.BatchID{}, []dap.Report{w.report(f, 1), w.report(f, 2)}, w.now, w.leaderRing)
	if err != nil {
		f.Fatal(err)
	}
	whole := mustEncode(f, dap.DAP18(), req)
	f.Add(uint16(0), byte(0), uint16(0))
	f.Add(uint16(7), byte(1), uint16(9))
	f.Add(uint16(len(whole)-1), byte(0x80), uint16(0))
	f.Fuzz(func(t *testing.T, at uint16, x byte, cut uint16) {
		b := slices.Clone(whole)
		b[int(at)%len(b)] ^= x
		b = b[:len(b)-int(cut)%len(b)]
		var got dap.AggregationJobInitReq
		if w.task.Codec().Decode(&got, b) != nil {
			return
		}
		job, err := w.helper.HelperInit(&got, w.now, w.helperRing)
		if err != nil {
			if dap.AbortOf(err) == nil {
				t.Fatalf("%v is no problem document", err)
			}
			return
		}
		resp, err := job.Response(newLedger().commit(t, &job.Outcome))
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range resp.VerifyResps {
			if r.ID != got.VerifyInits[i].Share.Metadata.ID {
				t.Fatalf("answer %d is for another report", i)
			}
			if touched := !equal(mustEncode(t, dap.DAP18(), &got.VerifyInits[i].Share), mustEncode(t, dap.DAP18(), &req.VerifyInits[i].Share)); touched && r.Type != dap.RespReject {
				t.Fatalf("report %d was changed and is accepted", i)
			}
		}
		mustEncode(t, dap.DAP18(), resp)
	})
}

// FuzzLeaderJob: whatever is in the storage or comes from a helper, the leader
// accepts it, refuses it or abandons the job.
func FuzzLeaderJob(f *testing.F) {
	w := newWorld(f, dap.DAP18(), dap.TimeIntervalMode)
	job, req, err := w.leader.LeaderInit(4, dap.BatchID{}, []dap.Report{w.report(f, 1)}, w.now, w.leaderRing)
	if err != nil {
		f.Fatal(err)
	}
	stored, err := job.MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	resp := mustEncode(f, dap.DAP18(), w.help(f, req))
	f.Add(stored, resp)
	f.Add(stored[:34], []byte{})
	f.Add(stored, resp[:16])
	f.Fuzz(func(t *testing.T, stored, b []byte) {
		job, err := w.leader.ParseLeaderJob(stored)
		if err != nil {
			return
		}
		if again, err := job.MarshalBinary(); err != nil || !equal(again, stored) {
			t.Fatalf("%x is a job, stored as %x (%v)", stored, again, err)
		}
		var got dap.AggregationJobResp
		if w.task.Codec().Decode(&got, b) != nil {
			return
		}
		result, err := w.leader.LeaderFinish(job, &got)
		if err != nil {
			if !errors.Is(err, dap.ErrAbandon) {
				t.Fatal(err)
			}
			return
		}
		if len(result.Candidates())+len(result.Rejected) != len(got.VerifyResps) {
			t.Fatal("a report is lost")
		}
	})
}
