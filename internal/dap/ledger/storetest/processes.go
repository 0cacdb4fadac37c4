package storetest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/atrest"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/vdaf"
)

// The environment of a process that [Processes] starts.
const (
	childOf    = "SHOAL_STORETEST_CHILD_OF"
	childWhere = "SHOAL_STORETEST_WHERE"
	childSeed  = "SHOAL_STORETEST_SEED"
)

// crowd is a task with a helper and reports, the same in every process.
type crowd struct {
	task   *dap.Task
	helper *dap.Aggregator
	ring   *dapkey.Ring
	now    time.Time
	inits  []dap.VerifyInit
}

const (
	crowdReports = 150
	crowdDays    = 3
	crowdJob     = 3
)

func newCrowd() (*crowd, error) {
	random := rand.NewChaCha8([32]byte{11})
	count, err := vdaf.Count()
	if err != nil {
		return nil, err
	}
	config := dap.TaskConfiguration{
		TaskInfo: []byte("processes"), Leader: "https://leader.example/", Helper: "https://helper.example/",
		TimePrecision: 86400, MinBatchSize: 1, BatchMode: dap.TimeIntervalMode,
	}
	if err := config.SetVDAF(count); err != nil {
		return nil, err
	}
	encoded, err := dap.NewCodec(dap.DAP18()).Encode(&config)
	if err != nil {
		return nil, err
	}
	c := &crowd{now: time.Unix(20_000*86400, 0)}
	if c.task, err = dap.NewTask(dap.DAP18(), dap.TaskprovID(encoded), encoded); err != nil {
		return nil, err
	}
	verify := map[dap.VerificationKeyID]*vdaf.VerifyKey{0: {7}}
	leader, err := dap.NewAggregator(c.task, dap.Leader, verify, time.Minute)
	if err != nil {
		return nil, err
	}
	if c.helper, err = dap.NewAggregator(c.task, dap.Helper, verify, time.Minute); err != nil {
		return nil, err
	}
	key, err := dapkey.Generate(1, hpke.X25519, random)
	if err != nil {
		return nil, err
	}
	if c.ring, err = dapkey.NewRing(dapkey.DefaultPlan(), dapkey.Hold(key, c.now, c.now.AddDate(1, 0, 0))); err != nil {
		return nil, err
	}
	var reports []dap.Report
	for i := range crowdReports {
		r := dap.Report{Metadata: dap.ReportMetadata{Time: 19_990 + dap.Time(i%crowdDays)}}
		random.Read(r.Metadata.ID[:])
		shares, err := count.Shard(random, c.task.Context(), vdaf.Nonce(r.Metadata.ID), true)
		if err != nil {
			return nil, err
		}
		r.PublicShare = shares.PublicShare
		for role, to := range map[dap.Role]*dap.HpkeCiphertext{dap.Leader: &r.LeaderShare, dap.Helper: &r.HelperShare} {
			*to, err = c.task.SealInputShare(key.Config(), role, &r.Metadata, r.PublicShare, &dap.PlaintextInputShare{Payload: shares.InputShares[role-dap.Leader]})
			if err != nil {
				return nil, err
			}
		}
		reports = append(reports, r)
	}
	_, req, err := leader.LeaderInit(0, dap.BatchID{}, reports, c.now, c.ring)
	if err != nil {
		return nil, err
	}
	c.inits = req.VerifyInits
	return c, nil
}

func (c *crowd) ledger(ctx context.Context, s ledger.Store) (*ledger.Ledger, error) {
	keys, err := atrest.New(atrest.Key{3})
	if err != nil {
		return nil, err
	}
	ledgers, err := ledger.New(s, ledger.Config{Keys: keys, Clock: clock.NewVirtual(c.now), Rand: rand.NewChaCha8([32]byte{byte(os.Getpid())})})
	if err != nil {
		return nil, err
	}
	return ledgers.Open(ctx, c.task, 0)
}

// job verifies some reports.
func (c *crowd) job(reports []int) (*dap.Outcome, error) {
	req := &dap.AggregationJobInitReq{AggregationJobHeader: c.task.JobHeader(0, dap.BatchID{})}
	for _, i := range reports {
		req.VerifyInits = append(req.VerifyInits, c.inits[i])
	}
	job, err := c.helper.HelperInit(req, c.now, c.ring)
	if err != nil {
		return nil, err
	}
	if len(job.Candidates()) != len(reports) {
		return nil, errors.New("a report is not valid")
	}
	return &job.Outcome, nil
}

// work commits all reports in jobs of a random order, each report in two of them,
// and writes the reports of each job once its commit is acknowledged.
func (c *crowd) work(ctx context.Context, s ledger.Store, seed uint64, out io.Writer) error {
	taskLedger, err := c.ledger(ctx, s)
	if err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(seed, 1))
	order := append(random.Perm(crowdReports), random.Perm(crowdReports)...)
	for job := range slices.Chunk(order, crowdJob) {
		slices.Sort(job)
		job = slices.Compact(job)
		o, err := c.job(job)
		if err != nil {
			return err
		}
		if _, err := taskLedger.Commit(ctx, o, nil); err != nil {
			return err
		}
		fmt.Fprintln(out, strings.Trim(fmt.Sprint(job), "[]"))
	}
	return nil
}

// IsChild reports whether this process is one that [Processes] has started for
// the test.
func IsChild(t *testing.T) bool { return os.Getenv(childOf) == t.Name() }

