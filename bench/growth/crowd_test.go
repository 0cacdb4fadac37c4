package growth

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/console"
	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/internal/store/duckdb"
	"github.com/shoal-project/shoal/metric/task"
)

// bound returns a bound that the environment may lower.
func bound(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// pages are what people and programs look at.
type pages struct {
	r       *route
	console http.Handler
	sql     *duckdb.Database
}

func (r *route) pages() *pages {
	r.b.Helper()
	s := r.servers[analyzing]
	released := s.Released()
	if with, ok := any(s).(interface{ Epochs() release.Catalogue }); ok {
		released = with.Epochs()
	}
	return &pages{
		r: r, console: must(console.New(console.FromServer(s), console.Options{Clock: r.clock}))(r.b),
		sql: must(duckdb.New(released, duckdb.Options{Worker: []string{"none"}}))(r.b),
	}
}

// page returns how long a page of the console takes.
func (p *pages) page(path string) time.Duration {
	return median(func() {
		w := httptest.NewRecorder()
		p.console.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://localhost"+path, nil))
		if w.Code != http.StatusOK {
			p.r.b.Fatalf("%s: status %d: %.300s", path, w.Code, w.Body)
		}
	})
}

// api returns how long a request to the management API takes.
func (p *pages) api(path string) time.Duration {
	return median(func() {
		req := must(http.NewRequest(http.MethodGet, "http://"+p.r.servers[analyzing].Addr("ops")+"/api/v1/tasks"+path, nil))(p.r.b)
		req.Header.Set("Authorization", "Bearer "+p.r.token)
		resp := must(p.r.client.Do(req))(p.r.b)
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
			p.r.b.Fatalf("%s: %s, %v", path, resp.Status, err)
		}
	})
}

// schema returns how long it takes to list what SQL can ask.
func (p *pages) schema() time.Duration {
	return median(func() {
		if _, err := p.sql.Tables(p.r.b.Context()); err != nil {
			p.r.b.Fatal(err)
		}
	})
}

func micros(d time.Duration, n int) string {
	return fmt.Sprintf("%.1f", float64(d.Microseconds())/float64(n))
}

func millis(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d.Microseconds())/1000) }

// BenchmarkTasks prints what is done for one report, one batch and one look, for
// numbers of tasks of which each has one open batch.
func BenchmarkTasks(b *testing.B) {
	const intake = 20_000 // reports
	most := bound("SHOAL_BENCH_TASKS", 10_000)
	fmt.Printf("%8s %9s %12s %10s %9s %12s %12s %9s\n", "tasks", "start ms", "first µs", "report µs", "tick ms", "close µs/b", "restart ms", "list ms")
	for n := 1; n <= most; n *= 10 {
		b.Run(fmt.Sprintf("tasks=%d", n), func(b *testing.B) {
			r := newRoute(b, n, noisy)
			start := r.start()
			r.fetch()
			one := func(i int) (int, string) { return i, "word" }
			r.post(r.seal(1, one), 1000) // warms up
			first := r.post(r.seal(n, one), n)
			tick := median(func() { r.tick(shuffling); r.tick(analyzing) })
			r.stop()
			restart := r.start()
			list := r.pages().page("/")
			r.closeEpoch()
			closing := r.tick(shuffling) // of one report each, except the first
			reports := r.seal(n, one)
			r.post(reports, n)
			report := r.post(reports, intake)
			fmt.Printf("%8d %9s %12s %10s %9s %12s %12s %9s\n", n, millis(start), micros(first, n), micros(report, intake),
				millis(tick), micros(closing, n), millis(restart), millis(list))
		})
	}
}

// BenchmarkEpochs prints the same for numbers of batches that have been released.
func BenchmarkEpochs(b *testing.B) {
	const (
		tasks  = 10
		intake = 10_000 // reports
		batch  = 300    // reports
	)
	most := bound("SHOAL_BENCH_EPOCHS", 100_000)
	fmt.Printf("%8s %9s %10s %9s %9s %10s %9s %11s %8s %8s\n", "batches", "start ms", "report µs", "tick ms", "close ms", "release ms", "list ms", "question ms", "API ms", "SQL ms")
	for n := tasks; n <= most; n *= 10 {
		b.Run(fmt.Sprintf("batches=%d", n), func(b *testing.B) {
			r := newRoute(b, tasks, noisy)
			r.start()
			template := r.release(batch)
			r.stop()
			r.past(template, template.Epoch+task.Epoch(n/tasks))
			start := r.start()
			r.fetch()
			word := func(int) (int, string) { return 0, "word" }
			r.post(r.seal(batch, word), batch)
			tick := median(func() { r.tick(shuffling); r.tick(analyzing) })
			r.closeEpoch()
			closing := r.tick(shuffling)
			released := r.tick(analyzing)
			r.post(r.seal(1, word), 1)
			report := r.post(r.seal(1, word), intake)
			p := r.pages()
			of := "/" + r.ids[0].String()
			fmt.Printf("%8d %9s %10s %9s %9s %10s %9s %11s %8s %8s\n", n, millis(start), micros(report, intake), millis(tick),
				millis(closing), millis(released), millis(p.page("/")), millis(p.page("/questions"+of)), millis(p.api(of+"/batches")), millis(p.schema()))
		})
	}
}

// release sends reports of one word to the first task and releases its first batch.
func (r *route) release(n int) analyzer.Entry {
	r.b.Helper()
	r.fetch()
	r.post(r.seal(n, func(int) (int, string) { return 0, "word" }), n)
	r.closeEpoch()
	r.tick(shuffling)
	r.tick(analyzing)
	entries := must(r.servers[analyzing].Tables().Entries(r.b.Context()))(r.b)
	if len(entries) != 1 || entries[0].State != analyzer.Released || entries[0].Manifest.Analyzer.Records == 0 {
		r.b.Fatalf("not released: %+v", entries)
	}
	return entries[0]
}

// BenchmarkCrowds prints what the way of a batch to its tables costs, a report, for
// numbers of crowds of two reports each.
func BenchmarkCrowds(b *testing.B) {
	const each = 2 // reports of a crowd
	most := bound("SHOAL_BENCH_CROWDS", 1_000_000)
	fmt.Printf("%8s %12s %12s %12s %12s\n", "crowds", "report µs", "shuffle µs/r", "release µs/r", "question ms")
	for n := 1000; n <= most; n *= 10 {
		b.Run(fmt.Sprintf("crowds=%d", n), func(b *testing.B) {
			r := newRoute(b, 1, task.Threshold{Kind: task.Naive, T: 2})
			r.start()
			r.fetch()
			var took time.Duration
			const part = 100_000 // reports in memory at once
			for from := 0; from < each*n; from += part {
				k := min(part, each*n-from)
				took += r.post(r.seal(k, func(i int) (int, string) { return 0, fmt.Sprint("word", (from+i)%n) }), k)
			}
			runtime.GC()
			r.closeEpoch()
			shuffled, released := r.tick(shuffling), r.tick(analyzing)
			question := r.pages().page("/questions/" + r.ids[0].String())
			fmt.Printf("%8d %12s %12s %12s %12s\n", n, micros(took, each*n), micros(shuffled, each*n), micros(released, each*n), millis(question))
		})
	}
}
