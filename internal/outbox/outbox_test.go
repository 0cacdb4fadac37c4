package outbox_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/outbox"
	"github.com/shoal-project/shoal/metric/task"
)

// epoch0 begins the epoch in which the tests record.
var epoch0 = time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

// contribution has one report for each record, each in the crowd of its name.
func contribution(at time.Time, metric string, records ...string) outbox.Contribution {
	start := at.Truncate(day)
	c := outbox.Contribution{
		Task: task.ID{1}, TaskBytes: []byte("the task"), Owner: "owner", Metric: metric, Method: task.Crowd, Destination: "https://shuffler.example",
		Epoch: task.Epoch(start.Unix() / 86400), Start: start, End: start.Add(day),
		PerEpoch: 1000, PerCrowd: 1,
		At: at, MaxDelay: 12 * time.Hour, SendBy: start.Add(day + 12*time.Hour), NotAfter: start.Add(day + 13*time.Hour),
	}
	for _, r := range records {
		c.Reports = append(c.Reports, outbox.Report{Record: []byte(r), Crowd: []byte(r), Recorded: "recorded " + r, Encoded: "encoded " + r})
	}
	return c
}

func open(t *testing.T, dir string, o outbox.Options) *outbox.Box {
	t.Helper()
	b, rec, err := outbox.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	if rec.Torn != 0 || rec.Damaged != nil || rec.Dropped != 0 {
		t.Fatalf("recovery of a clean outbox: %+v", rec)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func addAll(t *testing.T, b *outbox.Box, c outbox.Contribution) {
	t.Helper()
	vs, err := b.Add(c)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range vs {
		if v != outbox.Accepted {
			t.Fatalf("report %d: %v", i, v)
		}
	}
}

// A post seals with fresh randomness, like a real sealer, and remembers what it
// was asked to send.
type post struct {
	mu    sync.Mutex
	sent  map[string][][]byte // by record, every attempt
	got   map[string]bool     // delivered
	times []time.Time
	now   time.Time
	fail  func(e outbox.Entry) error // nil: never
}

func newPost() *post { return &post{sent: map[string][][]byte{}, got: map[string]bool{}} }

func (p *post) Seal(_ context.Context, e outbox.Entry) ([]byte, error) {
	if string(e.TaskBytes) != "the task" {
		return nil, fmt.Errorf("task bytes: %q", e.TaskBytes)
	}
	nonce := make([]byte, 16)
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	return append(nonce, e.Record...), nil
}

func (p *post) Send(_ context.Context, e outbox.Entry, report []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	record := string(report[16:])
	p.sent[record] = append(p.sent[record], bytes.Clone(report))
	p.times = append(p.times, p.now)
	if p.fail != nil {
		if err := p.fail(e); err != nil {
			return err
		}
	}
	p.got[record] = true
	return nil
}

// pump sends from now until nothing is planned before end.
func (p *post) pump(t *testing.T, b *outbox.Box, now, end time.Time) {
	t.Helper()
	for range 100_000 {
		p.now = now
		pass, err := b.SendDue(t.Context(), now, p, p)
		if err != nil {
			t.Fatal(err)
		}
		if pass.Next.IsZero() || pass.Next.After(end) {
			return
		}
		now = pass.Next
	}
	t.Fatal("the pump does not come to an end")
}

func TestSendsEachReportOnceWithinItsWindow(t *testing.T) {
	at := epoch0.Add(20 * time.Hour)
	b := open(t, "box", outbox.Options{FS: durable.Mem()})
	var records []string
	for i := range 200 {
		records = append(records, fmt.Sprint("r", i))
	}
	addAll(t, b, contribution(at, "m", records...))
	p := newPost()
	p.pump(t, b, at, at.Add(3*day))
	for _, r := range records {
		if len(p.sent[r]) != 1 {
			t.Errorf("%s was sent %d times", r, len(p.sent[r]))
		}
	}
	early := 0
	for _, s := range p.times {
		if s.Before(at) || s.After(at.Add(12*time.Hour)) {
			t.Errorf("sent at %v, outside the window", s)
		}
		if s.Before(at.Add(6 * time.Hour)) {
			early++
		}
	}
	if early < 60 || early > 140 { // 100 expected, standard deviation 7
		t.Errorf("%d of 200 were sent in the first half of the window", early)
	}
	st, err := b.Stats()
	if err != nil || st.Sent != 200 || st.Waiting+st.Sealed+st.Held != 0 {
		t.Errorf("Stats = %+v, %v", st, err)
	}
}

// Threat: a report that reaches the server as two ciphertexts counts twice.
func TestRetriesAreByteEqual(t *testing.T) {
	fsys := durable.Mem()
	b := open(t, "box", outbox.Options{FS: fsys})
	addAll(t, b, contribution(epoch0, "m", "r"))
	p := newPost()
	tries := 0
	p.fail = func(outbox.Entry) error {
		tries++
		if tries < 6 {
			return errors.New("connection reset")
		}
		return nil
	}
	now := epoch0
	for range 20 {
		pass, err := b.SendDue(t.Context(), now, p, p)
		if err != nil {
			t.Fatal(err)
		}
		if pass.Next.IsZero() {
			break
		}
		if pass.Waiting == 1 && (pass.Err == nil || !pass.Next.After(now)) {
			t.Fatalf("after a failure: %+v at %v", pass, now)
		}
		now = pass.Next
		if err := b.Close(); err != nil { // each try in another life
			t.Fatal(err)
		}
		b = open(t, "box", outbox.Options{FS: fsys})
	}
	if !p.got["r"] || len(p.sent["r"]) != 6 {
		t.Fatalf("delivered %v after %d tries, want 6", p.got["r"], len(p.sent["r"]))
	}
	for _, s := range p.sent["r"] {
		if !bytes.Equal(s, p.sent["r"][0]) {
			t.Fatal("a retry sent other bytes")
		}
	}
}

func TestCapsOutliveRestartsAndNewTasks(t *testing.T) {
	fsys := durable.Mem()
	b := open(t, "box", outbox.Options{FS: fsys})
	c := contribution(epoch0, "m", "a", "a", "b", "c")
	c.PerEpoch = 2
	want := []outbox.Verdict{outbox.Accepted, outbox.CapReached, outbox.Accepted, outbox.CapReached}
	got, err := b.Add(c)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("Add = %v, %v, want %v", got, err, want)
	}
	newPost().pump(t, b, epoch0, epoch0.Add(13*time.Hour))
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = open(t, "box", outbox.Options{FS: fsys})
	check := func(what string, c outbox.Contribution, want outbox.Verdict) {
		t.Helper()
		got, err := b.Add(c)
		if err != nil || got[0] != want {
			t.Errorf("%s: %v, %v, want %v", what, got, err, want)
		}
	}
	again := contribution(epoch0.Add(14*time.Hour), "m", "d")
	again.PerEpoch = 2
	check("after a restart", again, outbox.CapReached)
	again.Task = task.ID{2}
	check("after signing the task again", again, outbox.CapReached)
	again.Start, again.End = epoch0.Add(14*time.Hour), epoch0.Add(15*time.Hour)
	check("after signing it again with short epochs", again, outbox.CapReached)
	again.Held = true
	check("held reports have caps of their own", again, outbox.Accepted)
	other := contribution(epoch0.Add(14*time.Hour), "other", "a")
	check("another metric", other, outbox.Accepted)

	tomorrow := contribution(epoch0.Add(day), "m", "a")
	check("the next epoch", tomorrow, outbox.Accepted)
	back := contribution(epoch0.Add(15*time.Hour), "m", "e")
	check("with the clock set back over the end of a forgotten epoch", back, outbox.CapsUnknown)
}

func TestBounds(t *testing.T) {
	b := open(t, "box", outbox.Options{FS: durable.Mem(), MaxEntries: 3, MaxBytes: 2000})
	vs, err := b.Add(contribution(epoch0, "m", "1", "2", "3", "4"))
	if err != nil || fmt.Sprint(vs[2:]) != fmt.Sprint([]outbox.Verdict{outbox.Accepted, outbox.Full}) {
		t.Fatalf("Add = %v, %v", vs, err)
	}
	if _, err := b.Drop(func(e outbox.Entry) bool { return string(e.Record) != "1" }); err != nil {
		t.Fatal(err)
	}
	c := contribution(epoch0, "m", "5")
	c.Reports[0].Record = make([]byte, 1900)
	if vs, err := b.Add(c); err != nil || vs[0] != outbox.Full {
		t.Fatalf("Add of a large record = %v, %v", vs, err)
	}
	late := contribution(epoch0, "m", "6")
	late.At = late.NotAfter
	if vs, err := b.Add(late); err != nil || vs[0] != outbox.Closed {
		t.Fatalf("Add after the batch has closed = %v, %v", vs, err)
	}
	bad := contribution(epoch0, "", "7")
	if vs, err := b.Add(bad); err == nil || vs[0] != outbox.Failed {
		t.Fatalf("Add without a metric = %v, %v", vs, err)
	}
}

// Threat: reports that were kept back while the machine was off leave together
// at its start, and so are linked to each other and to the start.
func TestOverdueIsSpread(t *testing.T) {
	fsys := durable.Mem()
	b := open(t, "box", outbox.Options{FS: fsys})
	var records []string
	for i := range 50 {
		records = append(records, fmt.Sprint("r", i))
	}
	addAll(t, b, contribution(epoch0, "m", records...))
	_ = b.Close()
	b = open(t, "box", outbox.Options{FS: fsys})
	p := newPost()
	start := epoch0.Add(20 * time.Hour)
	pass, err := b.SendDue(t.Context(), start, p, p)
	if err != nil || pass.Sent != 0 {
		t.Fatalf("first pass after the start: %+v, %v", pass, err)
	}
	p.pump(t, b, pass.Next, start.Add(day))
	if len(p.got) != 50 {
		t.Fatalf("%d of 50 were delivered", len(p.got))
	}
	different := map[time.Time]bool{}
	for _, at := range p.times {
		different[at] = true
		if at.After(start.Add(time.Hour)) {
			t.Errorf("sent at %v, after the new window", at)
		}
	}
	if len(different) < 45 {
		t.Errorf("50 reports were sent at only %d different times", len(different))
	}
}

func TestExpiredAndRefusedAreDroppedAndCounted(t *testing.T) {
	b := open(t, "box", outbox.Options{FS: durable.Mem()})
	addAll(t, b, contribution(epoch0, "m", "refused", "odd", "late"))
	p := newPost()
	p.fail = func(e outbox.Entry) error {
		switch {
		case e.Recorded == "recorded refused":
			return &outbox.Refused{Cause: "wrongEpoch"}
		case e.Recorded == "recorded odd":
			return fmt.Errorf("wrapped: %w", &outbox.Refused{Cause: "203.0.113.7 said no"})
		}
		return errors.New("down")
	}
	p.pump(t, b, epoch0, epoch0.Add(5*day))
	st, err := b.Stats()
	if err != nil {
		t.Fatal(err)
	}
	want := map[outbox.Cause]uint64{"wrongEpoch": 1, outbox.Other: 1, outbox.Expired: 1}
	if fmt.Sprint(st.Dropped) != fmt.Sprint(want) || st.Waiting+st.Sealed != 0 {
		t.Errorf("Stats = %+v, want dropped %v", st, want)
	}
	if len(p.sent["refused"]) != 1 {
		t.Errorf("a refused report was sent %d times", len(p.sent["refused"]))
	}
}

func TestHeldIsNeverSent(t *testing.T) {
	b := open(t, "box", outbox.Options{FS: durable.Mem()})
	held := contribution(epoch0, "m", "held")
	held.Held = true
	addAll(t, b, held)
	addAll(t, b, contribution(epoch0, "m", "later held", "sent"))
	n, err := b.Hold(func(e outbox.Entry) bool { return string(e.Record) == "later held" })
	if n != 1 || err != nil {
		t.Fatalf("Hold = %d, %v", n, err)
	}
	p := newPost()
	p.pump(t, b, epoch0, epoch0.Add(20*time.Hour))
	if len(p.sent) != 1 || !p.got["sent"] {
		t.Errorf("sent %v", p.sent)
	}
	list, err := b.List()
	if err != nil || len(list) != 2 || list[0].Stage != outbox.Held || list[0].Recorded == "" || list[0].Encoded == "" {
		t.Errorf("List = %+v, %v", list, err)
	}
	p.pump(t, b, epoch0.Add(3*day), epoch0.Add(4*day))
	if st, err := b.Stats(); err != nil || st.Dropped[outbox.Unsent] != 2 {
		t.Errorf("Stats = %+v, %v", st, err)
	}
}

// A destination that is down is tried once a pass, not once an entry.
func TestDownDestinationIsLeftAlone(t *testing.T) {
	b := open(t, "box", outbox.Options{FS: durable.Mem(), Late: day})
	addAll(t, b, contribution(epoch0, "m", "1", "2", "3", "4"))
	p := newPost()
	p.fail = func(outbox.Entry) error { return errors.New("no route to host") }
	now := epoch0.Add(12 * time.Hour)
	pass, err := b.SendDue(t.Context(), now, p, p)
	if err != nil || pass.Waiting != 4 || pass.Sent != 0 || len(p.sent) != 1 {
		t.Fatalf("SendDue = %+v, %v; tried %d", pass, err, len(p.sent))
	}
	if !pass.Next.After(now) {
		t.Errorf("next try at %v", pass.Next)
	}
}

func TestConcurrentUse(t *testing.T) {
	dir := t.TempDir()
	o := outbox.Options{Clock: clock.NewVirtual(epoch0)}
	// Two boxes represent two processes.
	boxes := []*outbox.Box{open(t, dir, o), open(t, dir, o)}
	p := newPost()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 10 {
				c := contribution(epoch0, "m", fmt.Sprintf("r%d.%d", i, j))
				c.MaxDelay = 0
				vs, err := boxes[i%2].Add(c)
				if err != nil || vs[0] != outbox.Accepted {
					t.Errorf("Add = %v, %v", vs, err)
				}
			}
		})
	}
	for i := range 2 {
		wg.Go(func() {
			for range 10 {
				if _, err := boxes[i].SendDue(t.Context(), epoch0, p, p); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	p.pump(t, boxes[0], epoch0, epoch0)
	if len(p.got) != 80 {
		t.Errorf("%d of 80 were delivered", len(p.got))
	}
	for r, s := range p.sent {
		if len(s) != 1 {
			t.Errorf("%s was sent %d times", r, len(s))
		}
	}
	// The cap holds across both.
	c := contribution(epoch0, "m", "r0.0")
	if vs, err := boxes[1].Add(c); err != nil || vs[0] != outbox.CapReached {
		t.Errorf("Add of a capped crowd = %v, %v", vs, err)
	}
}

func TestSecondSenderWaits(t *testing.T) {
	dir := t.TempDir()
	a, b := open(t, dir, outbox.Options{}), open(t, dir, outbox.Options{})
	c := contribution(epoch0, "m", "1")
	c.MaxDelay = 0
	addAll(t, a, c)
	p, q := newPost(), newPost()
	p.fail = func(outbox.Entry) error {
		pass, err := b.SendDue(t.Context(), epoch0, q, q)
		if err != nil || pass.Sent != 0 || !pass.Next.After(epoch0) {
			t.Errorf("SendDue beside another sender = %+v, %v", pass, err)
		}
		return nil
	}
	if pass, err := a.SendDue(t.Context(), epoch0, p, p); err != nil || pass.Sent != 1 {
		t.Fatalf("SendDue = %+v, %v", pass, err)
	}
}
