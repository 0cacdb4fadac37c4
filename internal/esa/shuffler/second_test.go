package shuffler_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/crypto/blind"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/internal/esa/hoptest"
	"github.com/shoal-project/shoal/internal/esa/shuffler"
	"github.com/shoal-project/shoal/metric/task"
)

// ofElements makes the two elements of a pair the two crowds of a report.
func ofElements(t *task.Task) {
	t.Schema = task.Schema{{Name: "films", Kind: task.List, Elem: task.String, Max: 4, MaxStr: 8}, {Name: "n", Kind: task.Int, High: 1 << 40}}
	t.Fragment = task.Fragment{Kind: task.Pairs, Keep: []uint8{1}}
	t.Protection.Second = task.SecondCrowd{Kind: task.OfElements}
}

// ofFields makes the number the second crowd, beside the word.
func ofFields(t *task.Task) {
	t.Protection.Second = task.SecondCrowd{Kind: task.OfFields, Fields: []uint8{1}}
}

// A pairWorld is a way of reports of two crowds.
type pairWorld struct {
	*hoptest.World
	chain  *chain
	settle func(testing.TB)
	last   shuffler.Store // of the shuffler that counts
}

// pairWorlds are the ways: one shuffler, two, and two over blinded crowds.
func pairWorlds(t *testing.T, edit func(*task.Task)) map[string]pairWorld {
	t.Helper()
	all := map[string]pairWorld{}
	one := newChain(t, edit)
	all["one shuffler"] = pairWorld{one.World, one, one.finish, one.store}
	two := newChain2With(t, edit)
	all["two shufflers"] = pairWorld{two.World, two.chain, two.settle, two.store2}
	hidden := newChain2With(t, func(t *task.Task) { edit(t); blinded(t) })
	all["blinded"] = pairWorld{hidden.World, hidden.chain, hidden.settle, hidden.store2}
	return all
}

// drawPairs makes records of two crowds, of which some are small.
func drawPairs(elements bool, n int) []task.Record {
	rng := rand.New(rand.NewPCG(7, uint64(n)))
	pick := func() int { return int(min(rng.ExpFloat64()*3, 12)) }
	var all []task.Record
	for i := range n {
		a, b := pick(), pick() // the same now and then
		if elements {
			all = append(all, task.Record{[]task.Value{fmt.Sprint("f", a), fmt.Sprint("f", b)}, int64(i)})
		} else {
			all = append(all, task.Record{fmt.Sprint("w", a), int64(b)})
		}
	}
	return all
}

// crowdsOf are the crowds of a record, as the test understands them.
func crowdsOf(r task.Record) []string {
	if pair, ok := r[0].([]task.Value); ok {
		return slices.Compact([]string{"film " + pair[0].(string), "film " + pair[1].(string)})
	}
	return []string{"word " + r[0].(string), fmt.Sprint("number ", r[1])}
}

// TestSecondCrowd: both crowds are counted over all reports, whichever of them is then
// dropped, and a report goes on if it stays in both.
func TestSecondCrowd(t *testing.T) {
	for name, edit := range map[string]func(*task.Task){"elements": ofElements, "fields": ofFields} {
		for way, w := range pairWorlds(t, edit) {
			t.Run(name+", "+way, func(t *testing.T) { testSecondCrowd(t, w, drawPairs(name == "elements", 60)) })
		}
	}
}

func testSecondCrowd(t *testing.T, w pairWorld, records []task.Record) {
	sizes := map[string]uint64{}
	for i, r := range records {
		report := w.ReportOf(t, w.Epoch(0), r)
		for range 1 + i%2 { // some arrive twice
			if status := w.Post(t, report); status != 201 {
				t.Fatalf("report was answered %d", status)
			}
		}
		for _, crowd := range crowdsOf(r) {
			sizes[crowd]++
		}
	}
	w.chain.closeEpoch(0)
	w.settle(t)
	var want []string
	small := uint64(0)
	for _, n := range sizes {
		if n < 3 {
			small++
		}
	}
	lost, lostToOne := uint64(0), 0
	for _, r := range records {
		crowds := crowdsOf(r)
		below := 0
		for _, c := range crowds {
			if sizes[c] < 3 {
				below++
			}
		}
		if below == 0 {
			want = append(want, fmt.Sprint(r[0], r[1]))
			continue
		}
		lost++
		if below < len(crowds) {
			lostToOne++
		}
	}
	have := releasedRows(t, w.chain)
	slices.Sort(want)
	if slices.Sort(have); !slices.Equal(have, want) || lostToOne == 0 {
		t.Errorf("released %v\nwant %v, with some lost to one crowd alone (%d)", have, want, lostToOne)
	}
	all, err := w.last.Batches(t.Context())
	must(t, err)
	c := all[0].Counts
	if err := c.Check(); err != nil || c.Released != uint64(len(want)) || c.SuppressedCrowds != small || c.SuppressedReports != lost {
		t.Errorf("counts %+v (%v), want %d released, %d crowds and %d reports suppressed", c, err, len(want), small, lost)
	}
}

