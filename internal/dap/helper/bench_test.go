package helper_test

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/atrest"
	"github.com/shoal-project/shoal/internal/dap/auth"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/dap/helper"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/dap/tasks"
	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/internal/store/sqlite"
	"github.com/shoal-project/shoal/vdaf"
)

// A load is a task, its helper on a disk behind a server on the loopback, and the
// jobs of its leader.
type load struct {
	task   *dap.Task
	server *httptest.Server
	store  *sqlite.Helper
	file   string
	token  auth.Token
	leader *dap.Aggregator
	ring   *dapkey.Ring
	keys   dap.HpkeConfigList // the helper's
	shard  func(nonce vdaf.Nonce, context []byte) (*vdaf.Sharded, error)
	now    time.Time
	ids    atomic.Uint64
}

func countShard(b testing.TB) (uint32, []byte, func(vdaf.Nonce, []byte) (*vdaf.Sharded, error)) {
	b.Helper()
	p, err := vdaf.Count()
	if err != nil {
		b.Fatal(err)
	}
	return 1, nil, func(n vdaf.Nonce, context []byte) (*vdaf.Sharded, error) {
		return p.Shard(rand.Reader, context, n, true)
	}
}

func histogramShard(b testing.TB) (uint32, []byte, func(vdaf.Nonce, []byte) (*vdaf.Sharded, error)) {
	b.Helper()
	p, err := vdaf.Histogram(100, 10)
	if err != nil {
		b.Fatal(err)
	}
	return 4, []byte{0, 0, 0, 100, 0, 0, 0, 10}, func(n vdaf.Nonce, context []byte) (*vdaf.Sharded, error) {
		return p.Shard(rand.Reader, context, n, int(n[0])%100)
	}
}

func newLoad(b testing.TB, kind func(testing.TB) (uint32, []byte, func(vdaf.Nonce, []byte) (*vdaf.Sharded, error))) *load {
	b.Helper()
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	l := &load{now: start(), file: filepath.Join(b.TempDir(), "helper.db")}
	c := dap.TaskConfiguration{
		TaskInfo: []byte("info"), Leader: "https://a.example/", Helper: "https://b.example/",
		TimePrecision: 3600, MinBatchSize: 100, BatchMode: dap.TimeIntervalMode,
	}
	c.VDAF, c.VDAFConfig, l.shard = kind(b)
	encoded, err := dap.NewCodec(dap.DAP18()).Encode(&c)
	must(err)
	l.task, err = dap.NewTask(dap.DAP18(), dap.TaskprovID(encoded), encoded)
	must(err)
	l.token, err = auth.NewToken(rand.Reader)
	must(err)
	seed, err := dap.DeriveVerifyKey(make([]byte, 32), l.task.ID())
	must(err)
	l.leader, err = dap.NewAggregator(l.task, dap.Leader, map[dap.VerificationKeyID]*vdaf.VerifyKey{0: seed}, time.Minute)
	must(err)
	l.ring, err = dapkey.NewRing(dapkey.DefaultPlan())
	must(err)
	l.ring, _, err = l.ring.Rotate(l.now, false, nil, rand.Reader)
	must(err)
	collector, err := dapkey.Generate(1, hpke.X25519, rand.Reader)
	must(err)
	l.store, err = sqlite.OpenHelper(b.Context(), l.file)
	must(err)
	key, err := atrest.GenerateKey(rand.Reader)
	must(err)
	keys, err := atrest.New(key)
	must(err)
	time := clock.NewVirtual(l.now)
	registry, err := tasks.Open(b.Context(), l.store, tasks.Config{Role: dap.Helper, Keys: keys, Clock: time, Rand: rand.Reader})
	must(err)
	must(registry.Add(b.Context(), tasks.Entry{
		ID: l.task.ID(), Variant: "dap-18", Config: encoded, Role: dap.Helper,
		VerifyKeys: map[dap.VerificationKeyID]vdaf.VerifyKey{0: *seed},
		Inbound:    []auth.Hash{l.token.Hash()}, Collector: collector.Config(),
	}))
	l.keys = registry.Keyring().Configs(l.now)
	ledgers, err := ledger.New(l.store, ledger.Config{Keys: keys, Clock: time, Rand: rand.Reader})
	must(err)
	h, err := helper.New(helper.Config{Store: l.store, Registry: registry, Ledgers: ledgers, Clock: time, Report: func(err error) { b.Error(err) }})
	must(err)
	l.server = httptest.NewServer(h.Handler())
	b.Cleanup(func() { l.server.Close(); l.store.Close() })
	return l
}

