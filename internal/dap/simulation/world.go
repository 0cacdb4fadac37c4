package simulation

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/atrest"
	"github.com/shoal-project/shoal/internal/dap/auth"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/dap/helper"
	helpertest "github.com/shoal-project/shoal/internal/dap/helper/storetest"
	"github.com/shoal-project/shoal/internal/dap/leader"
	leadertest "github.com/shoal-project/shoal/internal/dap/leader/storetest"
	"github.com/shoal-project/shoal/internal/dap/tasks"
	taskstest "github.com/shoal-project/shoal/internal/dap/tasks/storetest"
	"github.com/shoal-project/shoal/internal/durable/crashfs"
	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/vdaf"
)

const (
	leaderURL = "https://leader.example/"
	helperURL = "https://helper.example/dap"

	buckets   = 64   // of the histogram: no run makes more reports
	precision = 1200 // seconds in a unit of time
)

// A world is one run.
type world struct {
	setting Setting
	ctx     context.Context //nolint:containedctx // of the whole run
	random  *rand.Rand
	clock   *clock.Virtual
	net     *network
	leaders []*leaderNode // share one store
	helpers []*helperNode // share another one

	task      *dap.Task
	histogram *vdaf.Prio3[int, []uint64]
	shard     func(nonce vdaf.Nonce, bucket int) (*vdaf.Sharded, error)
	collector *dapkey.PrivateKey
	token     auth.Token // of the collector
	rand      *rand.ChaCha8

	step        int
	log         []string
	reports     []*report // by bucket
	collections []*collection
	batches     map[dap.BatchID]bool // that the leader has chosen
	repeats     map[[32]byte][]byte  // bodies of answers to requests that must repeat
	broken      error                // the first invariant that did not hold
	stats       Stats

	healed    bool         // no more faults
	looking   int          // the simulation itself reads a store: without faults
	waiting   bool         // in a slow call
	lostDisk  bool         // a node's disk was lost
	disturbed int          // faults so far: an answer of 5xx needs one
	absent    absent       // the helper
	renewal   func() error // what is left of a token renewal; nil: nothing
}

// Stats counts what happened in a run.
type Stats struct {
	Uploaded, Acknowledged, Counted, Pending, Hostile               int
	Collections, Restarts, Replays, Mismatches                      int
	StoreErrors, Slow, Absences, Renewals, Impostors, Dropped, Lost int
	Steps                                                           int
}

// Add adds the counts of another run.
func (s *Stats) Add(o Stats) {
	s.Uploaded += o.Uploaded
	s.Acknowledged += o.Acknowledged
	s.Counted += o.Counted
	s.Pending += o.Pending
	s.Hostile += o.Hostile
	s.Collections += o.Collections
	s.Restarts += o.Restarts
	s.Replays += o.Replays
	s.Mismatches += o.Mismatches
	s.Steps += o.Steps
	s.StoreErrors += o.StoreErrors
	s.Slow += o.Slow
	s.Absences += o.Absences
	s.Renewals += o.Renewals
	s.Impostors += o.Impostors
	s.Dropped += o.Dropped
	s.Lost += o.Lost
}

// note remembers what happened, for the text of an error.
func (w *world) note(format string, a ...any) {
	w.log = append(w.log, fmt.Sprintf(format, a...))
}

// breaks remembers that an invariant does not hold.
func (w *world) breaks(format string, a ...any) {
	if w.broken == nil {
		w.broken = fmt.Errorf(format, a...)
		w.note("BROKEN: %v", w.broken)
	}
}

// chance is true in so many of a thousand cases.
func (w *world) chance(thousandths int) bool {
	return thousandths > 0 && w.random.IntN(1000) < thousandths
}

// nodes returns all processes.
func (w *world) nodes() []node {
	var all []node
	for _, n := range w.leaders {
		all = append(all, n)
	}
	for _, n := range w.helpers {
		all = append(all, n)
	}
	return all
}

// nodeOf returns a process that serves a URL, one that is up if there is one.
func (w *world) nodeOf(url string) node {
	var prefix string
	switch {
	case strings.HasPrefix(url, leaderURL):
		prefix = dap.Leader.String()
	case strings.HasPrefix(url, helperURL):
		prefix = dap.Helper.String()
	default:
		return nil
	}
	var all, up []node
	for _, n := range w.nodes() {
		if strings.HasPrefix(n.String(), prefix) {
			all = append(all, n)
			if !n.down() {
				up = append(up, n)
			}
		}
	}
	// A load balancer does not notice at once which node is gone.
	if len(up) > 0 && (w.healed || w.random.IntN(4) > 0) {
		all = up
	}
	return all[w.random.IntN(len(all))]
}

func seeded(seed uint64, use string) *rand.ChaCha8 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], seed)
	return rand.NewChaCha8(sha256.Sum256(append(b[:], use...)))
}

// newWorld sets the stage: both aggregators run, and know the task.
func newWorld(ctx context.Context, s Setting) (*world, error) {
	s.Nodes = max(1, s.Nodes)
	w := &world{
		setting: s, ctx: ctx, random: rand.New(rand.NewPCG(s.Seed, 1)), rand: seeded(s.Seed, "clients"),
		clock: clock.NewVirtual(time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)), repeats: make(map[[32]byte][]byte), batches: make(map[dap.BatchID]bool),
	}
	w.net = &network{world: w}
	w.healed = true
	if err := w.makeNodes(); err != nil {
		return nil, err
	}
	for _, n := range w.nodes() {
		if err := n.restart(ctx); err != nil {
			return nil, err
		}
	}
	if err := w.makeTask(); err != nil {
		return nil, err
	}
	w.healed = false
	return w, nil
}

