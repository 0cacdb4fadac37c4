package sdk_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/csv"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/collector"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/internal/server"
	"github.com/shoal-project/shoal/internal/server/pairing"
	"github.com/shoal-project/shoal/metric/kind"
	"github.com/shoal-project/shoal/metric/task"
)

// A deployment is three organisations with real servers on loopback: a with leader,
// collector and shuffler, b with helper and analyzer, and a relay for tasks of its own,
// under a virtual clock.
type deployment struct {
	t      *testing.T
	clock  *clock.Virtual
	owner  task.IdentityKey
	a, b   *organisation
	relay  *organisation
	bundle []byte
	tasks  map[string]*task.Task
}

type organisation struct {
	config server.Config
	key    string // its identity
	server *server.Server
}

func (d *deployment) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

// questions are those of the shop in the example: all kinds of sums that the web SDK
// has, exact, so that a test can hold what was collected to what was recorded.
func questions() map[string]task.Aggregation {
	return map[string]task.Aggregation{
		"shop.checkout":     {Kind: kind.Count{Max: 1}},
		"shop.spent":        {Kind: kind.Sum{Max: 500}},
		"shop.items":        {Kind: kind.Mean{Max: 60}},
		"shop.theme":        {Kind: kind.Categories{Labels: []string{"light", "dark", "high contrast"}}},
		"shop.milliseconds": {Kind: kind.Histogram{Bounds: []int64{50, 100, 200, 400, 800, 1600, 3200}}},
		"shop.departments":  {Kind: kind.Multihot{Labels: []string{"books", "games", "garden", "kitchen", "music", "tools", "toys"}, Max: 4}},
		"shop.hours":        {Kind: kind.Vector{Length: 6, Max: 15}},
	}
}

// deploy starts both organisations with the questions, which begin at start.
func deploy(t *testing.T, start time.Time) *deployment {
	t.Helper()
	d := &deployment{t: t, clock: clock.NewVirtual(start), tasks: map[string]*task.Task{}}
	var err error
	d.owner, err = task.GenerateIdentityKey(rand.Reader)
	d.must(err)
	d.a, d.b = d.found("a", freeURL(t), task.Leader, task.Collector, task.Shuffler), d.found("b", freeURL(t), task.Helper, task.Analyzer)
	d.relay = d.found("relay", freeURL(t), task.Relay)
	d.ask(start)
	d.pair()
	d.relay.start(d)
	d.b.start(d)
	d.a.start(d)
	return d
}