// jobs makes the requests of n jobs.
func (l *load) jobs(b testing.TB, n, size int) [][]byte {
	b.Helper()
	bodies := make([][]byte, n)
	work := make(chan int, n)
	for i := range n {
		work <- i
	}
	close(work)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for i := range work {
				bodies[i] = l.job(b, size)
			}
		})
	}
	wg.Wait()
	return bodies
}

func (l *load) job(b testing.TB, size int) []byte {
	reports := make([]dap.Report, size)
	for i := range reports {
		var err error
		if reports[i], err = l.report(); err != nil {
			b.Error(err)
			return nil
		}
	}
	_, req, err := l.leader.LeaderInit(0, dap.BatchID{}, reports, l.now, l.ring)
	if err != nil {
		b.Error(err)
		return nil
	}
	body, err := l.task.Codec().Encode(req)
	if err != nil {
		b.Error(err)
	}
	return body
}

func (l *load) report() (dap.Report, error) {
	r := dap.Report{Metadata: dap.ReportMetadata{Time: unit}}
	if _, err := rand.Read(r.Metadata.ID[:]); err != nil {
		return r, err
	}
	binary.BigEndian.PutUint64(r.Metadata.ID[8:], l.ids.Add(1))
	shares, err := l.shard(vdaf.Nonce(r.Metadata.ID), l.task.Context())
	if err != nil {
		return r, err
	}
	r.PublicShare = shares.PublicShare
	r.LeaderShare, err = l.task.SealInputShare(l.ring.Configs(l.now)[0], dap.Leader, &r.Metadata, r.PublicShare, &dap.PlaintextInputShare{Payload: shares.InputShares[0]})
	if err != nil {
		return r, err
	}
	r.HelperShare, err = l.task.SealInputShare(l.keys[0], dap.Helper, &r.Metadata, r.PublicShare, &dap.PlaintextInputShare{Payload: shares.InputShares[1]})
	return r, err
}

// send sends a job and reads the answer.
func (l *load) send(client *http.Client, body []byte) error {
	r, err := http.NewRequest(http.MethodPost, l.server.URL+"/tasks/"+l.task.ID().String()+"/aggregation_jobs", bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", dap.TypeAggregationJobInitReq.MediaType())
	l.token.SetBearer(r.Header)
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusCreated {
		return fmt.Errorf("%d %s: %w", resp.StatusCode, answer, err)
	}
	return nil
}

// sendAll sends jobs over a few connections that stay open.
func (l *load) sendAll(b testing.TB, bodies [][]byte) {
	b.Helper()
	work := make(chan []byte, len(bodies))
	for _, body := range bodies {
		work <- body
	}
	close(work)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for body := range work {
				if err := l.send(client, body); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkHelper is the helper from end to end: the request comes in over the
// loopback, its reports are opened and verified, the commit is on the disk, the
// answer has arrived. The leader's part, sending and reading, is in it. For one
// core run it with -cpu 1.
func BenchmarkHelper(b *testing.B) {
	for name, kind := range map[string]func(testing.TB) (uint32, []byte, func(vdaf.Nonce, []byte) (*vdaf.Sharded, error)){
		"Count": countShard, "Histogram100": histogramShard,
	} {
		for _, size := range []int{100, 500, 1000} {
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				l := newLoad(b, kind)
				bodies := l.jobs(b, b.N, size)
				b.ReportAllocs()
				b.ResetTimer()
				l.sendAll(b, bodies)
				b.StopTimer()
				b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "reports/s")
			})
		}
	}
}

// A report costs the helper at most 32 bytes once it is aggregated, in the file as
// a whole.
func TestBytesPerReport(t *testing.T) {
	const jobs, size = 50, 100
	empty := newLoad(t, countShard).fileSize(t)
	l := newLoad(t, countShard)
	l.sendAll(t, l.jobs(t, jobs, size))
	per := float64(l.fileSize(t)-empty) / (jobs * size)
	t.Logf("%.1f bytes a report beyond the %d of an empty file", per, empty)
	if per > 32 {
		t.Errorf("%.1f bytes a report, want at most 32", per)
	}
}

// fileSize is the length of the file after its log was written back, for which
// the store is closed.
func (l *load) fileSize(t *testing.T) int64 {
	t.Helper()
	l.server.Close()
	if err := l.store.Close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(l.file)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}
