package growth

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/atrest"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/internal/store/sqlite"
	"github.com/shoal-project/shoal/vdaf"
)

const (
	now     = 1_800_000_000
	each    = 20  // reports of a job
	commits = 200 // that are timed
	runIDs  = 1 << 20
	perTask = 1000 // IDs, where there are many tasks
)

// A world is a helper's ledgers in SQLite.
type world struct {
	store   *sqlite.Helper
	ledgers *ledger.Ledgers
	random  *rand.ChaCha8
	ring    *dapkey.Ring
	key     *dapkey.PrivateKey
	prio    *vdaf.Prio3[bool, uint64]
}

type member struct {
	task   *dap.Task
	helper *dap.Aggregator
	leader *dap.Aggregator
	ledger *ledger.Ledger
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func newWorld(b *testing.B) *world {
	w := &world{random: rand.NewChaCha8([32]byte{7})}
	w.store = must(sqlite.OpenHelper(b.Context(), filepath.Join(b.TempDir(), "helper.db")))(b)
	b.Cleanup(func() { w.store.Close() })
	c := clock.NewVirtual(time.Unix(now, 0))
	w.key = must(dapkey.Generate(1, hpke.X25519, w.random))(b)
	w.ring = must(dapkey.NewRing(dapkey.DefaultPlan(), dapkey.Hold(w.key, c.Now().Add(-48*time.Hour), c.Now().AddDate(1, 0, 0))))(b)
	w.ledgers = must(ledger.New(w.store, ledger.Config{Keys: must(atrest.New(atrest.Key{1}))(b), Clock: c, Rand: w.random}))(b)
	w.prio = must(vdaf.Count())(b)
	return w
}

func (w *world) member(b *testing.B, n int) *member {
	config := dap.TaskConfiguration{
		TaskInfo: fmt.Appendf(nil, "task %d", n), Leader: "https://leader.example/", Helper: "https://helper.example/",
		TimePrecision: 3600, MinBatchSize: 2, BatchMode: dap.TimeIntervalMode,
	}
	if err := config.SetVDAF(w.prio); err != nil {
		b.Fatal(err)
	}
	encoded := must(dap.NewCodec(dap.DAP18()).Encode(&config))(b)
	m := &member{task: must(dap.NewTask(dap.DAP18(), dap.TaskprovID(encoded), encoded))(b)}
	verify := map[dap.VerificationKeyID]*vdaf.VerifyKey{0: {7}}
	m.helper = must(dap.NewAggregator(m.task, dap.Helper, verify, time.Minute))(b)
	m.leader = must(dap.NewAggregator(m.task, dap.Leader, verify, time.Minute))(b)
	m.ledger = must(w.ledgers.Open(b.Context(), m.task, 0))(b)
	return m
}

// page is where the reports of now are.
func page() ledger.Page {
	return ledger.DefaultLayout(3600).Page(dap.ReportID{}, now/3600)
}

// fill writes IDs as commits and what puts them in order leave them behind.
func (w *world) fill(b *testing.B, m *member, n int) {
	seq, at := uint32(0), page()
	for n > 0 {
		count := min(n, runIDs)
		n -= count
		raw := make([]byte, count*ledger.IDSize)
		w.random.Read(raw)
		ids := make([]dap.ReportID, count)
		for i := range ids {
			ids[i] = dap.ReportID(raw[i*ledger.IDSize:])
		}
		slices.SortFunc(ids, func(x, y dap.ReportID) int { return bytes.Compare(x[:], y[:]) })
		for i := range ids {
			copy(raw[i*ledger.IDSize:], ids[i][:])
		}
		seq++
		all := ledger.Block{Page: at, Seq: seq, IDs: raw}
		if err := w.store.Commit(b.Context(), ledger.Change{Task: m.task.ID(), Blocks: []ledger.Block{all}}); err != nil {
			b.Fatal(err)
		}
		if count < runIDs {
			continue
		}
		c := ledger.Compaction{After: seq - 1, Last: seq, Count: 1}
		for part := range slices.Chunk(raw, 4096*ledger.IDSize) {
			seq++
			c.Blocks = append(c.Blocks, ledger.Block{Page: at, Seq: seq, IDs: part})
		}
		if err := w.store.Compact(b.Context(), m.task.ID(), c); err != nil {
			b.Fatal(err)
		}
	}
}

// outcome is that of a job of new reports.
func (w *world) outcome(b *testing.B, m *member) *dap.Outcome {
	keys := w.ring.Configs(time.Unix(now, 0))
	var reports []dap.Report
	for range each {
		md := dap.ReportMetadata{Time: now / 3600}
		w.random.Read(md.ID[:])
		shares := must(w.prio.Shard(w.random, m.task.Context(), vdaf.Nonce(md.ID), true))(b)
		r := dap.Report{Metadata: md, PublicShare: shares.PublicShare}
		mine, theirs := dap.PlaintextInputShare{Payload: shares.InputShares[0]}, dap.PlaintextInputShare{Payload: shares.InputShares[1]}
		r.LeaderShare = must(m.task.SealInputShare(keys[0], dap.Leader, &md, r.PublicShare, &mine))(b)
		r.HelperShare = must(m.task.SealInputShare(keys[0], dap.Helper, &md, r.PublicShare, &theirs))(b)
		reports = append(reports, r)
	}
	_, req, err := m.leader.LeaderInit(0, dap.BatchID{}, reports, time.Unix(now, 0), w.ring)
	if err != nil {
		b.Fatal(err)
	}
	job := must(m.helper.HelperInit(req, time.Unix(now, 0), w.ring))(b)
	return &job.Outcome
}

// commit times commits to the members in turn and returns the median.
func (w *world) commit(b *testing.B, all []*member) time.Duration {
	for _, m := range all { // reads the page
		one := dap.Candidate{ID: dap.ReportID{1}, Time: now / 3600, Bucket: m.task.Bucket(now/3600, dap.BatchID{})}
		if _, err := m.ledger.Check(b.Context(), []dap.Candidate{one}); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := all[0].ledger.Commit(b.Context(), w.outcome(b, all[0]), nil); err != nil {
		b.Fatal(err)
	}
	var times []time.Duration
	for k := range commits {
		m := all[k*7919%len(all)]
		o := w.outcome(b, m)
		start := time.Now()
		verdicts, err := m.ledger.Commit(b.Context(), o, nil)
		times = append(times, time.Since(start))
		if err != nil || slices.ContainsFunc(verdicts, func(e dap.ReportError) bool { return e != 0 }) {
			b.Fatal(verdicts, err)
		}
	}
	slices.Sort(times)
	return times[len(times)/2]
}

func most() int {
	if n, err := strconv.Atoi(os.Getenv("SHOAL_BENCH_IDS")); err == nil {
		return n
	}
	return 100_000_000
}

// BenchmarkLedger prints the median time of a commit of 20 reports beside what the
// same database takes for it with the least stored.
func BenchmarkLedger(b *testing.B) {
	fmt.Printf("%12s %8s %12s %8s %10s\n", "report IDs", "tasks", "commit", "ratio", "memory")
	var base time.Duration
	row := func(b *testing.B, ids, tasks int) {
		w := newWorld(b)
		var all []*member
		for n := range tasks {
			m := w.member(b, n)
			w.fill(b, m, ids/tasks)
			all = append(all, m)
		}
		took := w.commit(b, all)
		if base == 0 {
			base = took
		}
		runtime.GC()
		ratio := float64(took) / float64(base)
		fmt.Printf("%12d %8d %12v %8.2f %6d MiB\n", ids, tasks, took.Round(10*time.Microsecond), ratio, w.ledgers.Cached()>>20)
		b.ReportMetric(float64(took.Microseconds()), "µs/commit")
		b.ReportMetric(ratio, "ratio")
	}
	for ids := 100_000; ids <= most(); ids *= 10 {
		b.Run(fmt.Sprintf("ids=%d", ids), func(b *testing.B) { row(b, ids, 1) })
	}
	for _, tasks := range []int{100, 10_000} {
		b.Run(fmt.Sprintf("tasks=%d", tasks), func(b *testing.B) { row(b, perTask*tasks, tasks) })
	}
}