func freeURL(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

func (d *deployment) found(name, url string, roles ...task.Role) *organisation {
	d.t.Helper()
	o := server.Organisation{Name: name, Roles: roles, URL: url}
	if !o.Relays() {
		o.Owners = []string{task.FormatPublic(d.owner.Public())}
	}
	file, identity, err := server.Init(filepath.Join(d.t.TempDir(), name), o, d.clock.Now(), nil)
	d.must(err)
	c, err := server.Load(file)
	d.must(err)
	if o.Relays() {
		for _, to := range []*organisation{d.a, d.b} {
			c.Relay.Parties = append(c.Relay.Parties, server.RelayParty{URL: to.config.URL, Identity: to.key})
		}
	} else {
		c.Tasks.Bundles = []string{filepath.Join(filepath.Dir(file), "tasks.bundle")}
		c.Floors.MinThreshold, c.Floors.MinBatch, c.Floors.AllowNaive = 2, 2, true
	}
	c.Ops.Listen, c.Console.Listen = "127.0.0.1:0", server.Off
	return &organisation{config: c, key: identity}
}

// ask signs the questions and gives them to both organisations.
func (d *deployment) ask(start time.Time) {
	d.t.Helper()
	card, _, err := server.Card(d.a.config, start)
	d.must(err)
	collector, err := task.ParsePublic(card.Collector)
	d.must(err)
	parties := []task.Party{d.a.party(d, task.Leader), d.b.party(d, task.Helper), {Role: task.Collector, Identity: collector}}
	var b task.Bundle
	aggregations := questions()
	aggregations[relayedSum] = task.Aggregation{Kind: kind.Sum{Max: 500}}
	for name, a := range aggregations {
		a.Variant = "dap-18"
		a, err := task.WithChunk(a)
		d.must(err)
		x := &task.Task{
			Owner: d.owner.Public(), OwnedBy: "Example Shop", Metric: name, Question: "How do people shop?", Consent: "How you shop.",
			Method: task.Aggregate, Aggregation: a, Hops: parties, MinBatch: 25, EpochSeconds: 3600, MaxDelay: 540, ClockSkew: 60,
			RetentionDays: 30, NotBefore: start.Unix() - start.Unix()%3600, Expires: start.Unix() - start.Unix()%3600 + 240*3600,
		}
		d.tasks[name] = x
	}
	d.tasks[relayedCrowd] = d.pagesTask(start)
	for name, x := range d.tasks {
		if name == relayedSum || name == relayedCrowd {
			x.Protection.Relay = d.relay.party(d, task.Relay)
		}
		signed, err := task.Sign(x, d.owner)
		d.must(err)
		b.Tasks = append(b.Tasks, signed)
	}
	d.bundle, err = b.Encode()
	d.must(err)
	for _, o := range []*organisation{d.a, d.b} {
		d.must(os.WriteFile(o.config.Tasks.Bundles[0], d.bundle, 0o600))
	}
}

func (o *organisation) party(d *deployment, role task.Role) task.Party {
	d.t.Helper()
	identity, err := task.ParsePublic(o.key)
	d.must(err)
	return task.Party{Role: role, URL: o.config.URL, Identity: identity}
}

// pair lets b's card go to a and a's invitation to b, as two people would.
func (d *deployment) pair() {
	d.t.Helper()
	now := d.clock.Now()
	theirs, theirKey, err := server.Card(d.b.config, now)
	d.must(err)
	line, err := pairing.SignCard(theirs, theirKey)
	d.must(err)
	parsed, err := pairing.ParseCard(line)
	d.must(err)
	ours, ourKey, err := server.Card(d.a.config, now)
	d.must(err)
	ourBook, err := server.OpenPairings(d.a.config)
	d.must(err)
	invitation, err := ourBook.Invite(parsed, ours, ourKey, now, rand.Reader)
	d.must(err)
	pairings, err := server.OpenPairings(d.b.config)
	d.must(err)
	key, err := server.PairingKey(d.b.config)
	d.must(err)
	_, err = pairings.Accept(invitation, &theirs, key, now)
	d.must(err)
}

func (o *organisation) start(d *deployment) {
	d.t.Helper()
	s, err := server.New(d.t.Context(), o.config, server.Options{Clock: d.clock, Manual: true})
	d.must(err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	o.server = s
	d.t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			d.t.Errorf("stopping: %v", err)
		}
	})
}

// settle lets time go by in steps of a minute, with both organisations at work.
func (d *deployment) settle(by time.Duration) {
	d.t.Helper()
	var last error
	for end := d.clock.Now().Add(by); d.clock.Now().Before(end); {
		d.clock.Forward(d.clock.Now().Add(time.Minute))
		last = errors.Join(d.b.server.Tick(d.t.Context()), d.a.server.Tick(d.t.Context()))
	}
	d.must(last)
}

// collected returns the collector's estimates of a metric by item, and the number of
// reports.
func (d *deployment) collected(metric string) (map[string]float64, int) {
	d.t.Helper()
	var out bytes.Buffer
	d.must(release.Export(d.t.Context(), d.a.server.Released(), &out, release.CSV, release.Query{Metric: metric, Table: collector.ResultsTable}))
	rows, err := csv.NewReader(&out).ReadAll()
	d.must(err)
	if len(rows) < 2 {
		d.t.Fatalf("%s: nothing was collected", metric)
	}
	column := func(row []string, name string) string {
		for i, h := range rows[0] {
			if h == name {
				return row[i]
			}
		}
		d.t.Fatalf("%s: no column %s in %v", metric, name, rows[0])
		return ""
	}
	found, reports := map[string]float64{}, 0
	for _, row := range rows[1:] {
		x, err := strconv.ParseFloat(column(row, "estimate"), 64)
		d.must(err)
		found[column(row, "item")] += x
		reports, err = strconv.Atoi(column(row, "reports"))
		d.must(err)
	}
	return found, reports
}
