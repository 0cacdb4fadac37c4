package main

import (
	"bytes"
	"crypto/rand"
	"encoding/csv"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/dap/client"
	"github.com/shoal-project/shoal/internal/dap/taskconfig"
	"github.com/shoal-project/shoal/internal/server"
	"github.com/shoal-project/shoal/internal/store/postgres/postgrestest"
	"github.com/shoal-project/shoal/metric/kind"
	"github.com/shoal-project/shoal/metric/task"
)

// TestKillAggregate kills leader and helper at random moments, while reports
// arrive, are aggregated and collected, with their state in files and in
// PostgreSQL. Every report has a label of its own, so that a right result has 1
// for each that was acknowledged and 0 for the others.
//
// A kill leaves the page cache, and the database, alive: this is about steps that
// are cut in two, not about power.
func TestKillAggregate(t *testing.T) {
	if testing.Short() {
		t.Skip("starts servers")
	}
	kills := 6
	if n, err := strconv.Atoi(os.Getenv("SHOAL_KILLS")); err == nil {
		kills = n
	}
	t.Run("sqlite", func(t *testing.T) { killAggregate(t, kills, nil) })
	t.Run("postgres", func(t *testing.T) {
		killAggregate(t, kills, []string{postgrestest.Schema(t), postgrestest.Schema(t)})
	})
}

// twoHalves are two organisations that answer one question.
type twoHalves struct {
	t              *testing.T
	leader, helper *victim // the leader's organisation collects
	task           *task.Task
	client         *client.Client
	question       *kind.Measure
	made           *dap.Task
	clockName      string
}

func (h *twoHalves) setClock(seconds int) {
	h.t.Helper()
	if err := os.WriteFile(h.clockName+".new", []byte(strconv.Itoa(seconds)), 0o600); err != nil {
		h.t.Fatal(err)
	}
	if err := os.Rename(h.clockName+".new", h.clockName); err != nil {
		h.t.Fatal(err)
	}
}

// foundHalf makes an organisation, with its state in a database if there is one.
func (h *twoHalves) foundHalf(name string, owner task.IdentityKey, database string, roles ...task.Role) (*victim, server.Config) {
	t := h.t
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	dir := filepath.Join(t.TempDir(), name)
	file, _, err := server.Init(dir, server.Organisation{
		Name: name, Roles: roles, URL: "http://" + l.Addr().String(), Listen: l.Addr().String(), Owners: []string{task.FormatPublic(owner.Public())},
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
	text = append(text, "floors: {min_batch: 2}\nops: {listen: \"off\"}\nconsole: {listen: \"off\"}\nbatches: {tick: 1s}\nlog: {level: error}\n"...)
	if database != "" {
		text = fmt.Appendf(text, "aggregates: {postgres: %q}\n", database)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := server.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		log.Close()
		if b, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("log of the %s:\n%s", name, b)
		}
	})
	return &victim{t: t, config: file, public: l.Addr().String(), clock: h.clockName, log: log}, c
}

// shoal runs a command with the configuration of an organisation and returns its
// output.
func (h *twoHalves) shoal(v *victim, args ...string) ([]byte, error) {
	cmd := exec.Command(os.Args[0], append(args, "--config", v.config)...)
	cmd.Env = append(os.Environ(), clockFile+"="+h.clockName)
	out, err := cmd.Output()
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		err = fmt.Errorf("shoal %v: %w: %s", args, err, e.Stderr)
	}
	return out, err
}

// pair lets the two organisations come to share their secrets.
func (h *twoHalves) pair() {
	h.t.Helper()
	dir := h.t.TempDir()
	pass := func(name string, line []byte, err error) string {
		h.t.Helper()
		if err != nil {
			h.t.Fatal(err)
		}
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, line, 0o600); err != nil {
			h.t.Fatal(err)
		}
		return file
	}
	card, err := h.shoal(h.helper, "pair", "card")
	invitation, err := h.shoal(h.leader, "pair", "invite", pass("card", card, err))
	if _, err := h.shoal(h.helper, "pair", "accept", pass("invitation", invitation, err)); err != nil {
		h.t.Fatal(err)
	}
}

// newTwoHalves founds both organisations, pairs them, gives them a question with
// this many labels, and starts them.
func newTwoHalves(t *testing.T, labels int, databases []string) *twoHalves {
	t.Helper()
	h := &twoHalves{t: t, clockName: filepath.Join(t.TempDir(), "clock")}
	h.setClock(int(3600 - time.Now().Unix()%3600)) // begin with an epoch
	owner, err := task.GenerateIdentityKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if databases == nil {
		databases = []string{"", ""}
	}
	var ours, theirs server.Config
	h.leader, ours = h.foundHalf("first", owner, databases[0], task.Leader, task.Collector)
	h.helper, theirs = h.foundHalf("second", owner, databases[1], task.Helper)
	h.pair()
	parties := []task.Party{{Role: task.Leader, URL: ours.URL}, {Role: task.Helper, URL: theirs.URL}, {Role: task.Collector}}
	for i, file := range []string{
		filepath.Join(ours.Keys.Dir, "identity.key"), filepath.Join(theirs.Keys.Dir, "identity.key"), filepath.Join(ours.Keys.Dir, "collector.identity.key"),
	} {
		key, err := server.LoadIdentity(file)
		if err != nil {
			t.Fatal(err)
		}
		parties[i].Identity = key.Public()
	}
	h.ask(owner, parties, labels)
	for _, v := range []*victim{h.helper, h.leader} {
		v.start()
		t.Cleanup(v.kill)
	}
	return h
}

