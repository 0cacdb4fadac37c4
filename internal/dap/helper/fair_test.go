package helper

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
)

// A leader that has 150 requests at a time, each sent again when it is refused,
// takes nothing from one that has five.
func TestFloodOfOneLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{clock: clock.NewVirtual(time.Unix(0, 0)), slots: 4, depth: 64, age: 15 * time.Second}
		type grant struct {
			peer  string
			leave func()
		}
		grants := make(chan grant, 1000)
		refused := map[string]int{}
		type refusal struct{ peer string }
		refusals := make(chan refusal, 1000)
		send := func(peer string) {
			go func() {
				leave, err := q.enter(t.Context(), peer)
				if err != nil {
					refusals <- refusal{peer}
					return
				}
				grants <- grant{peer, leave}
			}()
			synctest.Wait()
		}
		for range 150 {
			send("flood")
		}
		for range 5 {
			send("other")
		}
		served := map[string]int{}
		for range 40 { // a job ends, and its sender has the next one
			g := <-grants
			served[g.peer]++
			g.leave()
			synctest.Wait()
			send(g.peer)
			for len(refusals) > 0 {
				r := <-refusals
				refused[r.peer]++
				send(r.peer)
				if refused["flood"] > 2000 {
					break
				}
			}
		}
		if refused["other"] > 0 {
			t.Errorf("%d requests of the leader without a flood are refused", refused["other"])
		}
		if served["other"] < 15 {
			t.Errorf("the flood has %d jobs, the other leader %d: want about as many", served["flood"], served["other"])
		}
		for len(grants) > 0 {
			g := <-grants
			g.leave()
			synctest.Wait()
		}
		if running, waiting := q.lengths(); running != 0 || waiting != 0 || len(q.peers) != 0 {
			t.Errorf("in the end %d run, %d wait, %d peers are remembered", running, waiting, len(q.peers))
		}
	})
}

// Jobs that are handled later take turns by leader, and one leader does not fill
// the room for all.
func TestPendingTakesTurns(t *testing.T) {
	p := newPending(100)
	key := func(i int) JobKey { return JobKey{ID: dap.AggregationJobID{byte(i)}} }
	n := 0
	for ; p.room("flood"); n++ {
		p.add(key(n), "flood")
	}
	if n != 50 {
		t.Errorf("one leader has room for %d of 100 jobs, want 50", n)
	}
	p.add(key(200), "other")
	p.add(key(201), "other")
	p.add(key(201), "other") // known
	var order string
	for range 6 {
		k, err := p.next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		order += fmt.Sprint(k.ID[0], " ")
		p.done(k)
	}
	if order != "0 200 1 201 2 3 " {
		t.Errorf("handled in the order %s", order)
	}
	p.done(key(10)) // handled elsewhere
	if p.len() != n+2-6-1 {
		t.Errorf("%d jobs are pending", p.len())
	}
}
