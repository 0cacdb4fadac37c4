package shuffler_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/shoal-project/shoal/crypto/arc"
	"github.com/shoal-project/shoal/internal/credential"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/hoptest"
	"github.com/shoal-project/shoal/metric/task"
)

// required makes a task require credentials.
func required(perEpoch, perCrowd, salt, period uint32) func(*task.Task) {
	return func(t *task.Task) {
		t.PerEpoch, t.PerCrowd, t.Crowd.SaltEpochs, t.Protection.CredentialEpochs = perEpoch, perCrowd, salt, period
		t.Threshold.T = 1
	}
}

// inviter signs invitations.
func inviter(t testing.TB) task.IdentityKey {
	key, err := task.GenerateIdentityKey(hoptest.Random(99))
	must(t, err)
	return key
}

// startIssuer makes the issuer of the first hop; the chain's shufflers use it from the
// next start on.
func (c *chain) startIssuer(t testing.TB, tasks ...*task.Task) *credential.Issuer {
	p := c.Parties[0]
	i, err := credential.NewIssuer(credential.IssuerConfig{
		FS: c.fs, Dir: "credentials", Role: task.Shuffler, Party: p.ID.Public(), Tasks: append(tasks, c.Task),
		Gates: []credential.Gate{credential.Invitations{inviter(t).Public()}}, Clock: c.Clock,
		Sign: func(_ credential.Slot, b []byte) ([]byte, error) { return b, nil },
	})
	must(t, err)
	return i
}

// newRequiring starts a chain whose task requires credentials.
func newRequiring(t testing.TB, edit func(*task.Task)) *chain {
	t.Helper()
	c := newChainWith(t, edit, func(c *chain) { c.issuer = c.startIssuer(t) })
	return c
}

// A hostile client has one credential of the first hop and ignores every cap.
type hostile struct {
	c          *chain
	credential *arc.Credential
}

// obtain gets a credential for the period of an epoch, by the protocol alone.
func (c *chain) obtain(t testing.TB, e task.Epoch, code string) *hostile {
	t.Helper()
	cr, status := c.tryObtain(t, e, code)
	if cr == nil {
		t.Fatalf("no credential: HTTP %d", status)
	}
	return &hostile{c, cr}
}

func (c *chain) tryObtain(t testing.TB, e task.Epoch, code string) (*arc.Credential, int) {
	t.Helper()
	slot, ok := credential.SlotOf(c.Task, c.Task.Hops[0], e)
	if !ok {
		t.Fatal("the task asks for no credentials")
	}
	url := c.Parties[0].URL + "/tasks/" + c.ID.String() + "/credentials/shuffler/" + strconv.FormatInt(slot.Start, 10)
	announced, status := c.do(t, http.MethodGet, url, nil)
	if status != 200 {
		return nil, status
	}
	public, err := arc.ParsePublicKey(announced[1 : 1+arc.PublicKeySize])
	must(t, err)
	secrets, request, err := arc.NewRequest(rand.Reader, slot.RequestContext())
	must(t, err)
	body := append([]byte{1}, request.Bytes()...)
	body = append(body, make([]byte, 8)...)
	body = append(append(body, byte(len(code)>>8), byte(len(code))), code...)
	answer, status := c.do(t, http.MethodPost, url, body)
	if status != 200 {
		return nil, status
	}
	response, err := arc.ParseResponse(answer)
	must(t, err)
	cr, err := secrets.Finalize(public, request, response)
	must(t, err)
	return cr, status
}

func (c *chain) do(t testing.TB, method, url string, body []byte) ([]byte, int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
	must(t, err)
	req.Header.Set("Content-Type", credential.RequestType)
	resp, err := c.Net.RoundTrip(req)
	if err != nil {
		return nil, 0
	}
	b, err := io.ReadAll(resp.Body)
	must(t, err)
	return b, resp.StatusCode
}