// ask signs the question and gives it to both.
func (h *twoHalves) ask(owner task.IdentityKey, parties []task.Party, labels int) {
	t := h.t
	t.Helper()
	var names []string
	for i := range labels {
		names = append(names, fmt.Sprintf("r%04d", i))
	}
	sums, err := task.WithChunk(task.Aggregation{Kind: kind.Categories{Labels: names}, Variant: "dap-18"})
	if err != nil {
		t.Fatal(err)
	}
	start := (fileClock{h.clockName}).Now().Unix() / 3600 * 3600
	h.task = &task.Task{
		Owner: owner.Public(), OwnedBy: "test", Metric: "kill", Question: "Which reports arrived?", Consent: "A test.",
		Method: task.Aggregate, Aggregation: sums, Hops: parties, MinBatch: 2, EpochSeconds: 3600, MaxDelay: 540, ClockSkew: 60,
		RetentionDays: 30, NotBefore: start, Expires: start + 30*86400,
	}
	id, err := h.task.ID()
	if err != nil {
		t.Fatal(err)
	}
	signed, err := task.Sign(h.task, owner)
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := (&task.Bundle{Tasks: []*task.Signed{signed}}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []*victim{h.leader, h.helper} {
		if err := os.WriteFile(filepath.Join(filepath.Dir(v.config), "tasks.shoal"), bundle, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	made, err := taskconfig.New(h.task, id)
	if err != nil {
		t.Fatal(err)
	}
	if h.question, err = h.task.Aggregation.Measure(); err != nil {
		t.Fatal(err)
	}
	h.client = client.New(made, client.Options{
		Leader: parties[0].Identity, Helper: parties[1].Identity, Clock: fileClock{h.clockName}, Transport: http.DefaultTransport, Rand: rand.Reader,
	})
	h.made = made
}

// upload sends the report of a label, byte for byte the same until the leader has
// acknowledged it.
func (h *twoHalves) upload(label int) error {
	tally := h.question.Empty()
	if err := tally.Observe(h.task.Aggregation.Kind.Label(label), rand.Reader); err != nil {
		return err
	}
	ctx := h.t.Context()
	var report *dap.Report
	for report == nil { // the keys come from servers that are being killed
		var err error
		if report, err = h.client.Report(ctx, tally, (fileClock{h.clockName}).Now()); err != nil {
			if ctx.Err() != nil {
				return err
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	body, err := client.Encode(h.made, report)
	if err != nil {
		return err
	}
	for {
		refused, err := h.client.Post(ctx, body)
		if err == nil && (len(refused) == 0 || refused[0].Error == dap.ReportReplayed) {
			return nil
		}
		if err == nil {
			return fmt.Errorf("a report was refused: %w", refused[0].Error)
		}
		if answer, ok := errors.AsType[*client.Answer](err); ok && !answer.Temporary() || ctx.Err() != nil {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// collected waits for the table and returns its counts by label.
func (h *twoHalves) collected() map[string]string {
	h.t.Helper()
	var out []byte
	var last error
	for range 400 {
		if out, last = h.shoal(h.leader, "export", "kill", "--table", "results", "--csv"); last == nil {
			break
		}
		time.Sleep(250 * time.Millisecond)
	}
	if last != nil {
		h.t.Fatal(last)
	}
	rows, err := csv.NewReader(bytes.NewReader(out)).ReadAll()
	if err != nil {
		h.t.Fatal(err)
	}
	item, estimate := slices.Index(rows[0], "item"), slices.Index(rows[0], "estimate")
	if item < 0 || estimate < 0 {
		h.t.Fatalf("columns %v", rows[0])
	}
	counts := make(map[string]string)
	for _, r := range rows[1:] {
		counts[r[item]] = r[estimate]
	}
	return counts
}

func killAggregate(t *testing.T, kills int, databases []string) {
	labels := min(20*kills+20, 1500)
	h := newTwoHalves(t, labels, databases)
	var wg sync.WaitGroup
	var acknowledged, killed atomic.Int64
	unsent := labels / 10 // these labels must count 0
	for w := range 4 {
		wg.Go(func() {
			for i := w; i < labels-unsent; i += 4 {
				// Spread over the kills, so that none falls into idle servers.
				for int(killed.Load()) < i*(kills/2)/(labels-unsent) && !t.Failed() {
					time.Sleep(5 * time.Millisecond)
				}
				if err := h.upload(i); err != nil {
					t.Error(err)
					return
				}
				acknowledged.Add(1)
			}
		})
	}
	random := mrand.New(mrand.NewPCG(2, uint64(kills)))
	both := []*victim{h.leader, h.helper}
	kill := func(i int) {
		time.Sleep(time.Duration(10+random.IntN(300)) * time.Millisecond)
		both[i%2].kill()
		both[i%2].start()
		killed.Add(1)
	}
	for i := range kills / 2 { // while reports arrive
		kill(i)
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	now := (fileClock{h.clockName}).Now()
	end := now.Truncate(time.Hour).Add(time.Hour + 15*time.Minute)
	offset := now.Sub(time.Now().UTC())
	h.setClock(int((offset + end.Sub(now)) / time.Second))
	for i := range kills - kills/2 { // while they are aggregated and collected
		kill(i)
	}
	counts := h.collected()
	wrong := 0
	for i, label := range h.task.Aggregation.Kind.(kind.Categories).Labels {
		want := "1"
		if i >= labels-unsent {
			want = "0"
		}
		if counts[label] != want {
			t.Errorf("label %s counts %s, want %s", label, counts[label], want)
			if wrong++; wrong == 10 {
				break
			}
		}
	}
	t.Logf("%d kills; %d reports acknowledged; all of %d labels are right: %t", kills, acknowledged.Load(), labels, wrong == 0)
}
