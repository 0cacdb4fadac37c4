package crowd_test

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net/http"
	"testing"

	"github.com/shoal-project/shoal/crypto/arc"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/relay"
	"github.com/shoal-project/shoal/metric/task"
)

// BenchmarkRelay compares durable intake by the way that reports take, with and without
// credentials: to the shuffler, and through relay and gateway to it; clients,
// relay and shuffler on the same cores, over connections that are kept. A report with
// credentials has presentations of the right length and of zeros: a shuffler verifies them when it closes
// the batch (see the benchmarks of crypto/arc), and the intake looks at no more than the length.
func BenchmarkRelay(b *testing.B) {
	for _, o := range []routing{{}, {credentials: true}, {relay: true}, {relay: true, credentials: true}} {
		way, shown := "direct", "plain"
		if o.relay {
			way = "relay"
		}
		if o.credentials {
			shown = "credentials"
		}
		b.Run(way+"/"+shown, func(b *testing.B) {
			r := newRouteOf(b, o)
			keys := r.sendThrough(b, o)
			reports := r.shows(b, 1000, keys)
			r.post(b, reports, 200, 32)
			before := processorTime(b)
			b.ResetTimer()
			r.post(b, reports, b.N, 32)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reports/s")
			b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/report")
			b.ReportMetric(float64(len(reports[0])), "B/report")
		})
	}
}

// sendThrough returns the keys of the hops, and makes the client send through the relay, if there is one.
func (r *route) sendThrough(b *testing.B, o routing) []task.Key {
	b.Helper()
	if !o.relay {
		return r.keys(b)
	}
	way := must(relay.NewClient(r.client.Transport, r.clock).Way(r.task))(b)
	keys := must(way.HopKeys(b.Context(), r.task))(b)
	r.client = &http.Client{Transport: must(way.Transport(r.task.First()))(b)} // the servers have the other one
	return keys
}

// shows makes n reports that show what the task asks for.
func (r *route) shows(b *testing.B, n int, keys []task.Key) [][]byte {
	b.Helper()
	sealer := must(esa.NewSealer(r.task, r.id, keys))(b)
	present := func(i int, _ [sha256.Size]byte) ([][]byte, error) {
		var all [][]byte
		for _, p := range r.task.Presentations(r.task.Hops[i]) {
			all = append(all, make([]byte, arc.PresentationSize(p.Limit)))
		}
		return all, nil
	}
	reports := make([][]byte, n)
	for i := range reports {
		var tag esa.CrowdTag
		if _, err := rand.Read(tag[:]); err != nil {
			b.Fatal(err)
		}
		payload := must(r.task.Encode(task.Record{fmt.Sprint("word ", i)}))(b)
		reports[i] = must(sealer.SealShowing(r.task.EpochAt(epochStart), []esa.CrowdTag{tag}, payload, present))(b)
	}
	return reports
}

// BenchmarkBytes reports the length of a report of up to 61 bytes of data with each protection, and
// of the request that carries it to a relay.
func BenchmarkBytes(b *testing.B) {
	owner := must(task.GenerateIdentityKey(rand.Reader))(b).Public()
	party := func(r task.Role) task.Party {
		return task.Party{Role: r, URL: "https://party.example", Identity: owner}
	}
	two := func(t *task.Task) { t.Hops = append([]task.Party{party(task.Shuffler)}, t.Hops...) }
	shown := func(t *task.Task) { t.Protection.CredentialEpochs = 4 }
	for _, form := range []struct {
		name string
		edit func(*task.Task)
	}{
		{"plain", func(*task.Task) {}},
		{"credentials", shown},
		{"credentials/quorum=hardened", func(t *task.Task) {
			shown(t)
			t.Encoding, t.Protection.Evaluations = task.Encoding{Kind: task.Quorum, Shares: 20}, 1
			t.Protection.Randomness = party(task.Randomness)
		}},
		{"shufflers=2", two},
		{"shufflers=2/blinded", func(t *task.Task) { two(t); t.Protection.Blinded = true }},
		{"shufflers=2/blinded/credentials", func(t *task.Task) { two(t); shown(t); t.Protection.Blinded = true }},
	} {
		b.Run(form.name, func(b *testing.B) {
			t := wordTask(owner, []task.Party{party(task.Shuffler), party(task.Analyzer)})
			form.edit(t)
			for b.Loop() {
				b.ReportMetric(float64(esa.ReportSize(t, esa.X25519)), "B/report")
				b.ReportMetric(float64(esa.ReportSize(t, esa.XWing)), "B-X-Wing/report")
			}
		})
	}
}