// invite returns an invitation code.
func invite(t testing.TB) string {
	t.Helper()
	code, err := credential.Invite(inviter(t), hoptest.Begin.AddDate(1, 0, 0), rand.Reader)
	must(t, err)
	return code
}

// report seals a record for an epoch and shows the given nonces, of the epoch and of
// the crowd. change may change the presentations.
func (h *hostile) report(t testing.TB, e task.Epoch, word string, n int64, nonces [2]uint32, change func([][]byte) [][]byte) []byte {
	t.Helper()
	c := h.c
	rec := task.Record{word, n}
	payload, err := c.Task.Encode(rec)
	must(t, err)
	tag := c.Tag(t, e, rec)
	return c.SealShowing(t, e, tag, payload, func(i int, digest [sha256.Size]byte) ([][]byte, error) {
		var all [][]byte
		for k, of := range credential.ContextsOf(c.Task, c.Task.Hops[i], e, tag[:]) {
			ctx, err := arc.NewContext(of.Data[:], of.Limit)
			must(t, err)
			p, err := h.credential.Present(rand.Reader, ctx, nonces[k], credential.Binding(c.ID, digest))
			must(t, err)
			all = append(all, p.Bytes())
		}
		if change != nil {
			all = change(all)
		}
		return all, nil
	})
}

func (c *chain) accept(t testing.TB, reports ...[]byte) {
	t.Helper()
	for i, r := range reports {
		if status := c.Post(t, r); status != http.StatusCreated {
			t.Fatalf("report %d: HTTP %d", i, status)
		}
	}
}

func (c *chain) counts(t testing.TB) []esa.Counts {
	t.Helper()
	all, err := c.store.Batches(t.Context())
	must(t, err)
	var counts []esa.Counts
	for _, b := range all {
		counts = append(counts, b.Counts)
		must(t, b.Counts.Check())
	}
	return counts
}

// TestHostileClientCountsUpToItsCaps covers the threat of a client that ignores every
// cap: with one credential it counts at most per_epoch times in all and per_crowd times
// in a crowd, whatever it sends, and honest clients are not touched by it.
func TestHostileClientCountsUpToItsCaps(t *testing.T) { eachStage(t, 3300, testHostileClient) }

func testHostileClient(t *testing.T, use func(*chain)) {
	c := newRequiring(t, required(4, 2, 1, 6))
	h := c.obtain(t, c.Epoch(0), invite(t))
	honest := c.obtain(t, c.Epoch(0), invite(t))
	n := int64(0)
	next := func() int64 { n++; return n }
	for i := range uint32(12) { // 12 reports to a crowd, with all nonces there are
		c.accept(t, h.report(t, c.Epoch(0), "evil", next(), [2]uint32{i % 4, i % 2}, nil))
	}
	for i := range uint32(4) { // all in crowds of their own
		c.accept(t, h.report(t, c.Epoch(0), fmt.Sprint("lone", i), next(), [2]uint32{i, 0}, nil))
	}
	c.accept(t, honest.report(t, c.Epoch(0), "evil", 1000, [2]uint32{0, 0}, nil))
	use(c)
	must(t, c.startShuffler(t)) // a restart in between
	c.closeEpoch(0)
	c.finish(t)
	got := c.released(t)
	mine, found := 0, false
	for word, numbers := range got {
		of := 0
		for _, n := range numbers {
			if n == 1000 {
				found = true
			} else {
				of++
			}
		}
		if of > 2 {
			t.Errorf("crowd %q has %d reports of one client, want at most 2", word, of)
		}
		mine += of
	}
	if mine > 4 || mine == 0 {
		t.Errorf("one client counts %d times, want 1 to 4", mine)
	}
	if !found {
		t.Error("the honest client's report is lost")
	}
	if counts := c.counts(t)[0]; counts.Invalid[esa.CauseSpent] != uint64(16-mine) || counts.Invalid[esa.CauseCredential] != 0 {
		t.Errorf("counts %+v: want %d spent", counts, 16-mine)
	}
}

