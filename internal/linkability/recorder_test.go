package linkability_test

import (
	"cmp"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/dap/taskconfig"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/linkability"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/ohttp"
)

// A recorder makes events of what the servers got. It has the private keys of all
// parties, and knows whose message each is, which views do not.
type recorder struct {
	w *world

	mu       sync.Mutex
	pending  []*exchange // until the next refresh of keys
	people   map[[32]byte]int
	gateways map[string]map[string]*ohttp.PrivateKey // by address and text
	layers   map[string]map[string]*esa.PrivateKey   // of shufflers and analyzers, by organisation and text
	openers  map[opens]*esa.Opener
	shares   map[task.Role]map[string]*dapkey.PrivateKey // of leader and helper, by text
	tasks    map[task.ID]*task.Task
	sums     map[dap.TaskID]*summed
	sharesAt time.Time                       // when the keys in shares were read
	reports  map[string]uint64               // by the name of a request
	rows     map[[32]byte]*letter            // by the inner layer, or the report's ID
	sent     map[[32]byte]*linkability.Event // what the relay got, by the body
	links    map[*linkability.Event]uint64   // the relay's connection to the gateway for each

	client        []*linkability.Event
	letters       []*letter            // in the order of arrival
	handed        []*linkability.Event // to the second of two shufflers
	batches, jobs []*linkability.Event
	quorums       map[quorumOf][]shared // of hardened tasks, until they are read
	sealed        map[*linkability.Event][]byte
	issued        map[string][]*linkability.Event // requests for credentials, by organisation
}

// opens is what an opener opens: the layers for one hop of a task.
type opens struct {
	task task.ID
	hop  int
}

// A summed is a task of the aggregate route as leader and helper have it.
type summed struct {
	name string
	task *dap.Task
}

// A letter is one report as the gateway and the role behind it have it.
type letter struct {
	org    string
	person int
	report uint64
	events []*linkability.Event // one for each time it was sent
}

func newRecorder(w *world) *recorder {
	return &recorder{
		w: w, people: map[[32]byte]int{}, gateways: map[string]map[string]*ohttp.PrivateKey{}, layers: map[string]map[string]*esa.PrivateKey{},
		openers: map[opens]*esa.Opener{}, shares: map[task.Role]map[string]*dapkey.PrivateKey{}, tasks: map[task.ID]*task.Task{}, sums: map[dap.TaskID]*summed{},
		reports: map[string]uint64{}, rows: map[[32]byte]*letter{}, sent: map[[32]byte]*linkability.Event{}, links: map[*linkability.Event]uint64{},
		quorums: map[quorumOf][]shared{}, sealed: map[*linkability.Event][]byte{}, issued: map[string][]*linkability.Event{},
	}
}

// take is called with each exchange.
func (r *recorder) take(e *exchange) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range r.w.orgs {
		if o.address == e.server {
			r.pending = append(r.pending, e)
		}
	}
}

// open reads the parties' keys for the first time.
func (r *recorder) open() {
	for _, t := range r.w.tasks {
		id, err := t.ID()
		must(r.w.t, err)
		r.tasks[id] = t
		if t.Method == task.Aggregate {
			made, err := taskconfig.New(t, id)
			must(r.w.t, err)
			r.sums[made.ID()] = &summed{t.Metric, made}
		}
	}
	r.refresh()
}

// keyLines returns the first word of each line of a file of keys.
func (r *recorder) keyLines(o *org, role task.Role) []string {
	b, err := os.ReadFile(filepath.Join(o.dir, "keys", role.String()+".keys"))
	must(r.w.t, err)
	var lines []string
	for line := range strings.Lines(string(b)) {
		if word, _, _ := strings.Cut(strings.TrimSpace(line), " "); word != "" && word[0] != '#' {
			lines = append(lines, word)
		}
	}
	return lines
}

// extraKey is one by which requests to an organisation are sealed, that is not in its file.
func (r *recorder) extraKey(name string, key *ohttp.PrivateKey) {
	r.gateways[r.w.orgs[name].address][string(key.Config().PublicKey)] = key
}

// refresh takes the keys that there are now, and reads what was recorded up to now.
func (r *recorder) refresh() {
	t := r.w.t
	for name, role := range map[string]task.Role{"first": task.Shuffler, "second": task.Analyzer, "third": task.Shuffler} {
		o := r.w.orgs[name]
		if r.gateways[o.address] == nil {
			r.gateways[o.address], r.layers[name] = map[string]*ohttp.PrivateKey{}, map[string]*esa.PrivateKey{}
		}
		for _, line := range r.keyLines(o, task.Gateway) {
			key, err := ohttp.ParsePrivateKey(line)
			must(t, err)
			r.gateways[o.address][line] = key
		}
		for _, line := range r.keyLines(o, role) {
			key, err := esa.ParsePrivateKey(line)
			must(t, err)
			r.layers[name][line] = key
		}
	}
	for id, tk := range r.tasks {
		for hop, p := range tk.Hops {
			if tk.Method == task.Crowd {
				r.opener(id, tk, hop, p)
			}
		}
	}
	r.refreshShares()
	r.mu.Lock()
	pending := r.pending
	r.pending = nil
	r.mu.Unlock()
	// A request that the relay forwards is read after that of the client.
	slices.SortFunc(pending, func(a, b *exchange) int { return cmp.Compare(a.order, b.order) })
	for _, e := range pending {
		r.read(e)
	}
}

// opener makes what opens the layers of a task for a hop, with all keys that there were.
func (r *recorder) opener(id task.ID, t *task.Task, hop int, p task.Party) {
	for name, o := range r.w.orgs {
		if p.URL != o.url() {
			continue
		}
		var err error
		r.openers[opens{id, hop}], err = esa.NewOpener(t, id, hop, slices.Collect(maps.Values(r.layers[name]))...)
		must(r.w.t, err)
	}
}

// orgOf returns the name of the organisation at an address.
func (r *recorder) orgOf(address string) string {
	for name, o := range r.w.orgs {
		if o.address == address {
			return name
		}
	}
	return ""
}

// refreshShares takes the keys of leader and helper from their stores, once a day.
func (r *recorder) refreshShares() {
	if r.w.sumless() || !r.w.clock.Now().After(r.sharesAt.Add(day)) && !r.w.plan.wall {
		return
	}
	r.sharesAt = r.w.clock.Now()
	for name, role := range map[string]task.Role{"first": task.Leader, "second": task.Helper} {
		if r.shares[role] == nil {
			r.shares[role] = map[string]*dapkey.PrivateKey{}
		}
		for _, key := range sharesKeys(r.w, r.w.orgs[name], role) {
			text, err := key.Text()
			must(r.w.t, err)
			r.shares[role][text] = key
		}
	}
}