// Processes has several processes commit to one store at once, kills them
// without warning (SIGKILL), starts others, and checks that what was
// acknowledged is there and nothing counts twice. The test that calls it must be
// at the top; open opens the store at a place, in this process or another. A kill
// proves that steps are atomic, not that they are on disk: the operating system
// lives on.
func Processes(t *testing.T, where string, open func(ctx context.Context, where string) (ledger.Store, error)) {
	c, err := newCrowd()
	if err != nil {
		t.Fatal(err)
	}
	if IsChild(t) {
		seed, err := strconv.ParseUint(os.Getenv(childSeed), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		s, err := open(t.Context(), os.Getenv(childWhere))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.work(t.Context(), s, seed, os.Stderr); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(os.Stderr, "done")
		return
	}
	var seen noted
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 2)) // other moments in each run
	const rounds = 8
	for round := range rounds {
		var wg sync.WaitGroup
		for k := range 2 {
			child := startChild(t, where, uint64(2*round+k))
			after, moment := random.IntN(8), time.Duration(random.IntN(3000))*time.Microsecond
			if round == rounds-1 {
				after = -1
			}
			wg.Go(func() { child.run(t, &seen, after, moment) })
		}
		wg.Wait()
	}
	t.Logf("%d processes were killed, %d reports acknowledged", seen.kills, len(seen.reports))
	s, err := open(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	c.check(t, s, seen.reports)
}

// A child is a process that works on the store.
type child struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner
}

func startChild(t *testing.T, where string, seed uint64) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), childOf+"="+t.Name(), childWhere+"="+where, childSeed+"="+strconv.FormatUint(seed, 10))
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd.Stdout = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // has ended already, unless the test failed
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("a process said %s", log.Bytes())
		}
	})
	return &child{cmd, bufio.NewScanner(pipe)}
}

// noted is what processes have acknowledged, and how many were killed.
type noted struct {
	mu      sync.Mutex
	reports map[int]bool
	kills   int
}

func (n *noted) add(line string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.reports == nil {
		n.reports = make(map[int]bool)
	}
	for _, field := range strings.Fields(line) {
		i, err := strconv.Atoi(field)
		if err != nil {
			return fmt.Errorf("a process says %q", line)
		}
		n.reports[i] = true
	}
	return nil
}

// run notes what the process acknowledges, and kills it a moment after that many
// jobs, -1 for never.
func (c *child) run(t *testing.T, seen *noted, jobs int, moment time.Duration) {
	for n := 0; c.lines.Scan(); n++ {
		if c.lines.Text() == "done" {
			return
		}
		if err := seen.add(c.lines.Text()); err != nil {
			t.Error(err)
			return
		}
		if n == jobs {
			time.Sleep(moment)
			if err := c.cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
			seen.mu.Lock()
			seen.kills++
			seen.mu.Unlock()
		}
	}
	if jobs < 0 {
		t.Error("a process that was not killed ended early")
	}
}

// check holds a store against what was acknowledged, and its IDs against its
// totals.
func (c *crowd) check(t *testing.T, s ledger.Store, acknowledged map[int]bool) {
	t.Helper()
	taskLedger, err := c.ledger(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[dap.ReportID]bool)
	stored := 0
	var checksum dap.Checksum
	for day := range dap.Time(crowdDays) {
		blocks, err := s.Blocks(t.Context(), c.task.ID(), ledger.Page{Window: uint64(19_990 + day)}, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range blocks {
			for id := range slices.Chunk(b.IDs, ledger.IDSize) {
				seen[dap.ReportID(id)] = true
				stored++
				for k, b := range sha256.Sum256(id) {
					checksum[k] ^= b
				}
			}
		}
	}
	total, _, err := taskLedger.Batch(t.Context(), interval(19_990, crowdDays))
	if err != nil {
		t.Fatal(err)
	}
	if stored != len(seen) || total.Count != uint64(stored) || total.Checksum != checksum {
		t.Errorf("%d IDs are stored, %d of them distinct, and %d reports counted; checksums agree: %t", stored, len(seen), total.Count, total.Checksum == checksum)
	}
	for i := range c.inits {
		if acknowledged[i] && !seen[c.inits[i].Share.Metadata.ID] {
			t.Errorf("report %d was acknowledged and is gone", i)
		}
	}
	if len(seen) != crowdReports {
		t.Errorf("%d of %d reports are stored", len(seen), crowdReports)
	}
}

// Interrupted commits with contexts that end at any moment, so that it is not known
// whether a step has happened, tries again as long as it takes, and checks that
// nothing is lost and nothing counts twice.
func Interrupted(t *testing.T, s ledger.Store) {
	c, err := newCrowd()
	if err != nil {
		t.Fatal(err)
	}
	taskLedger, err := c.ledger(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 3)) // other moments in each run
	interrupted := 0
	for job := range slices.Chunk(random.Perm(crowdReports), 4*crowdJob) {
		o, err := c.job(job)
		if err != nil {
			t.Fatal(err)
		}
		for try, done := 0, false; !done; try++ {
			// A connection that was cut takes its time to come back.
			limit := time.Millisecond << min(try, 10)
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.Int64N(int64(limit))))
			_, err := taskLedger.Commit(ctx, o, nil)
			done = err == nil
			if err != nil && ctx.Err() == nil {
				t.Fatal(err)
			}
			if err != nil {
				interrupted++
			}
			cancel()
		}
	}
	acknowledged := make(map[int]bool)
	for i := range crowdReports {
		acknowledged[i] = true
	}
	t.Logf("%d commits were interrupted", interrupted)
	c.check(t, s, acknowledged)
}
