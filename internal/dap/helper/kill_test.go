package helper_test

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/rand"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/atrest"
	"github.com/shoal-project/shoal/internal/dap/helper"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/dap/tasks"
	"github.com/shoal-project/shoal/internal/store/sqlite"
)

// The environment of the helper in its own process.
const (
	killFile = "SHOAL_TEST_HELPER_FILE"
	killKey  = "SHOAL_TEST_HELPER_KEY"
)

// TestHelperProcess is the helper that [TestKill] kills: it prints its address and
// serves until it dies.
func TestHelperProcess(t *testing.T) {
	file := os.Getenv(killFile)
	if file == "" {
		t.Skip("only for TestKill")
	}
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	store, err := sqlite.OpenHelper(t.Context(), file)
	must(err)
	key, err := atrest.ParseKey(os.Getenv(killKey))
	must(err)
	keys, err := atrest.New(key)
	must(err)
	time := clock.NewVirtual(start())
	registry, err := tasks.Open(t.Context(), store, tasks.Config{Role: dap.Helper, Keys: keys, Clock: time, Rand: rand.Reader})
	must(err)
	ledgers, err := ledger.New(store, ledger.Config{Keys: keys, Clock: time, Rand: rand.Reader})
	must(err)
	h, err := helper.New(helper.Config{Store: store, Registry: registry, Ledgers: ledgers, Clock: time, Async: os.Getenv("SHOAL_TEST_HELPER_ASYNC") != ""})
	must(err)
	go func() { _ = h.Run(t.Context()) }()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	fmt.Printf("address %v\n", l.Addr())
	must(http.Serve(l, h.Handler())) //nolint:gosec // a test's server, killed by the test
}

// A victim is a helper in a process of its own that is killed and started again.
// As a handler it passes requests on.
type victim struct {
	t   *testing.T
	env []string

	mu      sync.Mutex
	cmd     *exec.Cmd
	address string
	client  http.Client
}

func (v *victim) start() {
	cmd := exec.Command(os.Args[0], "-test.run=^TestHelperProcess$")
	cmd.Env = append(os.Environ(), v.env...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		v.t.Error(err)
		return
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		v.t.Error(err)
		return
	}
	address := ""
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), "address "); ok {
			address = rest
			break
		}
	}
	if address == "" {
		v.t.Error("the helper has not started")
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.cmd, v.address = cmd, address
}

func (v *victim) kill() {
	v.mu.Lock()
	cmd := v.cmd
	v.mu.Unlock()
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // it was killed
}

func (v *victim) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	address := v.address
	v.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	out, err := http.NewRequestWithContext(r.Context(), r.Method, "http://"+address+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	out.Header = r.Header
	resp, err := v.client.Do(out)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	for name, values := range resp.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(resp.StatusCode)
	_, _ = w.Write(answer)
}

// The helper is killed under load, again and again, and started on the same file:
// each job gets one answer, each report counts once, and the batch that both sides
// have is the same. SHOAL_KILLS is the number of times.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	kills, err := strconv.Atoi(cmp.Or(os.Getenv("SHOAL_KILLS"), "4"))
	if err != nil {
		t.Fatal(err)
	}
	for _, asynchronous := range []string{"", "yes"} {
		t.Run("async="+asynchronous, func(t *testing.T) { testKill(t, kills, asynchronous) })
	}
}

func testKill(t *testing.T, kills int, asynchronous string) {
	file := filepath.Join(t.TempDir(), "helper.db")
	store, err := sqlite.OpenHelper(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, dap.DAP18(), dap.TimeIntervalMode, func(w *world, _ *dap.TaskConfiguration, _ *helperConfig) {
		w.store, w.tasks = store, store
	})
	type job struct {
		leader *dap.LeaderJob
		body   []byte
		answer []byte
	}
	jobs := make([]job, 6*kills+10)
	shared := w.report(5) // in every job: it counts once
	for i := range jobs {
		jobs[i].leader, jobs[i].body = w.init(dap.BatchID{}, w.report(i%5), shared, w.report(i%5))
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	v := &victim{t: t, env: []string{killFile + "=" + file, killKey + "=" + w.keyText, "SHOAL_TEST_HELPER_ASYNC=" + asynchronous}}
	v.start()
	w.handler = v

	var wg sync.WaitGroup
	var answered atomic.Int64
	work := make(chan int, len(jobs))
	for i := range jobs {
		work <- i
	}
	close(work)
	for range 3 {
		wg.Go(func() {
			for i := range work {
				for tries := 0; len(jobs[i].answer) == 0; tries++ {
					a := w.createJob(0, jobs[i].body)
					if a.Code < 300 && a.Body.Len() > 0 {
						jobs[i].answer = a.Body.Bytes()
						answered.Add(1)
					} else if tries > 10_000 || a.Code >= 400 && a.Code != http.StatusBadGateway {
						t.Errorf("job %d: %d %s", i, a.Code, a.Body)
						return
					}
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	r := mrand.New(mrand.NewPCG(1, 2))
	for n := range kills {
		// Not before some jobs have gone on, so that the kills fall into work.
		for answered.Load() < int64(n*5) && !t.Failed() {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Duration(r.IntN(20)) * time.Millisecond)
		v.kill()
		v.start()
	}
	wg.Wait()
	if t.Failed() {
		v.kill()
		return
	}

	var results []*dap.LeaderResult
	for i := range jobs {
		again := w.createJob(0, jobs[i].body)
		if !bytes.Equal(again.Body.Bytes(), jobs[i].answer) {
			t.Fatalf("job %d has two answers", i)
		}
		results = append(results, w.finish(jobs[i].leader, again))
	}
	counted := 0
	for _, result := range results {
		for _, c := range result.Candidates() {
			if c.ID == shared.Metadata.ID {
				counted++
			}
		}
	}
	if counted != 1 {
		t.Errorf("the report that is in every job counts %d times", counted)
	}
	query, selector := hour(unit)
	req, mine := w.shareReq(query, selector, results...)
	got := w.unshard(w.createShare(0, w.encode(req)), req, mine)
	want := make([]uint64, 10)
	want[5] = 1
	for i := range jobs {
		want[i%5] += 2
	}
	if !slices.Equal(got, want) {
		t.Errorf("result %v, want %v", got, want)
	}
	v.kill()
}
