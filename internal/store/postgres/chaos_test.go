package postgres_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/atrest"
	"github.com/shoal-project/shoal/internal/dap/auth"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/dap/leader"
	"github.com/shoal-project/shoal/internal/dap/tasks"
	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/internal/store/postgres"
	"github.com/shoal-project/shoal/internal/store/postgres/postgrestest"
	"github.com/shoal-project/shoal/vdaf"
)

const (
	chaosBuckets   = 256
	chaosPrecision = 10 // seconds
	chaosMinBatch  = 50
	chaosUpload    = 10 // reports a request
)

// chaosTask is a task and what the clients know of it.
type chaosTask struct {
	name string
	task *dap.Task
	hist *vdaf.Prio3[int, []uint64]

	mu    sync.Mutex
	truth map[dap.Time][]uint64 // acknowledged, by unit and bucket
	acked int
	got   []uint64 // collected, by bucket, in the leader-selected mode
}

// chaos is the whole: a database server, two processes of each role, clients and a
// collector.
type chaos struct {
	t         *testing.T
	ctx       context.Context //nolint:containedctx // of the whole run
	server    *postgrestest.Server
	leaders   []*chaosVictim
	helpers   []*chaosVictim
	tasks     []*chaosTask
	collector *dapkey.PrivateKey
	token     auth.Token
	store     leader.Store
	keys      [2]*tasks.Registry // of leader and helper, as the clients see them

	uploads, repeated, kills, restarts atomic.Int64
	lost, twice, results               int
}

// TestChaos lets the database restart every few seconds and kills leaders and
// helpers while reports arrive, also twice and at both leaders, and then collects
// everything: each report that was acknowledged counts once. SHOAL_CHAOS sets for
// how long; make chaos runs it for ten minutes.
func TestChaos(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	long := 10 * time.Second
	t.Parallel()
	if v := os.Getenv("SHOAL_CHAOS"); v != "" {
		var err error
		if long, err = time.ParseDuration(v); err != nil {
			t.Fatalf("SHOAL_CHAOS: %v", err)
		}
	}
	c := newChaos(t)
	end := time.Now().Add(long)
	var work sync.WaitGroup
	work.Go(func() { c.restartServer(end) })
	work.Go(func() { c.killProcesses(end) })
	work.Go(func() { c.show(end) })
	for range 4 {
		work.Go(func() { c.clients(end) })
	}
	work.Wait()
	c.line("collecting")
	for _, task := range c.tasks {
		c.collect(task)
	}
	c.table(long)
	if c.lost > 0 || c.twice > 0 {
		t.Errorf("%d reports are lost and %d counted twice", c.lost, c.twice)
	}
	if os.Getenv("SHOAL_CHAOS") != "" && long >= 10*time.Minute && c.acked() < 50_000 {
		t.Errorf("%d reports were acknowledged, want 50,000 at least", c.acked())
	}
}

func (c *chaos) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func newChaos(t *testing.T) *chaos {
	c := &chaos{t: t, ctx: t.Context(), server: postgrestest.NewServer(t)}
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	c.must(err)
	t.Cleanup(func() {
		log.Close()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("the processes report, at the end:\n%s", text[max(0, len(text)-8000):])
		}
	})
	// A load balancer before the helpers.
	way := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:      func(*httputil.ProxyRequest) {},
		Transport:    rerouted{func() string { return c.helpers[mrand.IntN(2)].addressOf() }},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	})
	t.Cleanup(way.Close)
	for i, role := range []dap.Role{dap.Leader, dap.Helper} {
		schema := c.server.Schema(t)
		key, err := atrest.GenerateKey(rand.Reader)
		c.must(err)
		var taskStore tasks.Store
		if role == dap.Leader {
			s, err := postgres.OpenLeader(t.Context(), schema)
			c.must(err)
			t.Cleanup(func() { s.Close() })
			taskStore, c.store = s, s
		} else {
			s, err := postgres.OpenHelper(t.Context(), schema)
			c.must(err)
			t.Cleanup(func() { s.Close() })
			taskStore = s
		}
		keys, err := atrest.New(key)
		c.must(err)
		c.keys[i], err = tasks.Open(t.Context(), taskStore, tasks.Config{Role: role, Keys: keys, Clock: systemClock(), Rand: rand.Reader})
		c.must(err)
		for n := range 2 {
			v := &chaosVictim{name: fmt.Sprintf("%v %d", role, n), log: log, env: []string{
				chaosRole + "=" + role.String(), chaosStore + "=" + schema, chaosKey + "=" + key.Text(),
				chaosNode + "=" + fmt.Sprintf("node%d", n), chaosDir + "=" + filepath.Join(t.TempDir(), "logs"), chaosHelper + "=" + way.Listener.Addr().String(),
			}}
			if role == dap.Leader {
				c.leaders = append(c.leaders, v)
			} else {
				c.helpers = append(c.helpers, v)
			}
		}
	}
	c.addTasks()
	for _, v := range c.victims() {
		c.must(v.start(t.Context()))
		t.Cleanup(v.kill)
	}
	return c
}

