package server

import (
	"bytes"
	"crypto/rand"
	"encoding/csv"
	"fmt"
	"maps"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/dap/client"
	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/audit"
	"github.com/shoal-project/shoal/internal/dap/collector"
	"github.com/shoal-project/shoal/internal/dap/taskconfig"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/internal/esa/encoder"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/metric/cost"
	"github.com/shoal-project/shoal/metric/kind"
	"github.com/shoal-project/shoal/metric/task"
)

// The audits release 200 batches through servers, in every second of which one client
// reports something else, see package audit. The noise is that of the servers, which no
// test seeds, so that bounds are wide: serverAlpha is the chance that one bound of one
// event is wrong, and no audit compares more than 4 statistics of [audit.Events]: a
// test fails by chance with a probability below 4 * 256 * 2e-11, about 2e-8.
const (
	auditedBatches = 200
	serverAlpha    = 1e-11
)

// within reports whether the variance of a sample is within a part of what it should
// be; callers choose the part so that it is 7 deviations of the figure.
func within(t *testing.T, what string, sample []int64, want, part float64) {
	t.Helper()
	if v := audit.Variance(sample); math.Abs(v-want) > part*want {
		t.Errorf("%s: variance %.3f of %d draws, want %.3f within %.0f %%: noise is missing, or drawn more than once", what, v, len(sample), want, 100*part)
	}
}

// askOther changes the question that both organisations have.
func (w *world) askOther(change func(*task.Task)) {
	w.t.Helper()
	changed := *w.task
	change(&changed)
	w.put(&changed)
}

// put signs tasks and gives them to both organisations. The first is the question.
func (w *world) put(tasks ...*task.Task) {
	w.t.Helper()
	bundle := &task.Bundle{}
	for _, q := range tasks {
		signed, err := task.Sign(q, w.owner)
		must(w.t, err)
		bundle.Tasks = append(bundle.Tasks, signed)
	}
	b, err := bundle.Encode()
	must(w.t, err)
	w.task = tasks[0]
	w.id, err = w.task.ID()
	must(w.t, err)
	for _, o := range []*org{w.a, w.b} {
		must(w.t, os.WriteFile(filepath.Join(o.dir, "tasks.bundle"), b, 0o600))
	}
}

// lowFloors lets small batches be released.
func lowFloors(c *Config) {
	c.Floors.MinBatch, c.Floors.MinThreshold, c.Floors.MaxEpsilon = 2, 2, 16
}

// A crowdSender seals and posts reports of the current epoch, many at once.
type crowdSender struct {
	w    *world
	enc  *encoder.Encoder
	keys []task.Key
}

func (w *world) crowdSender() *crowdSender {
	w.t.Helper()
	s := &crowdSender{w: w}
	var err error
	s.enc, err = encoder.New(w.task, w.id)
	must(w.t, err)
	_, _, body := get(w.t, "http://"+w.a.address+"/tasks/"+w.id.String()+"/keys", "")
	list, err := task.ParseKeyConfigList(body)
	must(w.t, err)
	configs, err := list.Open(w.task, w.clock.Now())
	must(w.t, err)
	s.keys, err = esa.ChooseKeys(w.task, configs, w.clock.Now())
	must(w.t, err)
	return s
}

func (s *crowdSender) one(fruit string) error {
	fragments, err := s.enc.Encode(map[string]any{"name": fruit, "ripe": true}, rand.Reader)
	if err != nil {
		return err
	}
	report, err := s.enc.Seal(fragments[0], s.w.task.EpochAt(s.w.clock.Now()), s.keys)
	if err != nil {
		return err
	}
	r, err := http.Post("http://"+s.w.a.address+"/tasks/"+s.w.id.String()+"/reports", "application/shoal-report;v=1", bytes.NewReader(report))
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusCreated {
		return fmt.Errorf("report: status %d", r.StatusCode)
	}
	return nil
}

