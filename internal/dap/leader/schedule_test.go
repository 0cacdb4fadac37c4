package leader_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
)

// A schedule is a machine on which anything happens in any order.
type schedule struct {
	*machine
	query   dap.Query
	sent    []dap.Report
	known   []bool // acknowledged, by report; a replay counts
	ends    time.Time
	refuses bool
}

// step does one thing.
func (s *schedule) step(t *testing.T, op byte) {
	arg := int(op / 12)
	switch op % 12 {
	case 0, 1, 2:
		if len(s.sent) == buckets {
			return
		}
		s.sent = append(s.sent, s.report(t, len(s.sent), 0))
		s.known = append(s.known, false)
		s.send(t, len(s.sent)-1)
	case 3:
		if len(s.sent) > 0 {
			s.send(t, arg%len(s.sent))
		}
	case 4, 5:
		s.leader.Tick(t.Context()) // its errors are those that the schedule makes
	case 6:
		if to := s.clock.Now().Add(time.Duration(arg) * time.Minute); to.Before(s.ends) {
			s.clock.Set(to)
		}
	case 7:
		if s.disk.Crashed() || s.model.Crashed() {
			return
		}
		s.leader.Close()
		if before := s.leader; s.start() != nil { // it has crashed while starting
			s.leader = before
		}
	case 8:
		s.helper.lose += arg % 4
	case 9:
		s.helper.async = !s.helper.async
	case 10:
		if arg%2 == 0 {
			s.model.CrashAt(1+arg/4, arg%4 == 2)
		} else {
			s.disk.CrashAt(1 + arg/2)
		}
	case 11:
		s.refuses = !s.refuses
		s.ask(t, dap.CollectionJobReq{Query: s.query}, dap.CollectionJobID{})
	}
	s.repair(t)
}

func (s *schedule) send(t *testing.T, i int) {
	if s.post(t, s.sent[i]).Code == 200 {
		s.known[i] = true
	}
}

// Whatever happens in whatever order, in the end each report that was acknowledged
// is counted once, and none twice.
func FuzzSchedule(f *testing.F) {
	f.Add([]byte{0, 1, 2, 4, 4})
	f.Add([]byte{0, 10, 1, 0, 4, 22, 1, 4, 70, 7, 4, 3, 15, 4})
	f.Add([]byte{9, 0, 0, 0, 0, 4, 66, 4, 9, 8, 20, 4, 7, 4, 11, 4, 130, 4, 11})
	f.Add([]byte{0, 0, 0, 34, 0, 0, 4, 58, 4, 106, 0, 4, 82, 3, 27, 51, 4, 11, 4, 11, 6, 4})
	f.Fuzz(func(t *testing.T, ops []byte) {
		s := &schedule{machine: newMachine(t, uint64(len(ops)), nil)}
		s.query = s.unit(t, 3)
		s.ends = s.clock.Now().Add(3*precision - time.Second)
		s.helper.refuse = func(*http.Request) *http.Response {
			if s.refuses {
				return respond(503, "", nil)
			}
			return nil
		}
		for _, op := range ops[:min(len(ops), 60)] {
			s.step(t, op)
		}
		s.settle(t)
	})
}

// settle heals everything, collects, and checks the result.
func (s *schedule) settle(t *testing.T) {
	s.refuses, s.helper.lose = false, 0
	s.leader.Close()
	s.use(s.disk.Restart(), s.model.Restart())
	must(t, s.start())
	s.clock.Set(s.ends.Add(time.Hour))
	at := s.collect(t, s.query)
	var got []uint64
	for n := 0; got == nil && n < 40; n++ {
		s.tickAlong(t, 1, 5*time.Minute)
		got = s.result(t, at, s.query)
	}
	acknowledged := 0
	for i, known := range s.known {
		if known {
			acknowledged++
		}
		if got != nil && (got[i] > 1 || known && got[i] != 1) {
			t.Fatalf("report %d (acknowledged: %v) is counted %d times: %v", i, known, got[i], got)
		}
	}
	if got == nil && acknowledged >= 3 {
		t.Fatalf("no result of %d reports", acknowledged)
	}
	if n := total(got); n > uint64(len(s.sent)) {
		t.Fatalf("%d of %d reports are counted", n, len(s.sent))
	}
}