// makeNodes makes the processes of both roles, each role with a store of its own.
func (w *world) makeNodes() error {
	s := w.setting
	process := func(role dap.Role) (process, error) {
		source := seeded(s.Seed, role.String())
		key, err := atrest.GenerateKey(source)
		if err != nil {
			return process{}, err
		}
		keys, err := atrest.New(key)
		return process{setting: s, role: role, clock: w.clock, rand: source, keys: keys, secrets: taskstest.NewModel()}, err
	}
	l, err := process(dap.Leader)
	if err != nil {
		return err
	}
	h, err := process(dap.Helper)
	if err != nil {
		return err
	}
	var leaderStore leader.Store = leadertest.NewModel()
	var helperStore helper.Store = helpertest.NewModel()
	if s.Stores != nil {
		leaderStore, helperStore = s.Stores.Leader(), s.Stores.Helper()
	}
	for i := range s.Nodes {
		n := &leaderNode{process: l, shared: leaderStore, disk: crashfs.New(s.Seed + uint64(i))}
		n.name, n.client = fmt.Sprintf("node %d", i+1), &http.Client{Transport: &wire{w.net, n}}
		n.link = &link{world: w, peers: func() { w.others(n) }}
		w.leaders = append(w.leaders, n)
		m := &helperNode{process: h, shared: helperStore}
		m.name = n.name
		m.link = &link{world: w, peers: func() { w.others(m) }}
		w.helpers = append(w.helpers, m)
	}
	return nil
}

// makeTask makes the task and gives it to both aggregators.
func (w *world) makeTask() error {
	histogram, err := vdaf.Histogram(buckets, 8)
	if err != nil {
		return err
	}
	w.histogram = histogram
	now, err := dap.TimePrecision(precision).Time(w.clock.Now())
	if err != nil {
		return err
	}
	c := dap.TaskConfiguration{
		TaskInfo: []byte("simulation"), Leader: leaderURL, Helper: helperURL, TimePrecision: precision,
		MinBatchSize: w.setting.MinBatch, BatchMode: w.setting.Mode,
	}
	if err := c.SetVDAF(histogram.Instance); err != nil {
		return err
	}
	if w.setting.Interval {
		c.Extensions = []dap.Extension{dap.IntervalExtension(dap.Interval{Start: now, Duration: 6000})}
	}
	b, err := dap.NewCodec(w.setting.Variant).Encode(&c)
	if err != nil {
		return err
	}
	if w.task, err = dap.NewTask(w.setting.Variant, dap.TaskprovID(b), b); err != nil {
		return err
	}
	w.shard = func(nonce vdaf.Nonce, bucket int) (*vdaf.Sharded, error) {
		return histogram.Shard(w.rand, w.task.Context(), nonce, bucket)
	}
	if w.collector, err = dapkey.Generate(9, hpke.X25519, w.rand); err != nil {
		return err
	}
	if w.token, err = auth.NewToken(w.rand); err != nil {
		return err
	}
	peer, err := auth.NewToken(w.rand)
	if err != nil {
		return err
	}
	var seed [32]byte
	w.rand.Read(seed[:])
	key, err := dap.DeriveVerifyKey(seed[:], w.task.ID())
	if err != nil {
		return err
	}
	entry := tasks.Entry{
		ID: w.task.ID(), Variant: w.setting.Variant.String(), Config: b, Role: dap.Leader,
		VerifyKeys: map[dap.VerificationKeyID]vdaf.VerifyKey{1: *key}, VerifyWith: 1,
		CollectorTokens: []auth.Hash{w.token.Hash()}, Outbound: peer, Collector: w.collector.Config(),
		Leeway: 5 * time.Minute, Grace: 30 * time.Minute, Expiry: w.setting.Expiry,
	}
	if err := w.leaders[0].registry.Add(w.ctx, entry); err != nil {
		return err
	}
	entry.Role, entry.CollectorTokens, entry.Outbound, entry.Inbound = dap.Helper, nil, auth.Token{}, []auth.Hash{peer.Hash()}
	return w.helpers[0].registry.Add(w.ctx, entry)
}

// now returns the time in the task's units.
func (w *world) now() dap.Time {
	t, _ := w.task.Config().TimePrecision.Time(w.clock.Now())
	return t
}

// repeatKey identifies a request with its body.
func repeatKey(p *packet) [32]byte {
	return sha256.Sum256(append([]byte(p.String()+"\n"), p.body...))
}

// checkRepeat checks that a request which creates something at the helper gets
// the same answer each time.
func (w *world) checkRepeat(p *packet, a *answer) {
	if !strings.HasPrefix(p.url, helperURL) || p.method != http.MethodPost && p.method != http.MethodPut || a.status/100 != 2 || len(a.body) == 0 {
		return
	}
	key := repeatKey(p)
	first, ok := w.repeats[key]
	if !ok {
		w.repeats[key] = a.body
		return
	}
	if !bytes.Equal(first, a.body) {
		w.breaks("%v was answered with %d bytes that differ from the %d of the first time", p, len(a.body), len(first))
	}
}
