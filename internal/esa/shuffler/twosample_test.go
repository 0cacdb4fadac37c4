package shuffler

import (
	"math"
	"slices"
	"testing"

	"github.com/shoal-project/shoal/crypto/blind"
	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/hop"
	"github.com/shoal-project/shoal/internal/esa/hoptest"
	"github.com/shoal-project/shoal/metric/task"
)

// noisySizes are the crowds of the batches whose noise is compared.
var noisySizes = []int{9, 12, 16}

// noisySeeds is how many seeds each sample has.
const noisySeeds = 1000

// A sample is how often each number of records of each crowd was released.
type sample []map[int]int

// sampleOf runs the counting stage with many seeds. batch makes the input of a seed and the
// stage without engine, seed and rule; crowdOf finds the crowd of a released row.
func sampleOf(t *testing.T, rule dp.Threshold, first uint64, batch func(seed uint64) ([][]byte, stage), crowdOf func(row []byte) int) sample {
	t.Helper()
	all := make(sample, len(noisySizes))
	for i := range all {
		all[i] = map[int]int{}
	}
	for i := range uint64(noisySeeds) {
		rows, st := batch(first + i)
		st.engine, st.name, st.workers, st.seed, st.threshold = hoptest.NewEngine(), "test", 2, seedOf(first+i), rule
		made, err := st.run(t.Context(), each(rows))
		if err != nil {
			t.Fatal(err)
		}
		released := make([]int, len(noisySizes))
		for _, row := range rowsOf(t, &st, made) {
			released[crowdOf(row)]++
		}
		for crowd, n := range released {
			all[crowd][n]++
		}
	}
	return all
}

// distance is the two-sample chi-square of the numbers of a crowd, as the deviation of a
// normal variable that is as unlikely (Wilson and Hilferty).
func distance(a, b map[int]int) float64 {
	chi2, cells, restA, restB := 0.0, 0, 0, 0
	add := func(x, y int) {
		chi2 += float64((x-y)*(x-y)) / float64(x+y)
		cells++
	}
	for n := range 100 {
		if a[n]+b[n] >= 20 {
			add(a[n], b[n])
		} else {
			restA, restB = restA+a[n], restB+b[n]
		}
	}
	if restA+restB > 0 {
		add(restA, restB)
	}
	k := float64(cells - 1)
	return (math.Cbrt(chi2/k) - (1 - 2/(9*k))) / math.Sqrt(2/(9*k))
}

// farthest is the greatest distance of all crowds.
func farthest(a, b sample) float64 {
	z := math.Inf(-1)
	for crowd := range a {
		z = max(z, distance(a[crowd], b[crowd]))
	}
	return z
}

// records are reports of a world, crowd after crowd.
func records(t *testing.T, w *hoptest.World) (reports [][]byte, crowds []int) {
	t.Helper()
	n := int64(0)
	for crowd, size := range noisySizes {
		for range size {
			reports = append(reports, w.Report(t, w.Epoch(0), string(rune('a'+crowd)), n))
			crowds = append(crowds, crowd)
			n++
		}
	}
	return reports, crowds
}

// blindedSample is the sample of two shufflers over blinded crowds.
func blindedSample(t *testing.T, rule dp.Threshold) sample {
	w := hoptest.New(t, 2, func(t *task.Task) { t.Protection.Blinded = true })
	outer, err := esa.NewOpener(w.Task, w.ID, 0, w.Parties[0].Keys.Private...)
	if err != nil {
		t.Fatal(err)
	}
	inner, err := esa.NewOpener(w.Task, w.ID, 1, w.Parties[1].Keys.Private...)
	if err != nil {
		t.Fatal(err)
	}
	var layers []esa.Layer
	var points [][blind.Size]byte
	crowdOf := map[string]int{}
	reports, crowds := records(t, w)
	for i, report := range reports {
		l, err := outer.Open(report, w.Epoch(0))
		if err != nil {
			t.Fatal(err)
		}
		next, err := inner.Open(l.Next, w.Epoch(0))
		if err != nil {
			t.Fatal(err)
		}
		layers, points = append(layers, l), append(points, l.Point)
		crowdOf[string(next.Next)] = crowds[i]
	}
	open := hop.Unblinding(hop.OpenMany(inner, w.Task, w.Epoch(0)), 1)
	return sampleOf(t, rule, 0, func(seed uint64) ([][]byte, stage) {
		e, err := blind.NewExponent(hoptest.Random(seed))
		if err != nil {
			t.Fatal(err)
		}
		var rows [][]byte
		for i, product := range e.Multiply(points) {
			gamma, _ := product.Secret()
			rows = append(rows, slices.Concat(gamma[:], layers[i].Next))
		}
		return rows, stage{openMany: open, nextSize: inner.NextSize(), unblinds: true}
	}, func(row []byte) int { return crowdOf[string(row[crowdWidth:])] })
}

// singleSample is that of one shuffler over tags.
func singleSample(t *testing.T, rule dp.Threshold) sample {
	w := hoptest.New(t, 1, nil)
	opener, err := esa.NewOpener(w.Task, w.ID, 0, w.Parties[0].Keys.Private...)
	if err != nil {
		t.Fatal(err)
	}
	crowdOf := map[string]int{}
	reports, crowds := records(t, w)
	for i, report := range reports {
		l, err := opener.Open(report, w.Epoch(0))
		if err != nil {
			t.Fatal(err)
		}
		crowdOf[string(l.Next)] = crowds[i]
	}
	open := hop.OpenMany(opener, w.Task, w.Epoch(0))
	return sampleOf(t, rule, noisySeeds, func(uint64) ([][]byte, stage) {
		return reports, stage{openMany: open, nextSize: opener.NextSize()}
	}, func(row []byte) int { return crowdOf[string(row[crowdWidth:])] })
}

// TestNoiseOfTwoShufflers: over 1,000 seeds the counts that two shufflers release of blinded
// crowds and those that one releases of tags are samples of one distribution. Seeds are
// fixed, and so is the result; 4.5 deviations have a probability of 3*10^-6. With another
// mean of the noise the same test sees the difference.
func TestNoiseOfTwoShufflers(t *testing.T) {
	rule, err := dp.NewNoisyDrop(4, 6, 2000)
	if err != nil {
		t.Fatal(err)
	}
	other, err := dp.NewNoisyDrop(4, 7, 2000)
	if err != nil {
		t.Fatal(err)
	}
	single := singleSample(t, rule)
	if z := farthest(blindedSample(t, rule), single); z > 4.5 {
		t.Errorf("the samples are %.1f deviations apart", z)
	}
	if z := farthest(singleSample(t, other), single); z < 6 {
		t.Errorf("another rule is only %.1f deviations away: the test sees nothing", z)
	}
}