// TestMovedPresentations covers the threat of a presentation that is used elsewhere
// than where it was made for: with another report, epoch, crowd, task or party, or
// changed. Each costs the report that has it, and nothing else.
func TestMovedPresentations(t *testing.T) {
	c := newRequiring(t, required(2, 1, 1, 6))
	h := c.obtain(t, c.Epoch(0), invite(t))
	other := c.obtain(t, c.Epoch(0), invite(t))
	var taken [][]byte
	keep := func(p [][]byte) [][]byte { taken = p; return p }
	put := func([][]byte) [][]byte { return taken }
	good := h.report(t, c.Epoch(0), "good", 1, [2]uint32{0, 0}, keep)
	bad := map[string][]byte{
		"another report": other.report(t, c.Epoch(0), "good", 2, [2]uint32{0, 0}, put),
		"another crowd":  other.report(t, c.Epoch(0), "bad", 3, [2]uint32{0, 0}, put),
		"kinds swapped": other.report(t, c.Epoch(0), "bad", 4, [2]uint32{0, 0}, func(p [][]byte) [][]byte {
			return [][]byte{append(bytes.Clone(p[1]), make([]byte, len(p[0])-len(p[1]))...), p[0][:len(p[1])]}
		}),
		"a bit": other.report(t, c.Epoch(0), "bad", 5, [2]uint32{0, 0}, func(p [][]byte) [][]byte {
			p[0][len(p[0])-1] ^= 1
			return p
		}),
		"zeros": other.report(t, c.Epoch(0), "bad", 6, [2]uint32{0, 0}, func(p [][]byte) [][]byte {
			return [][]byte{make([]byte, len(p[0])), make([]byte, len(p[1]))}
		}),
	}
	h.report(t, c.Epoch(1), "bad", 7, [2]uint32{1, 0}, keep)
	bad["another epoch"] = other.report(t, c.Epoch(0), "bad", 8, [2]uint32{0, 0}, put)
	for name, report := range bad {
		if status := c.Post(t, report); status != http.StatusCreated {
			t.Errorf("%s: HTTP %d", name, status)
		}
	}
	c.accept(t, good)
	c.closeEpoch(0)
	c.finish(t)
	equal(t, c.released(t), map[string][]int64{"good": {1}})
	if counts := c.counts(t)[0]; counts.Invalid[esa.CauseCredential] != uint64(len(bad)) || counts.Released != 1 {
		t.Errorf("counts %+v, want %d invalid", counts, len(bad))
	}
}

// TestCrowdTagsLastForTheirWindow covers the threat of a client that sends to a crowd
// again in a later epoch of one salt window, after the earlier batch was released and
// destroyed, and across a restart: it counts per_crowd times in the window, and afresh
// in the next.
func TestCrowdTagsLastForTheirWindow(t *testing.T) {
	c := newRequiring(t, required(3, 1, 3, 6))
	first := c.Epoch(0)
	for c.Task.SaltWindow(first) == c.Task.SaltWindow(c.Epoch(0)) {
		first++ // the first epoch of a window
	}
	c.Clock.Set(c.Task.Start(first))
	h := c.obtain(t, first, invite(t))
	for i := range task.Epoch(4) {
		if i == 3 && c.Task.Start(first+3).Unix()/3600/6 != c.Task.Start(first).Unix()/3600/6 {
			h = c.obtain(t, first+3, invite(t))
		}
		c.accept(t, h.report(t, first+i, "evil", int64(i), [2]uint32{0, 0}, nil))
		c.Clock.Forward(c.Task.Closes(first + i))
		c.finish(t)
		must(t, c.startShuffler(t))
	}
	equal(t, c.released(t), map[string][]int64{"evil": {0, 3}})
}

