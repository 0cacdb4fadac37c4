package shuffler_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/shoal-project/shoal/crypto/blind"
	"github.com/shoal-project/shoal/crypto/x25519"
	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/internal/esa/hop"
	"github.com/shoal-project/shoal/internal/esa/hoptest"
	"github.com/shoal-project/shoal/internal/esa/shuffler"
	"github.com/shoal-project/shoal/metric/task"
)

func blinded(t *task.Task) { t.Protection.Blinded = true }

// settle lets everything happen that is due in both shufflers and the analyzer.
func (c *chain2) settle(t testing.TB) {
	t.Helper()
	var err error
	for range 20 {
		if err = errors.Join(c.s.Tick(t.Context()), c.second.Tick(t.Context()), c.a.Tick(t.Context())); err == nil {
			return
		}
		c.Clock.Advance(10 * time.Minute)
	}
	t.Fatal(err)
}

// TestBlindedWay: without noise two shufflers over blinded crowds release the same records
// as over crowds with tags.
func TestBlindedWay(t *testing.T) { eachStage(t, 8000, testBlindedWay) }

func testBlindedWay(t *testing.T, use func(*chain)) {
	var have [2]map[string][]int64
	for i, edit := range []func(*task.Task){nil, blinded} {
		c := newChain2Of(t, edit, use)
		n := int64(0)
		for w, size := range []int{5, 2, 3, 1, 8} { // two are below 3
			for range size {
				report := c.Report(t, c.Epoch(0), fmt.Sprint("word", w), n)
				for range 1 + n%2 { // some arrive twice
					if status := c.Post(t, report); status != 201 {
						t.Fatalf("report was answered %d", status)
					}
				}
				n++
			}
		}
		c.closeEpoch(0)
		c.settle(t)
		have[i] = c.released(t)
	}
	equal(t, have[1], have[0])
	if len(have[1]) != 3 {
		t.Errorf("released %v, want the three large crowds", have[1])
	}
}

// A forger is shuffler 1 of a task with blinded crowds, dishonest: it sends what it likes.
type forger struct {
	*chain2
	outer *esa.Opener // of its layer
}

func newForger(t testing.TB) *forger {
	t.Helper()
	f := &forger{chain2: newChain2With(t, blinded)}
	var err error
	f.outer, err = esa.NewOpener(f.Task, f.ID, 0, f.Parties[0].Keys.Private...)
	must(t, err)
	return f
}

// client returns what shuffler 1 reads of a report.
func (f *forger) client(t testing.TB, word string, n int64) esa.Layer {
	t.Helper()
	l, err := f.outer.Open(f.Report(t, f.Epoch(0), word, n), f.Epoch(0))
	must(t, err)
	return l
}

// row is what an exponent makes of a report.
func row(e *blind.Exponent, l esa.Layer) []byte {
	product := e.Multiply([][32]byte{l.Point})[0]
	gamma, _ := product.Secret()
	return append(gamma[:], l.Next...)
}

func exponent(t testing.TB, seed uint64) *blind.Exponent {
	t.Helper()
	e, err := blind.NewExponent(hoptest.Random(seed))
	must(t, err)
	return e
}

// send hands rows over to shuffler 2, and returns the answer's status.
func (f *forger) send(t testing.TB, e task.Epoch, rows ...[]byte) int {
	t.Helper()
	return putRows(t, f.chain2.chain, 0, e, f.Parties[1].URL, rows)
}

// putRows sends rows as the batch of hop i to a URL.
func putRows(t testing.TB, c *chain, i int, e task.Epoch, url string, rows [][]byte) int {
	t.Helper()
	h, err := esa.NewBatchHeader(c.Task, c.ID, i, e, 0, uint64(len(rows)))
	must(t, err)
	var file bytes.Buffer
	w, err := esa.NewBatchWriter(&file, h, c.Parties[i].ID)
	must(t, err)
	for _, r := range rows {
		must(t, w.Write(r))
	}
	_, err = w.Close()
	must(t, err)
	seal, err := esa.ReadBatchSeal(bytes.NewReader(file.Bytes()), int64(file.Len()))
	must(t, err)
	target := url + "/tasks/" + c.ID.String() + "/batches/" + esa.NewBatchID(c.ID, e, i).String()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPut, target, &file)
	req.Header.Set("Content-Type", hop.BatchType)
	req.Header.Set(hop.SealHeader, hop.FormatSeal(seal))
	resp, err := c.Net.RoundTrip(req)
	must(t, err)
	return resp.StatusCode
}

