package linkability_test

import (
	"github.com/shoal-project/shoal"
	"github.com/shoal-project/shoal/internal/sdktest"
	"github.com/shoal-project/shoal/internal/server"
	"github.com/shoal-project/shoal/metric/kind"
	"github.com/shoal-project/shoal/metric/task"
)

// A route is a question that is sent one way: its name is the metric's.
type route struct {
	name   string
	daily  int // records of a person and day
	task   func(w *world) *task.Task
	record func(w *world, p *person)
}

// crowd is the crowd route: shuffler and analyzer.
func crowd() route { return crowdAs("crowd", 0) }

// credentialed is the crowd route with a credential for each two epochs.
func credentialed() route { return crowdAs("credential", 2) }

func crowdAs(name string, credentialEpochs uint32) route {
	return route{
		name: name, daily: 1,
		task: func(w *world) *task.Task {
			t := sdktest.CrowdTask(name, w.owner.Public(), w.orgs["first"].party(w.t, task.Shuffler), w.orgs["second"].party(w.t, task.Analyzer))
			t.Threshold.T, t.MinBatch, t.PerEpoch, t.Protection.CredentialEpochs = 2, 2, 1, credentialEpochs
			w.span(t)
			return t
		},
		record: func(w *world, p *person) {
			// Every other record is of the favourite.
			program := programs[p.favourite]
			if w.random.IntN(2) == 0 {
				program = programs[w.random.IntN(len(programs))]
			}
			w.recorded(p.client.Record(name, sdktest.Use(program, "files")))
		},
	}
}

// recorded counts what is not kept: around midnight a device whose clock is off records in
// the epoch before or after, whose cap may be reached.
func (w *world) recorded(o shoal.Outcome) {
	w.records++
	if !o.Queued() {
		w.unkept++
	}
}

// aggregate is the aggregate route: leader and helper.
func aggregate() route {
	return route{
		name: "aggregate", daily: 1,
		task: func(w *world) *task.Task {
			g, err := task.WithChunk(task.Aggregation{Kind: kind.Count{Max: 1}, Variant: "dap-18", Presence: kind.Hidden})
			must(w.t, err)
			card, _, err := server.Card(w.config("first"), w.clock.Now())
			must(w.t, err)
			collector, err := task.ParsePublic(card.Collector)
			must(w.t, err)
			t := &task.Task{
				Owner: w.owner.Public(), OwnedBy: "Example", Question: "How many?", Consent: "That you did.", Method: task.Aggregate, Aggregation: g,
				MinBatch: 20, EpochSeconds: 86400, MaxDelay: 43200, ClockSkew: 3600, RetentionDays: 30,
				Hops: []task.Party{
					w.orgs["first"].party(w.t, task.Leader), w.orgs["second"].party(w.t, task.Helper), {Role: task.Collector, Identity: collector},
				},
			}
			w.span(t)
			return t
		},
		record: func(w *world, p *person) {
			w.recorded(p.client.Count("aggregate"))
		},
	}
}

// span makes a task last for the whole trial.
func (w *world) span(t *task.Task) {
	t.NotBefore, t.Expires = w.begins.Truncate(day).Add(-day).Unix(), w.begins.Truncate(day).Add(40*day).Unix()
	if w.plan.wall {
		t.EpochSeconds, t.MaxDelay, t.ClockSkew = 60, 60, 10
	}
}
