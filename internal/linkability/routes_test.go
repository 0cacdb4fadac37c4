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
	every  int // days between records of a person; 0 is 1
	task   func(w *world) *task.Task
	record func(w *world, p *person)
}

// The metrics of the routes.
const (
	crowdName      = "crowd"
	credentialName = "credential"
	blindedName    = "blinded"
	hardenedName   = "hardened"
	sumName        = "sum"
	countedName    = "counted" // a sum with credentials
)

// credentialEpochs is how many epochs share a credential.
const credentialEpochs = 8

// routes are all ways of a report.
func routes() []route {
	return []route{crowd(), credentialed(), blinded(), hardened(), sum(), counted()}
}

// crowd is the crowd route: shuffler and analyzer.
func crowd() route { return crowdAs(crowdName, 0) }

// credentialed is the crowd route with credentials.
func credentialed() route { return crowdAs(credentialName, credentialEpochs) }

// frequent are credentials that are fetched every day, as often as they are used.
func frequent() route {
	r := crowdAs(credentialName, 1)
	r.every = 1
	return r
}

func crowdAs(name string, credentialEpochs uint32) route {
	return route{
		name: name, every: 2,
		task: func(w *world) *task.Task {
			t := sdktest.CrowdTask(name, w.owner.Public(), w.orgs["first"].party(w.t, task.Shuffler), w.orgs["second"].party(w.t, task.Analyzer))
			t.Threshold.T, t.MinBatch, t.PerEpoch, t.Protection.CredentialEpochs = 2, 2, 1, credentialEpochs
			w.span(t)
			return t
		},
		record: func(w *world, p *person) {
			w.recorded(p.client.Record(name, sdktest.Use(w.program(p), "files")))
		},
	}
}

// blinded is the crowd route over two shufflers with credentials, of which neither can
// name a crowd.
func blinded() route {
	r := crowdAs(blindedName, credentialEpochs)
	of := r.task
	r.task = func(w *world) *task.Task {
		t := of(w)
		t.Hops = []task.Party{t.Hops[0], w.orgs["third"].party(w.t, task.Shuffler), t.Hops[1]}
		t.Protection.Blinded = true
		return t
	}
	return r
}

// hardened is the crowd route with a hardened quorum. Its epochs are of two days, since
// an evaluation costs as much as 50 reports.
func hardened() route {
	return route{
		name: hardenedName, every: 2,
		task: func(w *world) *task.Task {
			t := crowdAs(hardenedName, credentialEpochs).task(w)
			t.Schema = task.Schema{{Name: "program", Kind: task.String, Max: 32}}
			t.Crowd = task.CrowdRule{Kind: task.Payload, SaltEpochs: 1}
			t.Encoding = task.Encoding{Kind: task.Quorum, Shares: quorumShares}
			t.Threshold.T, t.PayloadSize, t.PerEpoch = quorumShares, 256, 3
			w.twice(t)
			t.Protection.Randomness, t.Protection.Evaluations = w.orgs["third"].party(w.t, task.Randomness), 1
			return t
		},
		record: func(w *world, p *person) {
			w.recorded(p.client.Record(hardenedName, map[string]any{"program": w.program(p)}))
		},
	}
}

const quorumShares = 3

// program is what a person uses: every other time it is the favourite.
func (w *world) program(p *person) string {
	if w.random.IntN(2) == 0 {
		return programs[w.random.IntN(len(programs))]
	}
	return programs[p.favourite]
}

// recorded counts what is not kept: around midnight a device whose clock is off records in
// the epoch before or after, whose cap may be reached.
func (w *world) recorded(o shoal.Outcome) {
	w.records++
	if !o.Queued() {
		w.unkept++
	}
}

// sum is the aggregate route: leader and helper.
func sum() route { return sumAs(sumName, 0) }

// counted is the aggregate route with credentials of leader and helper.
func counted() route { return sumAs(countedName, credentialEpochs) }

func sumAs(name string, credentialEpochs uint32) route {
	return route{
		name: name,
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
				Protection: task.Protection{CredentialEpochs: credentialEpochs},
			}
			w.span(t)
			w.twice(t)
			return t
		},
		record: func(w *world, p *person) {
			w.recorded(p.client.Count(name))
		},
	}
}

// span makes a task last for the whole trial.
func (w *world) span(t *task.Task) {
	t.NotBefore, t.Expires = w.begins.Truncate(day).Add(-2*day).Unix(), w.begins.Truncate(day).Add(40*day).Unix()
	if w.plan.wall {
		t.EpochSeconds, t.MaxDelay, t.ClockSkew = 60, 60, 10
	}
}

// twice makes the epochs of a task twice as long.
func (w *world) twice(t *task.Task) {
	t.EpochSeconds *= 2
	t.NotBefore = t.NotBefore / int64(t.EpochSeconds) * int64(t.EpochSeconds)
	t.Expires = t.Expires / int64(t.EpochSeconds) * int64(t.EpochSeconds)
}