// releasedRows are the rows of the records tables, without the epoch.
func releasedRows(t testing.TB, c *chain) []string {
	t.Helper()
	entries, err := c.a.Tables().Entries(t.Context())
	must(t, err)
	var all []string
	for _, e := range entries {
		for row, err := range c.a.Tables().Rows(e, analyzer.RecordsTable) {
			must(t, err)
			all = append(all, fmt.Sprint(row[1], row[2]))
		}
		for row, err := range c.a.Tables().Rows(e, analyzer.CountsTable) {
			must(t, err)
			if estimate := row[len(row)-4:]; slices.ContainsFunc(estimate, func(v any) bool { return v != nil }) {
				t.Errorf("an estimate of %v, of two crowds", row)
			}
		}
	}
	return all
}

// TestSecondCrowdIsHidden: shuffler 1 cannot see whether both crowds of a report are one, and
// shuffler 2 needs both factors: that of one crowd does not unblind the other.
func TestSecondCrowdIsHidden(t *testing.T) {
	c := newChain2With(t, func(t *task.Task) { ofElements(t); blinded(t) })
	outer, err := esa.NewOpener(c.Task, c.ID, 0, c.Parties[0].Keys.Private...)
	must(t, err)
	inner, err := esa.NewOpener(c.Task, c.ID, 1, c.Parties[1].Keys.Private...)
	must(t, err)
	e := exponent(t, 1)
	l, err := outer.Open(c.ReportOf(t, c.Epoch(0), task.Record{[]task.Value{"one", "one"}, int64(1)}), c.Epoch(0))
	must(t, err)
	if l.Point == l.Second.Point {
		t.Error("shuffler 1 sees that both crowds are the same")
	}
	next, err := inner.Open(l.Next, c.Epoch(0))
	must(t, err)
	product := e.Multiply([][32]byte{l.Point, l.Second.Point})
	first, _ := product[0].Secret()
	second, _ := product[1].Secret()
	tags, err := blind.Unblind([]blind.Factor{next.Factor, next.Second.Factor, next.Factor}, [][32]byte{first, second, second})
	must(t, err)
	if tags[0] != tags[1] || tags[2] == tags[1] {
		t.Errorf("tags %v: want the first two equal, and another under the wrong factor", tags)
	}
}

// TestSecondCrowdMinority: the analyzer drops a record of which either crowd is not that of
// most with its number.
func TestSecondCrowdMinority(t *testing.T) {
	c := newChain2With(t, func(t *task.Task) { ofElements(t); blinded(t) })
	outer, err := esa.NewOpener(c.Task, c.ID, 0, c.Parties[0].Keys.Private...)
	must(t, err)
	inner, err := esa.NewOpener(c.Task, c.ID, 1, c.Parties[1].Keys.Private...)
	must(t, err)
	var rows [][]byte
	add := func(a, b string, numberA, numberB byte) {
		l, err := outer.Open(c.ReportOf(t, c.Epoch(0), task.Record{[]task.Value{a, b}, int64(len(rows))}), c.Epoch(0))
		must(t, err)
		next, err := inner.Open(l.Next, c.Epoch(0))
		must(t, err)
		row := append(append([]byte{15: numberA}, make([]byte, 16)...), next.Next...)
		row[31] = numberB
		rows = append(rows, row)
	}
	for range 4 {
		add("x", "y", 1, 2)
	}
	add("x", "z", 1, 2) // z under the number of y
	add("z", "y", 1, 2) // z under that of x
	if status := putRows(t, c.chain, 1, c.Epoch(0), c.Parties[2].URL, rows); status != 201 {
		t.Fatalf("answer %d", status)
	}
	must(t, c.a.Tick(t.Context()))
	if have := releasedRows(t, c.chain); len(have) != 4 || slices.ContainsFunc(have, func(s string) bool { return strings.Contains(s, "z") }) {
		t.Errorf("released %v, want the four honest records", have)
	}
	if n := c.exact.of[esa.NewBatchID(c.ID, c.Epoch(0), 1).String()].Invalid[analyzer.WrongCrowd]; n != 2 {
		t.Errorf("%d of a wrong crowd, want 2", n)
	}
}

// TestObliviousRefusesSecondCrowd: what a stage cannot do is refused at the start, by the
// shuffler that counts alone.
func TestObliviousRefusesSecondCrowd(t *testing.T) {
	c := newChain(t, ofFields)
	c.stage = shuffler.Oblivious
	if err := c.startShuffler(t); err == nil || !strings.Contains(err.Error(), "two crowds") {
		t.Errorf("started: %v", err)
	}
	two := newChain2With(t, func(t *task.Task) { ofFields(t); blinded(t) })
	two.stage = shuffler.Oblivious
	must(t, two.startShuffler(t))
}
