package growth

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/encoder"
	"github.com/shoal-project/shoal/internal/server"
	"github.com/shoal-project/shoal/metric/task"
)

// begin is when the tasks of the crowd route begin.
var begin = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)

const (
	epochSeconds = 900
	perBundle    = 1000 // tasks
	connections  = 64
)

// The organisations of a route.
const (
	shuffling = iota
	analyzing
)

// A route is a shuffler's and an analyzer's server for a number of tasks.
type route struct {
	b       *testing.B
	clock   *clock.Virtual
	configs []server.Config
	servers []*server.Server
	tasks   []*task.Task
	ids     []task.ID
	keys    [][]task.Key // of the hops, a task
	token   string       // of the analyzer's management API
	client  *http.Client
	stop    func()
}

// newRoute founds the organisations and asks n questions with a threshold. The
// servers do not run yet.
func newRoute(b *testing.B, n int, threshold task.Threshold) *route {
	b.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 2 * connections}
	b.Cleanup(transport.CloseIdleConnections)
	r := &route{b: b, clock: clock.NewVirtual(begin), client: &http.Client{Transport: transport}, stop: func() {}}
	owner := must(task.GenerateIdentityKey(rand.Reader))(b)
	parties := make([]task.Party, 2)
	for i, role := range []task.Role{task.Shuffler, task.Analyzer} {
		l := must(net.Listen("tcp", "127.0.0.1:0"))(b)
		address := l.Addr().String()
		l.Close()
		file, identity, err := server.Init(filepath.Join(b.TempDir(), role.String()), server.Organisation{
			Name: role.String(), Roles: []task.Role{role}, URL: "http://" + address, Listen: address,
			Owners: []string{task.FormatPublic(owner.Public())},
		}, begin, rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		c := must(server.Load(file))(b)
		c.Ops.Listen, c.Console.Listen = "127.0.0.1:0", server.Off
		c.Floors.MinThreshold, c.Floors.MinBatch, c.Floors.AllowNaive = 2, 2, true
		c.Batches.Memory = 512 << 20 // the default
		r.configs = append(r.configs, c)
		parties[i] = task.Party{Role: task.Role(i + 1), URL: "http://" + address, Identity: must(task.ParsePublic(identity))(b)}
	}
	var signed []*task.Signed
	for i := range n {
		t := &task.Task{
			Owner: owner.Public(), OwnedBy: "bench", Metric: fmt.Sprintf("m%05d", i), Question: "Which words?", Consent: "A benchmark.",
			Method: task.Crowd, Schema: task.Schema{{Name: "word", Kind: task.String, Max: 59}},
			Crowd: task.CrowdRule{Kind: task.Payload, SaltEpochs: 1}, Threshold: threshold,
			MinBatch: 100, EpochSeconds: epochSeconds, MaxDelay: 60, ClockSkew: 60, PerEpoch: 1, PerCrowd: 1,
			PayloadSize: 64, Hops: parties, RetentionDays: 730, NotBefore: begin.Unix(), Expires: begin.Unix() + 400*86400,
		}
		r.tasks, r.ids = append(r.tasks, t), append(r.ids, must(t.ID())(b))
		signed = append(signed, must(task.Sign(t, owner))(b))
	}
	for part := range slices.Chunk(signed, perBundle) {
		bundle := must((&task.Bundle{Tasks: part}).Encode())(b)
		for i := range r.configs {
			c := &r.configs[i]
			name := filepath.Join(filepath.Dir(c.Keys.Dir), fmt.Sprintf("tasks%d.bundle", len(c.Tasks.Bundles)))
			if err := os.WriteFile(name, bundle, 0o600); err != nil {
				b.Fatal(err)
			}
			c.Tasks.Bundles = append(c.Tasks.Bundles, name)
		}
	}
	tokens := must(server.OpenTokens(r.configs[analyzing]))(b)
	r.token = must(tokens.Create(rand.Reader, "bench", []server.Scope{server.ScopeRead}, time.Time{}))(b)
	b.Cleanup(func() { r.stop() })
	return r
}