// result is what has become of the only batch of shuffler 2, after settling.
func (f *forger) result(t testing.TB) shuffler.Batch {
	t.Helper()
	f.settle(t)
	all, err := f.store2.Batches(t.Context())
	must(t, err)
	if len(all) != 1 {
		t.Fatalf("%d batches, want 1", len(all))
	}
	return all[0]
}

// TestSmallOrderPoints: with points of small order a dishonest shuffler 1 would have all
// reports fall into few crowds, were the inverse of a factor no multiple of 8. Each is
// refused, and costs itself alone.
func TestSmallOrderPoints(t *testing.T) {
	f := newForger(t)
	small := [][32]byte{{}, {1}, // 0 and a point of order 4
		{0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00}}
	var rows [][]byte
	for n := range 30 {
		gamma := small[n%len(small)]
		rows = append(rows, append(gamma[:], f.client(t, "victim", int64(n)).Next...))
	}
	e := exponent(t, 1)
	for n := range 3 {
		rows = append(rows, row(e, f.client(t, "word", int64(n))))
	}
	if status := f.send(t, f.Epoch(0), rows...); status != 201 {
		t.Fatalf("answer %d", status)
	}
	b := f.result(t)
	if n := b.Counts.Invalid[esa.CauseMalformed]; n != 30 || b.Counts.Released != 3 {
		t.Errorf("%d refused and %d released, want 30 and 3", n, b.Counts.Released)
	}
	equal(t, f.released(t), map[string][]int64{"word": {0, 1, 2}})
}

// TestOnePointForAll: a dishonest shuffler 1 that gives strangers one point cannot merge
// them into one crowd: each has its own factor.
func TestOnePointForAll(t *testing.T) {
	f := newForger(t)
	gamma := f.client(t, "x", 0).Point
	var rows [][]byte
	for n := range 50 {
		rows = append(rows, append(gamma[:], f.client(t, "same", int64(n)).Next...))
	}
	f.send(t, f.Epoch(0), rows...)
	if b := f.result(t); b.Counts.SuppressedCrowds != 50 || b.Counts.Released != 0 {
		t.Errorf("%d crowds suppressed, %d rows released: want 50, 0", b.Counts.SuppressedCrowds, b.Counts.Released)
	}
}

// TestCopiesCountOnce: shuffler 1 sends one client's report many times, with its own point,
// with the points of others, and under a second exponent: it counts once. On the way of
// blinded crowds a report is recognised by its encapsulated key.
func TestCopiesCountOnce(t *testing.T) {
	f := newForger(t)
	a, b := exponent(t, 1), exponent(t, 2)
	victim := f.client(t, "victim", 1)
	rows := [][]byte{row(a, victim)}
	for range 5 {
		rows = append(rows, row(a, victim))
	}
	for n := range 4 {
		other := f.client(t, "word", int64(n))
		rows = append(rows, row(a, other), row(b, other)) // the same crowd twice, under two exponents
		other.Next = victim.Next
		rows = append(rows, row(a, other))
	}
	f.send(t, f.Epoch(0), rows...)
	got := f.result(t)
	if valid := got.Counts.Distinct(); valid != 5 {
		t.Errorf("%d reports of 5 clients count", valid)
	}
	for word, numbers := range f.released(t) {
		if word == "victim" || len(numbers) > 4 {
			t.Errorf("%q was released %d times", word, len(numbers))
		}
	}
}

// TestSplitCrowd: with two exponents shuffler 1 can split a crowd, which costs its reports
// and lifts no other crowd.
func TestSplitCrowd(t *testing.T) {
	f := newForger(t)
	var rows [][]byte
	for n := range 4 { // a threshold of 3
		rows = append(rows, row(exponent(t, uint64(1+n%2)), f.client(t, "word", int64(n))))
	}
	f.send(t, f.Epoch(0), rows...)
	if b := f.result(t); b.Counts.SuppressedCrowds != 2 || b.Counts.Released != 0 {
		t.Errorf("%d crowds suppressed, %d rows released: want 2, 0", b.Counts.SuppressedCrowds, b.Counts.Released)
	}
}

