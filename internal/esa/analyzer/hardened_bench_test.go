//go:build unix

package analyzer

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	mrand "math/rand/v2"
	"runtime"
	"sort"
	"syscall"
	"testing"
	"time"

	"github.com/shoal-project/shoal/crypto/secretshare"
	"github.com/shoal-project/shoal/crypto/voprf"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/engine/local"
	"github.com/shoal-project/shoal/internal/esa/hoptest"
	"github.com/shoal-project/shoal/internal/quorum"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/metric/task"
)

// zipf returns the values of clients: Zipf with exponent 1.03 over 10,000 values, from a fixed
// seed; those of bench/star.
func zipf(clients int) []int {
	const values = 10_000
	sums := make([]float64, values)
	sum := 0.0
	for i := range sums {
		sum += math.Pow(float64(i+1), -1.03)
		sums[i] = sum
	}
	state := uint64(1)
	out := make([]int, clients)
	for i := range out {
		state += 0x9e3779b97f4a7c15
		z := state
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		u := float64((z^z>>31)>>11) / (1 << 53)
		out[i] = sort.Search(values, func(k int) bool { return sums[k] > u*sum })
	}
	return out
}

// cpuTime returns the processor time of the process.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkHardenedRecovery groups and recovers the reports of clients whose presentations
// have been verified: from rows on the disk to the records of all values that reach
// the threshold. See bench/star.
func BenchmarkHardenedRecovery(b *testing.B) {
	for _, clients := range []int{100_000, 250_000, 500_000, 1_000_000} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) { benchmarkRecovery(b, clients, clients/1000) })
	}
}

func benchmarkRecovery(b *testing.B, clients, threshold int) {
	g, e, l := newRecovery(b, threshold)
	values := zipf(clients)
	counts := map[int]int{}
	w, err := e.Create(b.Context(), g.dataset("opened"), g.columns())
	must(b, err)
	random := mrand.NewChaCha8([32]byte{1})
	made := map[int]*quorum.Value{}
	for i, value := range values {
		counts[value]++
		payload, err := g.h.task.Encode(task.Record{fmt.Sprintf("value %05d", value)})
		must(b, err)
		v := made[value]
		if v == nil {
			output := make([]byte, voprf.OutputSize)
			copy(output, payload)
			v, err = quorum.New(g.h.task, g.h.id, g.epoch, payload, output)
			must(b, err)
			made[value] = v
		}
		x := quorum.XOf(binary.BigEndian.AppendUint64(nil, uint64(i)))
		content, err := v.Content(x, payload, random)
		must(b, err)
		part, err := quorum.Split(g.h.task, content)
		must(b, err)
		crowd, share := v.Crowd(), secretshare.Join(x, part.Y)
		row := append(append([]byte(nil), crowd[:]...), part.Tag[:]...)
		row = append(append(append(row, g.order(share)...), share[:]...), part.Record...)
		must(b, w.Write(row))
	}
	must(b, w.Close())
	wantValues, wantRecords := 0, 0
	for _, n := range counts {
		if n >= threshold {
			wantValues, wantRecords = wantValues+1, wantRecords+n
		}
	}
	runtime.GC() // of what made the reports
	b.ResetTimer()
	before := cpuTime()
	for range b.N {
		g.read.Recovered = 0
		must(b, group(b.Context(), g, e))
		var o outcome
		_, err := release.Write(durable.OS(), b.TempDir(), RecordsTable, l.columns, func(w *release.Writer) error {
			return g.recover(b.Context(), g.dataset("grouped"), l, newCounter(l, 1<<30), w, &o)
		})
		must(b, err)
		must(b, e.Remove(b.Context(), g.dataset("grouped")))
		if int(g.read.Recovered) != wantValues || int(o.published.Records) != wantRecords {
			b.Fatalf("%d values with %d records, want %d with %d", g.read.Recovered, o.published.Records, wantValues, wantRecords)
		}
	}
	b.ReportMetric((cpuTime()-before).Seconds()/float64(b.N), "cpu-s")
	b.ReportMetric(float64(wantValues), "values")
	b.ReportMetric(float64(wantRecords), "records")
}

// group writes the rows of opened reports in the order of their groups.
func group(ctx context.Context, g *grouping, e *local.Engine) error {
	r, err := e.Open(ctx, g.dataset("opened"))
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := e.CreateSorted(ctx, g.dataset("grouped"), g.columns(), nil)
	if err != nil {
		return err
	}
	defer w.Abort()
	for {
		row, err := r.Next()
		if err == io.EOF {
			return w.Close()
		}
		if err == nil {
			err = w.Write(row)
		}
		if err != nil {
			return err
		}
	}
}

// newRecovery returns a grouping without an analyzer around it.
func newRecovery(b testing.TB, threshold int) (*grouping, *local.Engine, *layout) {
	b.Helper()
	random, err := task.GenerateIdentityKey(hoptest.Random(77))
	must(b, err)
	w := hoptest.New(b, 1, func(t *task.Task) {
		t.Schema = task.Schema{{Name: "word", Kind: task.String, Max: 16}}
		t.Crowd = task.CrowdRule{Kind: task.Payload, SaltEpochs: 1}
		t.Threshold = task.Threshold{Kind: task.Naive, T: uint32(threshold)}
		t.Encoding = task.Encoding{Kind: task.Quorum, Shares: uint16(threshold)}
		t.PayloadSize = 256
		t.Protection = task.Protection{
			CredentialEpochs: 1, Evaluations: 1,
			Randomness: task.Party{Role: task.Randomness, URL: "http://127.0.0.1:9", Identity: random.Public()},
		}
	})
	e, err := local.New(b.TempDir(), local.Options{MemoryBytes: 64 << 20})
	must(b, err)
	b.Cleanup(func() { _ = e.Close() })
	h := &hosted{task: w.Task, id: w.ID}
	g := &grouping{
		a: &Analyzer{config: Config{Engine: e, Workers: 2}}, h: h, epoch: w.Epoch(0), name: "recovery", record: quorum.RecordSize(w.Task),
		piece: leastPiece, read: QuorumCounts{Shares: uint16(threshold)}, causes: map[string]uint64{},
	}
	g.spare.New = func() any { return newGroupWorker(h, g.epoch) }
	return g, e, newLayout(w.Task, g.epoch)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