// TestSpentTagsAreNotForgotten covers the loss of a file of spent tags: the next batch
// of the window waits, and says why, rather than count twice.
func TestSpentTagsAreNotForgotten(t *testing.T) {
	c := newRequiring(t, required(3, 1, 3, 6))
	first := c.Epoch(0)
	for c.Task.SaltWindow(first) == c.Task.SaltWindow(c.Epoch(0)) {
		first++
	}
	c.Clock.Set(c.Task.Start(first))
	h := c.obtain(t, first, invite(t))
	c.accept(t, h.report(t, first, "evil", 1, [2]uint32{0, 0}, nil))
	c.Clock.Forward(c.Task.Closes(first))
	c.finish(t)
	dir, err := c.issuer.SpentDir(c.ID, first)
	must(t, err)
	names, err := c.fs.ReadDir(dir)
	must(t, err)
	if len(names) != 1 {
		t.Fatalf("%d files of spent tags, want 1", len(names))
	}
	must(t, c.fs.Remove(dir+"/"+names[0].Name()))
	c.accept(t, h.report(t, first+1, "evil", 2, [2]uint32{1, 0}, nil))
	c.Clock.Forward(c.Task.Closes(first + 1))
	if err := errors.Join(c.s.Tick(t.Context())); err == nil {
		t.Error("a batch went on without the tags that were spent before")
	}
	c.Clock.Advance(time.Hour)
	if err := c.s.Tick(t.Context()); err == nil {
		t.Error("a batch went on without the tags that were spent before, at the second attempt")
	}
}

// TestInvitationGetsOneCredential covers the threat of an invitation that is used
// twice, forged or expired.
func TestInvitationGetsOneCredential(t *testing.T) {
	c := newRequiring(t, required(1, 1, 1, 6))
	code := invite(t)
	c.obtain(t, c.Epoch(0), code)
	must(t, c.startShuffler(t))
	if cr, status := c.tryObtain(t, c.Epoch(0), code); cr != nil || status != http.StatusConflict {
		t.Errorf("a second credential for one invitation: HTTP %d, want 409", status)
	}
	old, err := credential.Invite(inviter(t), hoptest.Begin.Add(-time.Second), rand.Reader)
	must(t, err)
	forger, err := task.GenerateIdentityKey(hoptest.Random(7))
	must(t, err)
	forged, err := credential.Invite(forger, hoptest.Begin.AddDate(1, 0, 0), rand.Reader)
	must(t, err)
	for name, code := range map[string]string{"expired": old, "forged": forged, "empty": "", "cut": code[:len(code)-1], "long": string(make([]byte, 5000))} {
		if cr, status := c.tryObtain(t, c.Epoch(0), code); cr != nil || status != http.StatusForbidden && status != http.StatusBadRequest {
			t.Errorf("%s invitation: HTTP %d, want 403", name, status)
		}
	}
}

// TestCredentialOfAnotherPeriod covers presentations under the key of another period
// than that of the epoch.
func TestCredentialOfAnotherPeriod(t *testing.T) {
	c := newRequiring(t, required(1, 1, 1, 1)) // each epoch has a key
	code := invite(t)
	now, next := c.obtain(t, c.Epoch(0), code), c.obtain(t, c.Epoch(1), code)
	if cr, status := c.tryObtain(t, c.Epoch(2), code); cr != nil || status != http.StatusNotFound {
		t.Errorf("a credential of the period after the next: HTTP %d, want 404", status)
	}
	c.accept(t, next.report(t, c.Epoch(0), "early", 1, [2]uint32{0, 0}, nil), now.report(t, c.Epoch(0), "good", 2, [2]uint32{0, 0}, nil))
	c.closeEpoch(0)
	c.finish(t)
	equal(t, c.released(t), map[string][]int64{"good": {2}})
}