// TestOneBatchAnEpoch: shuffler 2 takes one batch of a task and epoch, and no report of
// another epoch or task in it: the header of the layer binds both. So no report counts in two batches.
func TestOneBatchAnEpoch(t *testing.T) {
	f := newForger(t)
	e := exponent(t, 1)
	var rows [][]byte
	for n := range 3 {
		rows = append(rows, row(e, f.client(t, "word", int64(n))))
	}
	if status := f.send(t, f.Epoch(0), rows...); status != 201 {
		t.Fatalf("answer %d", status)
	}
	if status := f.send(t, f.Epoch(0), append(rows, rows[0])...); status != 409 {
		t.Errorf("a second batch of the epoch was answered %d, want 409", status)
	}
	f.settle(t)
	f.closeEpoch(1)
	if status := f.send(t, f.Epoch(1), rows...); status != 201 {
		t.Fatalf("answer %d", status)
	}
	f.settle(t)
	b, err := f.store2.Batch(t.Context(), shuffler.Key{Task: f.ID, Epoch: f.Epoch(1)})
	must(t, err)
	if n := b.Counts.Invalid[esa.CauseWrongEpoch]; n != 3 || b.Counts.Released != 0 {
		t.Errorf("reports of another epoch: %d refused and %d released, want 3 and 0", n, b.Counts.Released)
	}
	// The same parties and keys, another task.
	other := f.World.With(t, func(t *task.Task) { t.Metric = "others" })
	outer, err := esa.NewOpener(other.Task, other.ID, 0, f.Parties[0].Keys.Private...)
	must(t, err)
	foreign, err := outer.Open(other.Report(t, f.Epoch(2), "word", 1), f.Epoch(2))
	must(t, err)
	f.closeEpoch(2)
	f.send(t, f.Epoch(2), row(e, foreign))
	f.settle(t)
	b, err = f.store2.Batch(t.Context(), shuffler.Key{Task: f.ID, Epoch: f.Epoch(2)})
	must(t, err)
	if b.Counts.Invalid[esa.CauseWrongTask] != 1 {
		t.Errorf("a report of another task: %+v", b.Counts)
	}
}

// TestExponentIsErased: when the hand-over file is durable, nothing is left from which the
// exponent of the batch follows, and a file that was not acknowledged is sent again as it is.
func TestExponentIsErased(t *testing.T) {
	c := newChain2With(t, blinded)
	for n := range 3 {
		c.Post(t, c.Report(t, c.Epoch(0), "word", int64(n)))
	}
	c.closeEpoch(0)
	lost := 0
	c.Net.Lose = func(r *http.Request) bool {
		lost++
		return r.Method == http.MethodPut && lost < 3
	}
	if err := c.s.Tick(t.Context()); err == nil {
		t.Fatal("the lost answer went unnoticed")
	}
	b, err := c.store.Batch(t.Context(), shuffler.Key{Task: c.ID, Epoch: c.Epoch(0)})
	must(t, err)
	if b.State != shuffler.Processed || b.Seed != (dp.Seed{}) {
		t.Errorf("batch is %v, its seed is gone: %v; want processed, true", b.State, b.Seed == dp.Seed{})
	}
	must(t, c.s.Close())
	must(t, c.startShuffler(t))
	c.settle(t)
	equal(t, c.released(t), map[string][]int64{"word": {0, 1, 2}})
	if c.Net.Variants() != 1 {
		t.Errorf("%d different batches were handed over", c.Net.Variants())
	}
}

// A view is what a shuffler of a recorded run has: all that it received, and its keys.
type view struct{ received [][]byte }

// guess is the game of acceptance 2: the party has its view and a guess of a crowd, and
// says whether somebody is in it. tag computes from a row what the party would compare
// with, for the crowd guessed.
func (v view) confirms(candidates ...[]byte) bool {
	for _, row := range v.received {
		for _, c := range candidates {
			if bytes.Contains(row, c) {
				return true
			}
		}
	}
	return false
}

// TestGuess: shuffler 2 of a task with tags confirms every guess from the tag alone. With
// blinded crowds no value that either shuffler can compute from a guess is in anything it
// receives, opens or unblinds; with k reports of its own it confirms exactly k guesses.
func TestGuess(t *testing.T) {
	words := []string{"alpha", "beta", "gamma", "delta"}
	t.Run("tags", func(t *testing.T) {
		c := newChain2With(t, nil)
		v := recordSecond(t, c, words)
		for _, w := range words {
			tag := c.Tag(t, c.Epoch(0), task.Record{w, int64(0)})
			if !v.confirms(tag[:]) {
				t.Errorf("the guess %q fails where crowds have tags: the test sees nothing", w)
			}
		}
	})
	t.Run("blinded", func(t *testing.T) {
		c := newChain2With(t, blinded)
		v := recordSecond(t, c, words)
		for _, w := range words {
			rec := task.Record{w, int64(0)}
			tag, point := esa.SaltedTag(c.ID, uint64(c.Epoch(0)), []byte(w)), c.Point(t, c.Epoch(0), rec)
			candidates := [][]byte{tag[:], point[:]}
			for _, l := range v.received { // and whatever a point of the guess gives with what it has
				if len(l) == 32 {
					product := x25519.Multiply((*[32]byte)(l), &point)
					if secret, ok := product.Secret(); ok {
						candidates = append(candidates, secret[:])
					}
				}
			}
			if v.confirms(candidates...) {
				t.Errorf("the guess %q is confirmed", w)
			}
		}
	})
	t.Run("with own reports", func(t *testing.T) {
		f := newForger(t)
		e := exponent(t, 1)
		tags := map[[32]byte]bool{} // that the reports of others have
		unblind := func(word string) [32]byte {
			l := f.client(t, word, 1)
			inner, err := esa.NewOpener(f.Task, f.ID, 1, f.Parties[1].Keys.Private...)
			must(t, err)
			opened, err := inner.Open(l.Next, f.Epoch(0))
			must(t, err)
			got, err := blind.Unblind([]blind.Factor{opened.Factor}, [][32]byte{[32]byte(row(e, l))})
			must(t, err)
			return got[0].Value
		}
		for _, w := range words {
			tags[unblind(w)] = true
		}
		for k, w := range append(words, "absent") {
			if confirmed := tags[unblind(w)]; confirmed != (k < len(words)) {
				t.Errorf("an own report of %q: confirmed %v", w, confirmed)
			}
		}
	})
}

