package aggregate_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
)

// reports is the number of reports of the whole way.
func reports() int {
	if n, err := strconv.Atoi(os.Getenv("SHOAL_BENCH_REPORTS")); err == nil {
		return n
	}
	return 4000
}

// The result is exact, and nothing is left over.
func TestWay(t *testing.T) {
	for name, w := range map[string]*world{"histogram": histogram(t, 100, 10, false), "count": count(t)} {
		t.Run(name, func(t *testing.T) {
			w.upload(t, w.sealed(t, 250), 250, 10, 4)
			w.check(t, w.collect(t), 250)
		})
	}
}

// check compares a result with what the clients reported.
func (w *world) check(t testing.TB, got []uint64, n int) {
	t.Helper()
	for k, x := range got {
		want := (n - k + len(got) - 1) / len(got)
		if len(got) == 1 {
			want = n / 2
		}
		if x != uint64(want) {
			t.Fatalf("element %d is %d, want %d: %v", k, x, want, got)
		}
	}
}

// uploads is how many reports BenchmarkUpload sends: as many as fit into one log, so
// that nothing is aggregated meanwhile. All are new, since a leader passes over
// those that it has just seen.
const uploads = 40_000

// BenchmarkUpload measures durable uploads: connections are kept, and the clients
// run on the same cores.
func BenchmarkUpload(b *testing.B) {
	for _, many := range []int{1, 100} {
		b.Run(fmt.Sprintf("%d-a-request", many), func(b *testing.B) {
			var spent, busy time.Duration
			for b.Loop() {
				b.StopTimer()
				w := count(b)
				all := w.sealed(b, uploads)
				start, before := time.Now(), processor()
				b.StartTimer()
				w.upload(b, all, uploads, many, 64)
				b.StopTimer()
				spent += time.Since(start)
				busy += processor() - before
				w.stop()
				b.StartTimer()
			}
			n := float64(b.N) * uploads
			b.ReportMetric(n/spent.Seconds(), "reports/s")
			b.ReportMetric(n/busy.Seconds(), "reports/s-core")
		})
	}
}

// BenchmarkWay measures the whole way: from the first upload, 100 reports a
// request, to the result that the collector has opened.
func BenchmarkWay(b *testing.B) {
	for name, begin := range map[string]func(testing.TB) *world{
		"histogram": func(t testing.TB) *world { return histogram(t, 100, 10, false) },
		"postgres":  func(t testing.TB) *world { return histogram(t, 100, 10, true) },
		"count":     count,
	} {
		b.Run(name, func(b *testing.B) {
			n := reports()
			for b.Loop() {
				b.StopTimer()
				w := begin(b)
				all := w.sealed(b, n)
				b.StartTimer()
				start, busy := time.Now(), processor()
				w.upload(b, all, n, 100, 8)
				uploaded := time.Since(start)
				got := w.collect(b)
				whole := time.Since(start)
				b.StopTimer()
				w.check(b, got, n)
				b.ReportMetric(uploaded.Seconds(), "s-upload")
				b.ReportMetric(whole.Seconds(), "s-whole")
				b.ReportMetric(float64(n)/whole.Seconds(), "reports/s")
				b.ReportMetric(float64(n)/(processor()-busy).Seconds(), "reports/s-core")
				w.stop()
				if !w.postgres {
					b.ReportMetric(float64(w.stored(b, "helper.db"))/float64(n), "B-helper/report")
				}
				b.StartTimer()
			}
		})
	}
}

// processor returns the time for which this process, clients and servers, has
// used a core, in Linux' steps of 10 ms.
func processor() time.Duration {
	stat, _ := os.ReadFile("/proc/self/stat")
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	var ticks int64
	for _, i := range []int{11, 12} { // user and system
		if i < len(fields) {
			n, _ := strconv.ParseInt(fields[i], 10, 64)
			ticks += n
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// upload sends n of the reports, many a request, until all are acknowledged. The
// clients are as lean as can be: what is measured is the server.
func (w *world) upload(t testing.TB, all [][]byte, n, many, connections int) {
	t.Helper()
	var group sync.WaitGroup
	var next atomic.Int64
	for range connections {
		group.Go(func() {
			conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			in := bufio.NewReader(conn)
			var out bytes.Buffer
			for first := int(next.Add(int64(many))) - many; first < n; first = int(next.Add(int64(many))) - many {
				out.Reset()
				last := min(first+many, n)
				size := 0
				for i := first; i < last; i++ {
					size += len(all[i%len(all)])
				}
				fmt.Fprintf(&out, "POST /%s HTTP/1.1\r\nHost: leader\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n",
					dap.ReportsPath(w.task.ID()), dap.TypeUploadRequest.MediaType(), size)
				for i := first; i < last; i++ {
					out.Write(all[i%len(all)])
				}
				if err := exchange(conn, in, out.Bytes()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
}

// exchange sends a request and reads an answer that must be a success without a
// body.
func exchange(conn net.Conn, in *bufio.Reader, request []byte) error {
	if _, err := conn.Write(request); err != nil {
		return err
	}
	ok := false
	for first := true; ; first = false {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		if first {
			ok = strings.HasPrefix(line, "HTTP/1.1 200 ")
		}
		if n, found := strings.CutPrefix(line, "Content-Length: "); found && strings.TrimSpace(n) != "0" {
			ok = false
		}
		if !ok {
			return fmt.Errorf("answer %q", line)
		}
		if line == "\r\n" {
			return nil
		}
	}
}

// collect moves the clock to the end of the hour, collects it and opens the
// result.
func (w *world) collect(t testing.TB) []uint64 {
	t.Helper()
	job := dap.CollectionJobReq{Query: dap.IntervalQuery(dap.Interval{Start: 480_010, Duration: 1})}
	body, err := w.task.Codec().Encode(&job)
	check(t, err)
	w.clock.Advance(time.Hour)
	for {
		method, path := w.task.Variant().CreateCollectionJob(w.task.ID(), dap.CollectionJobID{})
		r, err := http.NewRequestWithContext(t.Context(), method, w.url+"/"+path, bytes.NewReader(body))
		check(t, err)
		r.Header.Set("Content-Type", dap.TypeCollectionJobReq.MediaType())
		w.token.SetBearer(r.Header)
		answer, err := http.DefaultClient.Do(r)
		check(t, err)
		out, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		check(t, err)
		if answer.StatusCode/100 != 2 || t.Failed() {
			t.Fatalf("collection answered %d: %s", answer.StatusCode, out)
		}
		if len(out) == 0 {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		var resp dap.CollectionJobResp
		check(t, w.task.Codec().Decode(&resp, out))
		shares, err := w.task.OpenCollection(w.collector, w.collector, &job, &resp)
		check(t, err)
		sum, err := w.unshard(shares, resp.ReportCount)
		check(t, err)
		return sum
	}
}