// noisy is the rule of the tasks where crowds do not matter.
var noisy = task.Threshold{Kind: task.NoisyDrop, T: 20, D: 12, SigmaMilli: 2000}

// start runs both servers and returns how long it took to make them.
func (r *route) start() time.Duration {
	r.b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	r.servers = nil
	started := time.Now()
	for _, c := range r.configs {
		r.servers = append(r.servers, must(server.New(ctx, c, server.Options{Clock: r.clock, Manual: true, Client: r.client}))(r.b))
	}
	took := time.Since(started)
	for _, s := range r.servers {
		running.Go(func() {
			if err := s.Run(ctx); err != nil {
				r.b.Error(err)
			}
		})
	}
	r.stop = func() {
		cancel()
		r.client.CloseIdleConnections()
		running.Wait()
		r.stop = func() {}
	}
	return took
}

// fetch answers a request of the keys of the hops, and opens them for each task.
func (r *route) fetch() {
	r.b.Helper()
	resp := must(r.client.Get(r.tasks[0].First().URL + "/tasks/" + r.ids[0].String() + "/keys"))(r.b)
	body := must(io.ReadAll(resp.Body))(r.b)
	resp.Body.Close()
	list := must(task.ParseKeyConfigList(body))(r.b)
	r.keys = nil
	for _, t := range r.tasks {
		r.keys = append(r.keys, must(esa.ChooseKeys(t, must(list.Open(t, r.clock.Now()))(r.b), r.clock.Now()))(r.b))
	}
}

// A sealed report and where it goes.
type sealed struct {
	url    string
	report []byte
}

// seal makes n reports of the current epoch, on all cores; the i-th is of the task
// and holds the word that of returns.
func (r *route) seal(n int, of func(i int) (task int, word string)) []sealed {
	r.b.Helper()
	encoders := make([]*encoder.Encoder, len(r.tasks))
	for i, t := range r.tasks {
		encoders[i] = must(encoder.New(t, r.ids[i]))(r.b)
	}
	all := make([]sealed, n)
	r.each(n, func(i int) error {
		k, word := of(i)
		fragments, err := encoders[k].Encode(map[string]any{"word": word}, rand.Reader)
		if err != nil {
			return err
		}
		all[i].url = r.tasks[k].First().URL + "/tasks/" + r.ids[k].String() + "/reports"
		all[i].report, err = encoders[k].Seal(fragments[0], r.tasks[k].EpochAt(r.clock.Now()), r.keys[k])
		return err
	})
	return all
}

// each calls do for 0 to n-1, on all cores.
func (r *route) each(n int, do func(i int) error) {
	r.b.Helper()
	var group sync.WaitGroup
	var next atomic.Int64
	for range connections {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := do(i); err != nil {
					r.b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	if r.b.Failed() {
		r.b.FailNow()
	}
}

// post sends n reports in turn, one a request, over connections that are kept, and
// returns how long it took until all were acknowledged.
func (r *route) post(reports []sealed, n int) time.Duration {
	r.b.Helper()
	started := time.Now()
	r.each(n, func(i int) error {
		s := reports[i%len(reports)]
		resp, err := r.client.Post(s.url, "application/shoal-report;v=1", bytes.NewReader(s.report))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusCreated {
			return fmt.Errorf("intake answered %s: %w", resp.Status, err)
		}
		return nil
	})
	return time.Since(started)
}

// tick lets one organisation work, and returns how long it took.
func (r *route) tick(org int) time.Duration {
	r.b.Helper()
	started := time.Now()
	if err := r.servers[org].Tick(r.b.Context()); err != nil {
		r.b.Fatal(err)
	}
	return time.Since(started)
}

// closeEpoch moves the clock to where the batches of the current epoch close.
func (r *route) closeEpoch() {
	r.clock.Set(r.tasks[0].Closes(r.tasks[0].EpochAt(r.clock.Now())).Add(time.Second))
}

// median returns the middle of five times.
func median(do func()) time.Duration {
	var times []time.Duration
	for range 5 {
		started := time.Now()
		do()
		times = append(times, time.Since(started))
	}
	slices.Sort(times)
	return times[len(times)/2]
}
