package growth

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/atrest"
	"github.com/shoal-project/shoal/internal/dap/auth"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/dap/leader"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/dap/tasks"
	taskstest "github.com/shoal-project/shoal/internal/dap/tasks/storetest"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/internal/store/sqlite"
	"github.com/shoal-project/shoal/vdaf"
)

// aLeader is a leader with its logs on disk and its store in SQLite, whose helper is
// away.
type aLeader struct {
	leader *leader.Leader
	clock  *clock.Virtual
	random *rand.ChaCha8
	tasks  []*dap.Task
	report dap.Report // all but its ID
	ids    atomic.Uint64
}

type away struct{}

func (away) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("away") }

func newLeader(b *testing.B, taskStore int) *aLeader {
	b.Helper()
	a := &aLeader{clock: clock.NewVirtual(time.Unix(now, 0)), random: rand.NewChaCha8([32]byte{7})}
	store := must(sqlite.OpenLeader(b.Context(), filepath.Join(b.TempDir(), "leader.db")))(b)
	b.Cleanup(func() { store.Close() })
	keys := must(atrest.New(atrest.Key{1}))(b)
	ledgers := must(ledger.New(store, ledger.Config{Keys: keys, Clock: a.clock, Rand: a.random}))(b)
	served := must(tasks.Open(b.Context(), taskstest.NewModel(), tasks.Config{Role: dap.Leader, Keys: keys, Clock: a.clock, Rand: a.random}))(b)
	collector := must(dapkey.Generate(9, hpke.X25519, a.random))(b)
	token := must(auth.NewToken(a.random))(b)
	histogram := must(vdaf.Histogram(100, 10))(b)
	for n := range taskStore {
		config := dap.TaskConfiguration{
			TaskInfo: fmt.Appendf(nil, "task %d", n), Leader: "https://leader.example/", Helper: "https://helper.example/",
			TimePrecision: 3600, MinBatchSize: 2, BatchMode: dap.TimeIntervalMode,
		}
		if err := config.SetVDAF(histogram); err != nil {
			b.Fatal(err)
		}
		encoded := must(dap.NewCodec(dap.DAP18()).Encode(&config))(b)
		t := must(dap.NewTask(dap.DAP18(), dap.TaskprovID(encoded), encoded))(b)
		a.tasks = append(a.tasks, t)
		err := served.Add(b.Context(), tasks.Entry{
			ID: t.ID(), Variant: dap.DAP18().String(), Config: encoded, Role: dap.Leader,
			VerifyKeys: map[dap.VerificationKeyID]vdaf.VerifyKey{0: {7}}, CollectorTokens: []auth.Hash{token.Hash()}, Outbound: token,
			Collector: collector.Config(), Leeway: 5 * time.Minute,
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	a.leader = must(leader.New(b.Context(), leader.Config{
		Store: store, Ledgers: ledgers, Registry: served, FS: durable.OS(), Dir: b.TempDir(), Clock: a.clock, Rand: a.random,
		Client: &http.Client{Transport: away{}}, LogAge: time.Hour,
	}))(b)
	b.Cleanup(func() { a.leader.Close() })
	// One report is sealed; it is opened by jobs alone.
	shares := must(histogram.Shard(a.random, a.tasks[0].Context(), vdaf.Nonce{}, 1))(b)
	a.report = dap.Report{Metadata: dap.ReportMetadata{Time: now / 3600}, PublicShare: shares.PublicShare}
	share := dap.PlaintextInputShare{Payload: shares.InputShares[0]}
	key := served.Keyring().Configs(a.clock.Now())[0]
	a.report.LeaderShare = must(a.tasks[0].SealInputShare(key, dap.Leader, &a.report.Metadata, a.report.PublicShare, &share))(b)
	share.Payload = shares.InputShares[1]
	a.report.HelperShare = must(a.tasks[0].SealInputShare(key, dap.Helper, &a.report.Metadata, a.report.PublicShare, &share))(b)
	return a
}

// post uploads so many reports, one a request and 64 at once, to the tasks in turn.
func (a *aLeader) post(b *testing.B, n int) (wall, processor time.Duration) {
	b.Helper()
	bodies := make([][]byte, n)
	for i := range bodies {
		r := a.report
		binary.BigEndian.PutUint64(r.Metadata.ID[:], a.ids.Add(1))
		bodies[i] = must(a.tasks[0].Codec().Encode(&dap.UploadRequest{Reports: []dap.Report{r}}))(b)
	}
	handler := a.leader.Handler()
	var next atomic.Int64
	var failed atomic.Int64
	var g sync.WaitGroup
	runtime.GC()
	begun, used := time.Now(), processorTime()
	for range 64 {
		g.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				req := httptest.NewRequest(http.MethodPost, "/"+dap.ReportsPath(a.tasks[i%len(a.tasks)].ID()), bytes.NewReader(bodies[i]))
				req.Header.Set("Content-Type", dap.TypeUploadRequest.MediaType())
				rec := httptest.NewRecorder()
				handler.ServeHTTP(rec, req)
				if rec.Code != http.StatusOK || rec.Body.Len() > 0 {
					failed.Store(int64(rec.Code))
				}
			}
		})
	}
	g.Wait()
	if code := failed.Load(); code != 0 {
		b.Fatalf("upload answered %d", code)
	}
	return time.Since(begun), processorTime() - used
}

func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkLeader prints what the leader of the aggregate route does for one report
// when all of its tasks have logs, and what it keeps open: the first report of each
// task, a report after that, a look with nothing to do, files and goroutines, and the
// putting of all reports into jobs.
func BenchmarkLeader(b *testing.B) {
	most := bound("SHOAL_BENCH_TASKS", 3000)
	fmt.Printf("%8s %10s %10s %10s %10s %10s %8s %10s\n", "tasks", "first µs", "cpu µs", "report µs", "cpu µs", "look ms", "files", "goroutines")
	for _, n := range []int{1, 100, 3000} {
		if n > most {
			break
		}
		b.Run(fmt.Sprintf("tasks=%d", n), func(b *testing.B) {
			const reports = 20_000
			a := newLeader(b, n)
			first, firstUsed := a.post(b, n)
			wall, used := a.post(b, reports)
			look := median(func() {
				if err := a.leader.Tick(b.Context()); err != nil {
					b.Fatal(err)
				}
			})
			files, _ := os.ReadDir("/proc/self/fd")
			fmt.Printf("%8d %10s %10s %10s %10s %10s %8d %10d\n", n, micros(first, n), micros(firstUsed, n), micros(wall, reports), micros(used, reports),
				millis(look), len(files), runtime.NumGoroutine())
		})
	}
}
