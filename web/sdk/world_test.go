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

// A deployment is two organisations with real servers on loopback, a with leader and
// collector and b with the helper, under a virtual clock.
type deployment struct {
	t      *testing.T
	clock  *clock.Virtual
	owner  task.IdentityKey
	a, b   *organisation
	bundle []byte
	tasks  map[string]*task.Task
}

type organisation struct {
	config server.Config
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
	aURL, bURL := freeURL(t), freeURL(t)
	d.a, d.b = d.found("a", aURL, task.Leader, task.Collector), d.found("b", bURL, task.Helper)
	d.ask(start)
	d.pair()
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
	file, _, err := server.Init(filepath.Join(d.t.TempDir(), name), server.Organisation{
		Name: name, Roles: roles, URL: url, Owners: []string{task.FormatPublic(d.owner.Public())},
	}, d.clock.Now(), nil)
	d.must(err)
	c, err := server.Load(file)
	d.must(err)
	c.Tasks.Bundles = []string{filepath.Join(filepath.Dir(file), "tasks.bundle")}
	c.Ops.Listen, c.Console.Listen = "127.0.0.1:0", server.Off
	return &organisation{config: c}
}

// ask signs the questions and gives them to both organisations.
func (d *deployment) ask(start time.Time) {
	d.t.Helper()
	card, _, err := server.Card(d.a.config, start)
	d.must(err)
	var parties []task.Party
	for _, p := range []struct {
		role     task.Role
		url, key string
	}{
		{task.Leader, d.a.config.URL, card.Identity}, {task.Helper, d.b.config.URL, d.b.identity(d)}, {task.Collector, "", card.Collector},
	} {
		identity, err := task.ParsePublic(p.key)
		d.must(err)
		parties = append(parties, task.Party{Role: p.role, URL: p.url, Identity: identity})
	}
	var b task.Bundle
	for name, a := range questions() {
		a.Variant = "dap-18"
		a, err := task.WithChunk(a)
		d.must(err)
		x := &task.Task{
			Owner: d.owner.Public(), OwnedBy: "Example Shop", Metric: name, Question: "How do people shop?", Consent: "How you shop.",
			Method: task.Aggregate, Aggregation: a, Hops: parties, MinBatch: 25, EpochSeconds: 3600, MaxDelay: 540, ClockSkew: 60,
			RetentionDays: 30, NotBefore: start.Unix() - start.Unix()%3600, Expires: start.Unix() - start.Unix()%3600 + 240*3600,
		}
		signed, err := task.Sign(x, d.owner)
		d.must(err)
		b.Tasks = append(b.Tasks, signed)
		d.tasks[name] = x
	}
	d.bundle, err = b.Encode()
	d.must(err)
	for _, o := range []*organisation{d.a, d.b} {
		d.must(os.WriteFile(o.config.Tasks.Bundles[0], d.bundle, 0o600))
	}
}

func (o *organisation) identity(d *deployment) string {
	d.t.Helper()
	card, _, err := server.Card(o.config, d.clock.Now())
	d.must(err)
	return card.Identity
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
