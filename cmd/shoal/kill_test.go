package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
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

// clockFile names the environment variable by which the test's servers get
// their clock.
const clockFile = "SHOAL_TEST_CLOCK_FILE"

// A fileClock is the machine's clock plus the seconds written in a file, so
// that the test can let an epoch pass in processes that it has started.
type fileClock struct{ name string }

func (c fileClock) Now() time.Time {
	b, err := os.ReadFile(c.name)
	if err != nil {
		panic(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		panic(err)
	}
	return time.Now().UTC().Add(time.Duration(n) * time.Second)
}

func (c fileClock) Until(ctx context.Context, t time.Time) error {
	for c.Now().Before(t) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return ctx.Err()
}

var _ clock.Clock = fileClock{}

// A victim is a server process that is killed and started again.
type victim struct {
	t      *testing.T
	config string
	public string // its address
	clock  string
	cmd    *exec.Cmd
	log    *os.File
}

func (v *victim) start() {
	v.t.Helper()
	v.cmd = exec.Command(os.Args[0], "serve", "--config", v.config)
	v.cmd.Env = append(os.Environ(), clockFile+"="+v.clock)
	v.cmd.Stderr = v.log
	if err := v.cmd.Start(); err != nil {
		v.t.Fatal(err)
	}
	for range 200 {
		if c, err := net.Dial("tcp", v.public); err == nil {
			c.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	log, _ := os.ReadFile(v.log.Name())
	v.t.Fatalf("%s does not listen on %s:\n%s", v.config, v.public, log)
}

func (v *victim) kill() {
	_ = v.cmd.Process.Kill()
	_ = v.cmd.Wait()
}

// found makes an organisation on a free loopback port.
func found(t *testing.T, role task.Role, owner task.IdentityKey, clock string) (*victim, task.Party) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	dir := filepath.Join(t.TempDir(), role.String())
	url := "http://" + l.Addr().String()
	file, identity, err := server.Init(dir, server.Organisation{
		Name: role.String(), Roles: []task.Role{role}, URL: url, Listen: l.Addr().String(), Owners: []string{task.FormatPublic(owner.Public())},
	}, time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte("bundles: []"), []byte("bundles: [tasks.shoal]"), 1)
	text = listeners.ReplaceAll(text, nil)
	text = append(text, "floors: {min_threshold: 2, min_batch: 2, allow_naive: true}\nops: {listen: \"off\"}\nconsole: {listen: \"off\"}\nbatches: {tick: 1s}\nlog: {level: error}\n"...)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	id, err := task.ParsePublic(identity)
	if err != nil {
		t.Fatal(err)
	}
	r := task.Shuffler
	if role == task.Analyzer {
		r = task.Analyzer
	}
	return &victim{t: t, config: file, public: l.Addr().String(), clock: clock, log: log}, task.Party{Role: r, URL: url, Identity: id}
}

// killTask is a task in which every report differs from every other, so that
// any loss and any double count shows in the released table.
func killTask(owner ed25519.PublicKey, hops []task.Party) *task.Task {
	start := time.Now().Add(-24*time.Hour).Unix() / 3600 * 3600
	t := &task.Task{
		Owner: owner, OwnedBy: "test", Metric: "kill", Question: "Which reports arrived?", Consent: "A test.", Method: task.Crowd,
		Schema:    task.Schema{{Name: "id", Kind: task.String, Max: 16}},
		Crowd:     task.CrowdRule{Kind: task.Constant, SaltEpochs: 1},
		Threshold: task.Threshold{Kind: task.Naive, T: 2},
		MinBatch:  2, EpochSeconds: 3600, MaxDelay: 3600, ClockSkew: 60, PerEpoch: 1, PerCrowd: 1,
		PayloadSize: 64, Hops: hops, RetentionDays: 30, NotBefore: start, Expires: start + 30*86400,
	}
	return t
}

// TestKill kills the servers at random moments, while reports arrive, and while
// the batch is closed, handed over and released. Every report that was
// acknowledged must be released exactly once.
//
// It covers what crashfs cannot: real processes, real files, real HTTP. It does
// not cover power loss, which crashfs does: the page cache survives a kill.
func TestKill(t *testing.T) {
	kills := 6
	if n, err := strconv.Atoi(os.Getenv("SHOAL_KILLS")); err == nil {
		kills = n
	}
	if testing.Short() {
		t.Skip("starts servers")
	}
	clockName := filepath.Join(t.TempDir(), "clock")
	// Begin in the first half of an epoch.
	offset := int(3600 - time.Now().Unix()%3600)
	setClock := func(n int) {
		t.Helper()
		if err := os.WriteFile(clockName+".new", []byte(strconv.Itoa(n)), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(clockName+".new", clockName); err != nil {
			t.Fatal(err)
		}
	}
	setClock(offset)
	owner, err := task.GenerateIdentityKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	shuffler, p1 := found(t, task.Shuffler, owner, clockName)
	analyzer, p2 := found(t, task.Analyzer, owner, clockName)
	signed, err := task.Sign(killTask(owner.Public(), []task.Party{p1, p2}), owner)
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := (&task.Bundle{Tasks: []*task.Signed{signed}}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []*victim{shuffler, analyzer} {
		if err := os.WriteFile(filepath.Join(filepath.Dir(v.config), "tasks.shoal"), bundle, 0o600); err != nil {
			t.Fatal(err)
		}
		v.start()
		defer v.kill()
	}
	opened, _, err := signed.Open([]ed25519.PublicKey{owner.Public()})
	if err != nil {
		t.Fatal(err)
	}

	load := startLoad(t, opened, fileClock{clockName}, 120*kills+200)
	random := mrand.New(mrand.NewPCG(1, uint64(kills)))
	wait := func() { time.Sleep(time.Duration(10+random.IntN(200)) * time.Millisecond) }
	for range kills * 3 / 4 { // while reports arrive
		wait()
		shuffler.kill()
		shuffler.start()
	}
	acknowledged := load.wait()
	setClock(offset + 3600 + 3600 + 60 + 5)
	for i := range kills - kills*3/4 { // while the batch is on its way
		wait()
		v := []*victim{shuffler, analyzer}[i%2]
		v.kill()
		v.start()
	}
	released := waitForRelease(t, analyzer, clockName)
	t.Logf("%d kills; %d reports acknowledged after %d attempts; %d released", kills, len(acknowledged), load.attempts.Load(), len(released))
	seen := make(map[string]int)
	for _, id := range released {
		seen[id]++
	}
	for _, id := range acknowledged {
		if seen[id] != 1 {
			t.Errorf("report %s was acknowledged and released %d times", id, seen[id])
		}
		delete(seen, id)
	}
	if len(seen) > 0 {
		t.Errorf("%d reports were released that nobody sent: %v", len(seen), seen)
	}
}

// A loader sends reports until each is acknowledged.
type loader struct {
	done     sync.WaitGroup
	attempts atomic.Int64
	mu       sync.Mutex
	ids      []string // acknowledged
}

func (l *loader) wait() []string {
	l.done.Wait()
	return l.ids
}

// startLoad sends n reports from a few goroutines, as fast as it can; each is
// sent again, byte for byte, until the shuffler has acknowledged it.
func startLoad(t *testing.T, tk *task.Task, c clock.Clock, n int) *loader {
	t.Helper()
	id, err := tk.ID()
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Timeout: 5 * time.Second}
	keys := fetchKeys(t, client, tk, id, c.Now())
	e, err := encoder.New(tk, id)
	if err != nil {
		t.Fatal(err)
	}
	url := tk.First().URL + "/tasks/" + id.String() + "/reports"
	l := new(loader)
	const workers = 8
	for w := range workers {
		l.done.Go(func() {
			for i := w; i < n; i += workers {
				name := fmt.Sprintf("r%06d", i)
				fragments, err := e.Encode(map[string]any{"id": name}, rand.Reader)
				if err != nil {
					t.Error(err)
					return
				}
				report, err := e.Seal(fragments[0], tk.EpochAt(c.Now()), keys)
				if err != nil {
					t.Error(err)
					return
				}
				for !l.post(t, client, url, report) {
					time.Sleep(10 * time.Millisecond)
				}
				l.mu.Lock()
				l.ids = append(l.ids, name)
				l.mu.Unlock()
			}
		})
	}
	return l
}

// post sends a report once and reports whether it needs no further try.
func (l *loader) post(t *testing.T, client *http.Client, url string, report []byte) bool {
	l.attempts.Add(1)
	resp, err := client.Post(url, "application/shoal-report;v=1", bytes.NewReader(report))
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode >= 400 && resp.StatusCode < 500 {
		t.Errorf("a report was refused: %s %s", resp.Status, body)
		return true
	}
	return resp.StatusCode == http.StatusCreated
}

func fetchKeys(t *testing.T, client *http.Client, tk *task.Task, id task.ID, now time.Time) []task.Key {
	t.Helper()
	var last error
	for range 100 {
		keys, err := func() ([]task.Key, error) {
			resp, err := client.Get(tk.First().URL + "/tasks/" + id.String() + "/keys")
			if err != nil {
				return nil, err
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != http.StatusOK {
				return nil, fmt.Errorf("%s: %s: %w", resp.Status, body, err)
			}
			list, err := task.ParseKeyConfigList(body)
			if err != nil {
				return nil, err
			}
			configs, err := list.Open(tk, now)
			if err != nil {
				return nil, err
			}
			return esa.ChooseKeys(tk, configs, now)
		}()
		if err == nil {
			return keys
		}
		last = err
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("no keys: %v", last)
	return nil
}

// waitForRelease asks the analyzer's export until the batch is there, and
// returns the released IDs.
func waitForRelease(t *testing.T, analyzer *victim, clockName string) []string {
	t.Helper()
	var out []byte
	var stderr string
	for range 240 {
		cmd := exec.Command(os.Args[0], "export", "kill", "--config", analyzer.config, "--table", "records", "--csv")
		cmd.Env = append(os.Environ(), clockFile+"="+clockName)
		var err error
		out, err = cmd.Output()
		if err == nil {
			break
		}
		if e, ok := errors.AsType[*exec.ExitError](err); ok {
			stderr = string(e.Stderr)
		}
		out = nil
		time.Sleep(250 * time.Millisecond)
	}
	if out == nil {
		t.Fatalf("nothing was released: %s", stderr)
	}
	rows, err := csv.NewReader(bytes.NewReader(out)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	column := -1
	for i, name := range rows[0] {
		if name == "id" {
			column = i
		}
	}
	if column < 0 {
		t.Fatalf("no column id in %s", strings.Join(rows[0], ","))
	}
	var ids []string
	for _, r := range rows[1:] {
		ids = append(ids, r[column])
	}
	return ids
}

// listeners are those lines of a new configuration that name ports beside the first.
var listeners = regexp.MustCompile(`(?m)^(ops|console):\n  listen: .*\n`)