// recordSecond runs one epoch with three reports of each word, and returns all that
// shuffler 2 has: the rows, what it opens of them, factors included by what they give.
func recordSecond(t *testing.T, c *chain2, words []string) view {
	t.Helper()
	var v view
	inner, err := esa.NewOpener(c.Task, c.ID, 1, c.Parties[1].Keys.Private...)
	must(t, err)
	second := c.second.Handler()
	c.Net.Serve(c.Parties[1], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		must(t, err)
		r.Body = io.NopCloser(bytes.NewReader(body))
		if r.Header.Get(hop.SealHeader) != "" {
			b, err := esa.OpenBatch(bytes.NewReader(body), int64(len(body)), c.Task, c.ID, 0)
			must(t, err)
			for row, err := range b.Rows() {
				must(t, err)
				v.add(t, inner, c, bytes.Clone(row))
			}
		}
		second.ServeHTTP(w, r)
	}))
	for n := range 3 * len(words) {
		c.Post(t, c.Report(t, c.Epoch(0), words[n/3], int64(n)))
	}
	c.closeEpoch(0)
	c.settle(t)
	if len(v.received) == 0 || len(c.released(t)) != len(words) {
		t.Fatalf("recorded %d rows, released %v", len(v.received), c.released(t))
	}
	return v
}

func (v *view) add(t testing.TB, inner *esa.Opener, c *chain2, row []byte) {
	t.Helper()
	n := esa.PointSize(c.Task, 0)
	l, err := inner.Open(row[n:], c.Epoch(0))
	must(t, err)
	v.received = append(v.received, row, l.Crowd[:])
	if n > 0 {
		tags, err := blind.Unblind([]blind.Factor{l.Factor}, [][32]byte{[32]byte(row)})
		must(t, err)
		mark := esa.BlindedTag(&tags[0])
		v.received = append(v.received, row[:n], tags[0].Value[:], mark[:])
	}
}

// TestMinorityOfACrowdIsDropped: a dishonest shuffler 2 that counts records of another
// crowd under a number has them dropped by the analyzer, counted; one that mixes crowds evenly has all
// of the number dropped.
func TestMinorityOfACrowdIsDropped(t *testing.T) {
	f := newForger(t)
	inner, err := esa.NewOpener(f.Task, f.ID, 1, f.Parties[1].Keys.Private...)
	must(t, err)
	next := func(word string, n int64) []byte {
		opened, err := inner.Open(f.client(t, word, n).Next, f.Epoch(0))
		must(t, err)
		return opened.Next
	}
	var rows [][]byte
	number := func(k byte, layer []byte) {
		rows = append(rows, append([]byte{15: k}, layer...))
	}
	for n := range int64(4) {
		number(1, next("many", n))
		number(2, next([]string{"left", "right"}[n%2], 10+n))
	}
	number(1, next("rare", 20))
	number(3, next("alone", 30)) // fewer than the rule releases
	if status := putRows(t, f.chain2.chain, 1, f.Epoch(0), f.Parties[2].URL, rows); status != 201 {
		t.Fatalf("answer %d", status)
	}
	must(t, f.a.Tick(t.Context()))
	equal(t, f.released(t), map[string][]int64{"many": {0, 1, 2, 3}})
	counts := f.exact.of[esa.NewBatchID(f.ID, f.Epoch(0), 1).String()]
	if counts.Invalid[analyzer.WrongCrowd] != 5 || counts.Invalid[analyzer.SmallCrowd] != 1 {
		t.Errorf("counts %v, want 5 of a wrong crowd and 1 of a small one", counts.Invalid)
	}
}