// send posts reports of so many clients for each fruit.
func (s *crowdSender) send(of map[string]int) {
	s.w.t.Helper()
	fruits := make(chan string)
	errs := make(chan error, 16)
	var wg sync.WaitGroup
	for range cap(errs) {
		wg.Go(func() {
			for fruit := range fruits {
				if err := s.one(fruit); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	for fruit, n := range of {
		for range n {
			select {
			case fruits <- fruit:
			case err := <-errs:
				s.w.t.Fatal(err)
			}
		}
	}
	close(fruits)
	wg.Wait()
	select {
	case err := <-errs:
		s.w.t.Fatal(err)
	default:
	}
}

// manyCrowds asks about fruit every minute, with little noise and crowds that are
// nevertheless released for certain: 14 reports are 7 deviations above 2, and all are
// 7 above the minimum.
func (w *world) manyCrowds() map[string]int {
	w.t.Helper()
	w.a.adjust, w.b.adjust = lowFloors, lowFloors
	w.askOther(func(q *task.Task) {
		q.Threshold = task.Threshold{Kind: task.NoisyDrop, T: 2, D: 6, SigmaMilli: 1000}
		q.MinBatch, q.EpochSeconds, q.MaxDelay, q.ClockSkew = 2, 60, 60, 0
	})
	return map[string]int{"apple": 14, "pear": 14, "plum": 14, "quince": 14}
}

// TestCrowdReleasesAreAudited: 200 batches of the crowd route, of which one client more
// is in every second.
func TestCrowdReleasesAreAudited(t *testing.T) {
	w := newWorld(t)
	fruits := w.manyCrowds()
	w.a.start()
	w.b.start()
	s := w.crowdSender()
	for i := range auditedBatches {
		of := maps.Clone(fruits)
		of["apple"] += i % 2
		s.send(of)
		w.clock.Forward(w.clock.Now().Add(time.Minute))
	}
	w.clock.Forward(w.clock.Now().Add(2 * time.Minute))
	must(t, w.tick(w.a, w.b))
	entries, err := w.b.server.Tables().Entries(t.Context())
	must(t, err)
	if len(entries) != auditedBatches {
		t.Fatalf("%d batches are released, want %d", len(entries), auditedBatches)
	}
	total, err := cost.Total(w.task)
	must(t, err)
	var apples, totals, both [2][]int64
	var rows, told []int64 // what is published less the truth
	for i, e := range entries {
		client, all := i%2, int64(0)
		for _, n := range fruits {
			all += int64(n)
		}
		counts := crowdCounts(t, w, e)
		for fruit, n := range fruits {
			if counts[fruit] == 0 {
				t.Fatalf("%s of batch %d are not released", fruit, i)
			}
			if fruit != "apple" {
				rows = append(rows, counts[fruit]-int64(n))
			}
		}
		m, reports := client, int64(*e.Manifest.Shuffler.Reports)
		apples[m], totals[m] = append(apples[m], counts["apple"]), append(totals[m], reports)
		// by how much more likely this is with the client, in thousandths
		likely := 1000 * (float64(counts["apple"]) + float64(reports)/(total.StdDev()*total.StdDev()))
		both[m] = append(both[m], int64(likely))
		told = append(told, reports-all-int64(client))
	}
	curve, err := cost.CurveOf(w.task, cost.PerEpoch)
	must(t, err)
	const delta = 0.35 // so large that 200 batches without noise show more than is declared
	declared, err := curve.Epsilon(delta)
	must(t, err)
	for what, c := range map[string][2][]int64{"rows of one crowd": apples, "number of reports": totals, "both": both} {
		if eps := audit.Epsilon(c[0], c[1], delta, serverAlpha); eps > declared {
			t.Errorf("%s: 200 batches show epsilon %.3f at delta %g, declared is %.3f", what, eps, delta, declared)
		}
	}
	within(t, "crowds", rows, 1+1.0/12, 0.45)                            // 600 draws, of 5.8 % each
	within(t, "totals", told, total.StdDev()*total.StdDev()+1.0/12, 0.7) // 200 draws, of 10 %
	if exact := exactPairs(auditedBatches); audit.Epsilon(exact[0], exact[1], delta, serverAlpha) <= declared {
		t.Error("batches without noise would not be told: the test has no power")
	}
}

// exactPairs are samples of a mechanism without noise.
func exactPairs(n int) [2][]int64 {
	return [2][]int64{slices.Repeat([]int64{0}, n/2), slices.Repeat([]int64{1}, n/2)}
}

// crowdCounts are the counts of the crowds of a released batch.
func crowdCounts(t *testing.T, w *world, e analyzer.Entry) map[string]int64 {
	t.Helper()
	counts := map[string]int64{}
	for row, err := range w.b.server.Tables().Rows(e, analyzer.CountsTable) {
		must(t, err)
		counts[row[1].(string)] = row[2].(int64)
	}
	return counts
}

const auditedLabels = 16

// manyColours are two questions about colours, with Laplace noise for epsilon 1/2 and
// Gaussian noise of sigma 3, for epochs of so many seconds.
func (w *world) manyColours(epoch uint32) []*task.Task {
	w.t.Helper()
	w.a.adjust, w.b.adjust = lowFloors, lowFloors
	laplace, err := dp.NewLaplaceNoise(1, 2, 2)
	must(w.t, err)
	gaussian, err := dp.NewGaussianNoise(3, 1)
	must(w.t, err)
	var tasks []*task.Task
	for name, noise := range map[string]dp.Noise{"laplace": laplace, "gaussian": gaussian} {
		q := *w.task
		q.Metric, q.MinBatch, q.EpochSeconds, q.MaxDelay, q.ClockSkew = name, 2, epoch, 60, 0
		labels := make([]string, auditedLabels)
		for i := range labels {
			labels[i] = fmt.Sprint("colour", i)
		}
		q.Aggregation, err = task.WithChunk(task.Aggregation{
			Kind: kind.Categories{Labels: labels}, Variant: "dap-18", Presence: kind.Revealed, Noise: noise,
		})
		must(w.t, err)
		tasks = append(tasks, &q)
	}
	w.put(tasks...)
	return tasks
}

// colour uploads one report of each of some labels for the current epoch.
func (w *world) colour(q *task.Task, c *client.Client, labels ...int) {
	w.t.Helper()
	question, err := q.Aggregation.Measure()
	must(w.t, err)
	var reports []*dap.Report
	for _, label := range labels {
		tally := question.Empty()
		must(w.t, tally.Observe(q.Aggregation.Kind.Label(label), rand.Reader))
		r, err := c.Report(w.t.Context(), tally, w.clock.Now())
		must(w.t, err)
		reports = append(reports, r)
	}
	_, err = c.UploadReports(w.t.Context(), reports...)
	must(w.t, err)
}

func (w *world) uploader(q *task.Task) *client.Client {
	w.t.Helper()
	id, err := q.ID()
	must(w.t, err)
	made, err := taskconfig.New(q, id)
	must(w.t, err)
	return client.New(made, client.Options{Leader: q.Leader().Identity, Helper: q.Helper().Identity, Clock: w.clock, Transport: http.DefaultTransport})
}

// TestSumsAreAudited: 200 batches of the aggregate route for each mechanism; in every
// second one client has reported something else.
func TestSumsAreAudited(t *testing.T) {
	w := newAggregateWorld(t)
	tasks := w.manyColours(60)
	w.pair()
	w.b.start()
	w.a.start()
	uploaders := map[*task.Task]*client.Client{}
	for _, q := range tasks {
		uploaders[q] = w.uploader(q)
	}
	for i := range auditedBatches {
		for _, q := range tasks {
			w.colour(q, uploaders[q], 0, i%2)
		}
		w.clock.Forward(w.clock.Now().Add(time.Minute))
		if i%20 == 19 {
			must(t, w.tick(w.b, w.a))
		}
	}
	must(t, w.settle(10*time.Minute))
	for _, q := range tasks {
		t.Run(q.Metric, func(t *testing.T) { w.auditSums(t, q) })
	}
}

// auditSums reads what is released of a question. Both aggregators add all of the
// noise, so that what a collector sees is of both.
func (w *world) auditSums(t *testing.T, q *task.Task) {
	t.Helper()
	batches := w.sums(t, q)
	if len(batches) != auditedBatches {
		t.Fatalf("%d batches are released, want %d", len(batches), auditedBatches)
	}
	noise := q.Aggregation.Noise
	var shown [2][]int64
	var drawn []int64
	for i, at := range slices.Sorted(maps.Keys(batches)) {
		sums := batches[at]
		first, second := 2.0-float64(i%2), float64(i%2)
		for k, x := range sums {
			truth := 0.0
			switch k {
			case 0:
				truth = first
			case 1:
				truth = second
			}
			drawn = append(drawn, int64(x-truth))
		}
		shown[i%2] = append(shown[i%2], int64(sums[1]-sums[0]))
	}
	delta := 0.0
	if noise.Mechanism == dp.Gaussian {
		delta = 1e-6
	}
	declared := noise.Guarantee(2, math.Sqrt2, delta).Epsilon
	if eps := audit.Epsilon(shown[0], shown[1], delta, serverAlpha); eps > declared {
		t.Errorf("200 batches show epsilon %.3f, declared is %.3f", eps, declared)
	}
	within(t, "sums", drawn, noise.Variance(2), 0.25) // 3200 draws, of 3.3 % at most
	if exact := exactPairs(auditedBatches); noise.Mechanism == dp.Laplace && audit.Epsilon(exact[0], exact[1], delta, serverAlpha) <= declared {
		t.Error("batches without noise would not be told: the test has no power")
	}
}

// sums are the released sums of a question, by epoch.
func (w *world) sums(t *testing.T, q *task.Task) map[string][]float64 {
	t.Helper()
	var out bytes.Buffer
	must(t, release.Export(t.Context(), w.a.server.Released(), &out, release.CSV, release.Query{Metric: q.Metric, Table: collector.ResultsTable}))
	rows, err := csv.NewReader(&out).ReadAll()
	must(t, err)
	item, estimate := slices.Index(rows[0], "item"), slices.Index(rows[0], "estimate")
	all := map[string][]float64{}
	for _, row := range rows[1:] {
		k := slices.Index(q.Aggregation.Kind.(kind.Categories).Labels, row[item])
		if k < 0 {
			t.Fatalf("there is no label %q", row[item])
		}
		if all[row[0]] == nil {
			all[row[0]] = make([]float64, auditedLabels)
		}
		x, err := strconv.ParseFloat(row[estimate], 64)
		must(t, err)
		all[row[0]][k] = x
	}
	return all
}