// TestVersionsShareTheirTags covers a client that answers two signed versions of a
// metric: it counts per_epoch times over both, whichever batch is processed first.
func TestVersionsShareTheirTags(t *testing.T) {
	c := newRequiring(t, required(1, 1, 1, 6))
	second := c.With(t, func(tk *task.Task) { tk.Consent = "In other words." })
	c.more = []*task.Task{second.Task}
	must(t, c.startShuffler(t))
	must(t, c.startAnalyzer(t))
	h := c.obtain(t, c.Epoch(0), invite(t))
	honest := c.obtain(t, c.Epoch(0), invite(t))
	c.accept(t, h.report(t, c.Epoch(0), "evil", 1, [2]uint32{0, 0}, nil))
	world, mine := c.World, *h
	c.World = second
	again := mine.report(t, c.Epoch(0), "evil", 2, [2]uint32{0, 0}, nil)
	other := honest.report(t, c.Epoch(0), "good", 3, [2]uint32{0, 0}, nil)
	if status := c.Post(t, again); status != http.StatusCreated {
		t.Fatalf("HTTP %d", status)
	}
	if status := c.Post(t, other); status != http.StatusCreated {
		t.Fatalf("HTTP %d", status)
	}
	c.World = world
	c.closeEpoch(0)
	c.finish(t)
	got := c.released(t)
	if len(got["evil"]) != 1 || len(got["good"]) != 1 {
		t.Errorf("released %v, want one report of each client", got)
	}
}

// TestSpendingCrashes stops the shuffler at each call to its disk and at each change of
// its store, over two epochs of a salt window with a restart after each crash. A client
// that sends to one crowd in both epochs counts once, others count for what was
// acknowledged.
func TestSpendingCrashes(t *testing.T) {
	world := hoptest.New(t, 1, required(2, 1, 2, 4))
	first := world.Epoch(0)
	if world.Task.SaltWindow(first) != world.Task.SaltWindow(first+1) {
		first++
	}
	run := func(n, change int, after bool, seed uint64) (calls, changes int) {
		what := fmt.Sprintf("disk call %d, change %d, after it: %v", n, change, after)
		c := newCrashChain(t, world, seed)
		c.Clock.Set(world.Task.Start(first))
		c.issuer = c.startIssuer(t)
		must(t, c.startShuffler(t))
		must(t, c.startAnalyzer(t))
		h := c.obtain(t, first, invite(t))
		honest := c.obtain(t, first, invite(t))
		c.machines[0].disk.CrashAt(n)
		if change > 0 {
			c.machines[0].stop(change, after)
		}
		acknowledged := 0
		for i := range task.Epoch(2) {
			for _, report := range [][]byte{
				h.report(t, first+i, "evil", int64(i), [2]uint32{0, 0}, nil),
				honest.report(t, first+i, fmt.Sprint("good", i), 10+int64(i), [2]uint32{uint32(i), 0}, nil),
			} {
				status := c.Post(t, report)
				if status != http.StatusCreated {
					c.repair(t)
					status = c.Post(t, report)
				}
				if status == http.StatusCreated {
					acknowledged++
				}
			}
			c.Clock.Forward(c.Task.Closes(first + i))
			var err error
			for range 12 {
				err = errors.Join(c.s.Tick(t.Context()), c.a.Tick(t.Context()))
				if err == nil && !c.machines[0].disk.Crashed() {
					break
				}
				c.repair(t)
				c.Clock.Advance(time.Minute)
			}
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
		}
		got := c.released(t)
		if acknowledged != 4 || len(got["evil"]) != 1 || len(got["good0"]) != 1 || len(got["good1"]) != 1 {
			t.Fatalf("%s: %d acknowledged, released %v, want each crowd once", what, acknowledged, got)
		}
		return c.machines[0].disk.Calls(), c.machines[0].n()
	}
	calls, changes := run(0, 0, false, 1)
	if calls < 20 || changes < 4 {
		t.Fatalf("%d calls, %d changes: too few to be the whole way", calls, changes)
	}
	for n := 1; n <= calls; n++ {
		run(n, 0, false, uint64(n))
	}
	for n := 1; n <= changes; n++ {
		run(0, n, n%2 == 0, uint64(n))
	}
}