func (c *chaos) victims() []*chaosVictim {
	return append(append([]*chaosVictim(nil), c.leaders...), c.helpers...)
}

// addTasks makes a task of each batch mode and gives them to both roles.
func (c *chaos) addTasks() {
	var err error
	c.collector, err = dapkey.Generate(9, hpke.X25519, rand.Reader)
	c.must(err)
	c.token, err = auth.NewToken(rand.Reader)
	c.must(err)
	peer, err := auth.NewToken(rand.Reader)
	c.must(err)
	for _, mode := range []dap.BatchMode{dap.TimeIntervalMode, dap.LeaderSelectedMode} {
		hist, err := vdaf.Histogram(chaosBuckets, 16)
		c.must(err)
		config := dap.TaskConfiguration{
			TaskInfo: fmt.Appendf(nil, "chaos %v", mode), Leader: "http://leader.example/", Helper: "http://helper.example/",
			TimePrecision: chaosPrecision, MinBatchSize: chaosMinBatch, BatchMode: mode,
		}
		c.must(config.SetVDAF(hist.Instance))
		b, err := dap.NewCodec(dap.DAP18()).Encode(&config)
		c.must(err)
		made, err := dap.NewTask(dap.DAP18(), dap.TaskprovID(b), b)
		c.must(err)
		secret, err := dap.DeriveVerifyKey(bytes.Repeat([]byte{5}, 32), made.ID())
		c.must(err)
		e := tasks.Entry{
			ID: made.ID(), Variant: dap.DAP18().String(), Config: b, Role: dap.Leader,
			VerifyKeys: map[dap.VerificationKeyID]vdaf.VerifyKey{1: *secret}, VerifyWith: 1,
			CollectorTokens: []auth.Hash{c.token.Hash()}, Outbound: peer, Collector: c.collector.Config(), Leeway: time.Minute,
		}
		c.must(c.keys[0].Add(c.ctx, e))
		e.Role, e.CollectorTokens, e.Outbound, e.Inbound = dap.Helper, nil, auth.Token{}, []auth.Hash{peer.Hash()}
		c.must(c.keys[1].Add(c.ctx, e))
		c.tasks = append(c.tasks, &chaosTask{name: fmt.Sprint(mode), task: made, hist: hist, truth: make(map[dap.Time][]uint64), got: make([]uint64, chaosBuckets)})
	}
}

// restartServer restarts the database every 2 to 5 s.
func (c *chaos) restartServer(end time.Time) {
	for {
		time.Sleep(2*time.Second + time.Duration(mrand.IntN(3000))*time.Millisecond)
		if !time.Now().Before(end) {
			return
		}
		if err := c.server.Restart(); err != nil {
			c.t.Error(err)
			return
		}
		c.restarts.Add(1)
	}
}

// killProcesses kills a process every 1 to 4 s and starts it again.
func (c *chaos) killProcesses(end time.Time) {
	all := c.victims()
	for {
		time.Sleep(time.Second + time.Duration(mrand.IntN(3000))*time.Millisecond)
		if !time.Now().Before(end) {
			return
		}
		v := all[mrand.IntN(len(all))]
		v.kill()
		c.kills.Add(1)
		time.Sleep(time.Duration(mrand.IntN(500)) * time.Millisecond)
		if err := v.start(c.ctx); err != nil {
			c.t.Error(err)
			return
		}
	}
}

