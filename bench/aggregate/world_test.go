package aggregate_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
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
	"github.com/shoal-project/shoal/internal/dap/leader"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/dap/tasks"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/internal/store/postgres"
	"github.com/shoal-project/shoal/internal/store/postgres/postgrestest"
	"github.com/shoal-project/shoal/internal/store/sqlite"
	"github.com/shoal-project/shoal/vdaf"
)

// begin is the virtual time of all reports. It does not advance until they are sent.
func begin() time.Time { return time.Unix(480_010*3600, 0).UTC() }

// A world is a leader and a helper of one task.
type world struct {
	clock     *clock.Virtual
	task      *dap.Task
	shard     func(nonce vdaf.Nonce, i int) (*vdaf.Sharded, error)
	unshard   func(shares [][]byte, n uint64) ([]uint64, error)
	leader    *leader.Leader
	rings     [2]*tasks.Registry // leader, helper
	token     auth.Token         // of the collector
	collector *dapkey.PrivateKey
	url       string // of the leader
	dir       string
	postgres  bool
	stop      func() // ends both, and leaves the files
}

// newWorld starts both aggregators. Workers and sizes are the defaults.
func newWorld(t testing.TB, in vdaf.Instance, postgres bool) *world {
	t.Helper()
	w := &world{clock: clock.NewVirtual(begin()), dir: t.TempDir(), postgres: postgres}
	listeners := []net.Listener{listen(t), listen(t)}
	w.url = "http://" + listeners[0].Addr().String()
	config := dap.TaskConfiguration{
		TaskInfo: []byte("benchmark"), Leader: w.url + "/", Helper: "http://" + listeners[1].Addr().String() + "/",
		TimePrecision: 3600, MinBatchSize: 1, BatchMode: dap.TimeIntervalMode,
	}
	check(t, config.SetVDAF(in))
	encoded, err := dap.NewCodec(dap.DAP18()).Encode(&config)
	check(t, err)
	w.task, err = dap.NewTask(dap.DAP18(), dap.TaskprovID(encoded), encoded)
	check(t, err)
	w.collector, err = dapkey.Generate(1, hpke.X25519, rand.Reader)
	check(t, err)
	w.token, err = auth.NewToken(rand.Reader)
	check(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	w.stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(w.stop)
	w.start(t, ctx, &running, encoded, listeners)
	return w
}

func (w *world) start(t testing.TB, ctx context.Context, running *sync.WaitGroup, encoded []byte, listeners []net.Listener) {
	t.Helper()
	key, err := atrest.GenerateKey(rand.Reader)
	check(t, err)
	keys, err := atrest.New(key)
	check(t, err)
	secret, err := dap.DeriveVerifyKey(bytes.Repeat([]byte{7}, 32), w.task.ID())
	check(t, err)
	between, err := auth.NewToken(rand.Reader)
	check(t, err)
	entry := tasks.Entry{
		ID: w.task.ID(), Variant: "dap-18", Config: encoded, Role: dap.Leader,
		VerifyKeys: map[dap.VerificationKeyID]vdaf.VerifyKey{1: *secret}, VerifyWith: 1,
		CollectorTokens: []auth.Hash{w.token.Hash()}, Outbound: between, Collector: w.collector.Config(), Leeway: 5 * time.Minute,
	}
	ours, theirs := w.stores(t, ctx)
	var ledgers [2]*ledger.Ledgers
	for i, role := range []dap.Role{dap.Leader, dap.Helper} {
		var store interface {
			ledger.Store
			tasks.Store
		} = ours
		if role == dap.Helper {
			store = theirs
			entry.Role, entry.Inbound, entry.CollectorTokens, entry.Outbound = role, []auth.Hash{between.Hash()}, nil, auth.Token{}
		}
		w.rings[i], err = tasks.Open(ctx, store, tasks.Config{Role: role, Keys: keys, Clock: w.clock, Rand: rand.Reader})
		check(t, err)
		check(t, w.rings[i].Add(ctx, entry))
		ledgers[i], err = ledger.New(store, ledger.Config{Keys: keys, Clock: w.clock, Rand: rand.Reader})
		check(t, err)
	}
	w.leader, err = leader.New(ctx, leader.Config{
		Store: ours, Ledgers: ledgers[0], Registry: w.rings[0], FS: durable.OS(), Dir: filepath.Join(w.dir, "reports"), Clock: w.clock,
		Failed: func(err error) { t.Errorf("leader: %v", err) },
	})
	check(t, err)
	h, err := helper.New(helper.Config{
		Store: theirs, Ledgers: ledgers[1], Registry: w.rings[1], Clock: w.clock, Report: func(err error) { t.Errorf("helper: %v", err) },
	})
	check(t, err)
	for i, handler := range []http.Handler{w.leader.Handler(), h.Handler()} {
		server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
		running.Go(func() { _ = server.Serve(listeners[i]) })
		running.Go(func() { <-ctx.Done(); server.Close() })
	}
	running.Go(func() {
		_ = w.leader.Run(ctx, func(err error) { t.Errorf("leader: %v", err) })
		w.leader.Close() //nolint:contextcheck // Close has no context: the claim is given up after that of the process has ended
		ours.Close()
		theirs.Close()
	})
}

// What the roles ask of a database.
type (
	leaderStore interface {
		leader.Store
		tasks.Store
		io.Closer
	}
	helperStore interface {
		helper.Store
		tasks.Store
		io.Closer
	}
)

// stores opens both roles' databases: files, or schemas of the server that
// SHOAL_TEST_POSTGRES names.
func (w *world) stores(t testing.TB, ctx context.Context) (leaderStore, helperStore) {
	t.Helper()
	if w.postgres {
		ours, err := postgres.OpenLeader(ctx, postgrestest.Schema(t)) //nolint:contextcheck // the schema is dropped after the context of the test has ended
		check(t, err)
		theirs, err := postgres.OpenHelper(ctx, postgrestest.Schema(t)) //nolint:contextcheck // the schema is dropped after the context of the test has ended
		check(t, err)
		return ours, theirs
	}
	ours, err := sqlite.OpenLeader(ctx, filepath.Join(w.dir, "leader.db"))
	check(t, err)
	theirs, err := sqlite.OpenHelper(ctx, filepath.Join(w.dir, "helper.db"))
	check(t, err)
	return ours, theirs
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	return l
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// histogram makes the task's clients report buckets in turn.
func histogram(t testing.TB, length, chunk int, postgres bool) *world {
	t.Helper()
	v, err := vdaf.Histogram(length, chunk)
	check(t, err)
	w := newWorld(t, v, postgres)
	w.shard = func(nonce vdaf.Nonce, i int) (*vdaf.Sharded, error) {
		return v.Shard(rand.Reader, w.task.Context(), nonce, i%length)
	}
	w.unshard = v.Unshard
	return w
}

// count makes the task's clients report 0 and 1 in turn.
func count(t testing.TB) *world {
	t.Helper()
	v, err := vdaf.Count()
	check(t, err)
	w := newWorld(t, v, false)
	w.shard = func(nonce vdaf.Nonce, i int) (*vdaf.Sharded, error) {
		return v.Shard(rand.Reader, w.task.Context(), nonce, i%2 == 1)
	}
	w.unshard = func(shares [][]byte, n uint64) ([]uint64, error) {
		sum, err := v.Unshard(shares, n)
		return []uint64{sum}, err
	}
	return w
}

// sealed makes n encoded reports on all cores. They lie in few large pieces of
// memory, so that they cost the garbage collector nothing.
func (w *world) sealed(t testing.TB, n int) [][]byte {
	t.Helper()
	reports := make([][]byte, n)
	var group sync.WaitGroup
	var next atomic.Int64
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			var slab []byte
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				one, err := w.seal(i)
				if err != nil {
					t.Error(err)
					return
				}
				if len(one) > cap(slab)-len(slab) {
					slab = make([]byte, 0, 64<<20)
				}
				start := len(slab)
				slab = append(slab, one...)
				reports[i] = slab[start:len(slab):len(slab)]
			}
		})
	}
	group.Wait()
	return reports
}

func (w *world) seal(i int) ([]byte, error) {
	var md dap.ReportMetadata
	if _, err := rand.Read(md.ID[:]); err != nil {
		return nil, err
	}
	md.Time = 480_010
	shares, err := w.shard(vdaf.Nonce(md.ID), i)
	if err != nil {
		return nil, err
	}
	r := dap.Report{Metadata: md, PublicShare: shares.PublicShare}
	for k, to := range []*dap.HpkeCiphertext{&r.LeaderShare, &r.HelperShare} {
		key := w.rings[k].Keyring().Configs(begin())[0]
		*to, err = w.task.SealInputShare(key, dap.Leader+dap.Role(k), &md, r.PublicShare, &dap.PlaintextInputShare{Payload: shares.InputShares[k]})
		if err != nil {
			return nil, err
		}
	}
	return w.task.Codec().Encode(&r)
}

// stored returns the size of a file of the world, in bytes.
func (w *world) stored(t testing.TB, name string) int64 {
	t.Helper()
	info, err := os.Stat(filepath.Join(w.dir, name))
	check(t, err)
	return info.Size()
}