// clients upload until the end, at a rate that leaves the machine room, and do not
// stop before each of their reports is acknowledged.
func (c *chaos) clients(end time.Time) {
	for time.Now().Before(end) && !c.t.Failed() {
		for _, task := range c.tasks {
			if err := c.upload(task, chaosUpload); err != nil {
				c.t.Error(err)
				return
			}
		}
		time.Sleep(time.Duration(100+mrand.IntN(300)) * time.Millisecond)
	}
}

// upload makes reports and sends them until all are acknowledged, to either
// leader, and now and then once more.
func (c *chaos) upload(t *chaosTask, n int) error {
	now, err := t.task.Config().TimePrecision.Time(time.Now())
	if err != nil {
		return err
	}
	var up dap.UploadRequest
	buckets := make([]int, n)
	for i := range n {
		buckets[i] = mrand.IntN(chaosBuckets)
		r, err := c.report(t, buckets[i], now)
		if err != nil {
			return err
		}
		up.Reports = append(up.Reports, r)
	}
	body, err := t.task.Codec().Encode(&up)
	if err != nil {
		return err
	}
	for tries := 0; ; tries++ {
		answer, status := c.send(http.MethodPost, dap.ReportsPath(t.task.ID()), dap.TypeUploadRequest, body)
		if status == http.StatusOK && len(answer) == 0 {
			break
		}
		if status == http.StatusOK || status/100 == 4 && status != http.StatusTooManyRequests && status != http.StatusRequestTimeout {
			return fmt.Errorf("an upload of %s was answered %d: %q", t.name, status, answer)
		}
		if tries > 10_000 || c.ctx.Err() != nil {
			return errors.New("no leader takes an upload")
		}
		c.repeated.Add(1)
		time.Sleep(20 * time.Millisecond)
	}
	c.uploads.Add(1)
	t.mu.Lock()
	if t.truth[now] == nil {
		t.truth[now] = make([]uint64, chaosBuckets)
	}
	for _, b := range buckets {
		t.truth[now][b]++
	}
	t.acked += n
	t.mu.Unlock()
	if mrand.IntN(10) == 0 { // its client has not heard the answer
		c.send(http.MethodPost, dap.ReportsPath(t.task.ID()), dap.TypeUploadRequest, body)
		c.repeated.Add(1)
	}
	return nil
}

func (c *chaos) report(t *chaosTask, bucket int, now dap.Time) (dap.Report, error) {
	md := dap.ReportMetadata{Time: now}
	if _, err := rand.Read(md.ID[:]); err != nil {
		return dap.Report{}, err
	}
	shares, err := t.hist.Shard(rand.Reader, t.task.Context(), vdaf.Nonce(md.ID), bucket)
	if err != nil {
		return dap.Report{}, err
	}
	r := dap.Report{Metadata: md, PublicShare: shares.PublicShare}
	for i, sealed := range []*dap.HpkeCiphertext{&r.LeaderShare, &r.HelperShare} {
		key := c.keys[i].Keyring().Configs(time.Now())[0]
		plain := dap.PlaintextInputShare{Payload: shares.InputShares[i]}
		if *sealed, err = t.task.SealInputShare(key, []dap.Role{dap.Leader, dap.Helper}[i], &md, r.PublicShare, &plain); err != nil {
			return dap.Report{}, err
		}
	}
	return r, nil
}

// send sends a request to one of the leaders. Its status is 0 if nothing came back.
func (c *chaos) send(method, path string, kind dap.MessageType, body []byte) ([]byte, int) {
	r, err := http.NewRequestWithContext(c.ctx, method, "http://"+c.leaders[mrand.IntN(2)].addressOf()+"/"+path, bytes.NewReader(body))
	if err != nil {
		return []byte(err.Error()), http.StatusBadRequest
	}
	if kind != "" {
		r.Header.Set("Content-Type", kind.MediaType())
	}
	c.token.SetBearer(r.Header)
	client := http.Client{Timeout: 20 * time.Second}
	resp, err := client.Do(r)
	if err != nil {
		return nil, 0
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, 0
	}
	if at := resp.Header.Get("Location"); resp.StatusCode == http.StatusCreated && len(answer) == 0 {
		return []byte(strings.TrimPrefix(at, "http://leader.example/")), resp.StatusCode
	}
	return answer, resp.StatusCode
}

func (c *chaos) acked() int {
	n := 0
	for _, t := range c.tasks {
		t.mu.Lock()
		n += t.acked
		t.mu.Unlock()
	}
	return n
}
