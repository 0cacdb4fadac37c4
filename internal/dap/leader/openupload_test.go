package leader_test

import (
	"slices"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/leader"
)

// damaged returns reports that do not open at the leader, with the error that an
// upload is answered with if they are opened, and what it is otherwise.
func (w *world) damaged(t testing.TB) map[string]struct {
	report       dap.Report
	open, stored dap.ReportError
} {
	share := w.report(t, 1, 0)
	share.LeaderShare.Payload = slices.Clone(share.LeaderShare.Payload)
	share.LeaderShare.Payload[7] ^= 1
	key := w.report(t, 1, 0)
	key.LeaderShare.Enc = slices.Clone(key.LeaderShare.Enc)
	key.LeaderShare.Enc[3] ^= 1
	unknown := w.report(t, 1, 0)
	unknown.LeaderShare.ConfigID ^= 0x55
	config := *w.task.Config()
	config.MinBatchSize++
	encoded, err := dap.NewCodec(dap.DAP18()).Encode(&config)
	must(t, err)
	other, err := dap.NewTask(dap.DAP18(), w.task.ID(), encoded)
	if err != nil { // the ID may be bound to the configuration
		other, err = dap.NewTask(dap.DAP18(), dap.TaskprovID(encoded), encoded)
		must(t, err)
	}
	right := w.task
	w.task = other
	wrong := w.report(t, 1, 0)
	w.task = right
	type one = struct {
		report       dap.Report
		open, stored dap.ReportError
	}
	return map[string]one{
		"damaged share":           {share, dap.DecryptError, 0},
		"damaged key":             {key, dap.DecryptError, 0},
		"wrong TaskConfiguration": {wrong, dap.DecryptError, 0},
		"unknown configuration":   {unknown, w.task.Variant().UploadConfigError(), w.task.Variant().UploadConfigError()},
	}
}

func TestOpenAtUpload(t *testing.T) {
	for _, open := range []bool{false, true} {
		w := newWorld(t, dap.DAP18(), nil, func(c *leader.Config) { c.OpenAtUpload = open })
		good := 0
		var all []dap.Report
		var want []dap.ReportUploadStatus
		for range 3 { // with others before, between and after
			for name, d := range w.damaged(t) {
				all = append(all, w.report(t, 2, 0), d.report)
				good++
				e := d.stored
				if open {
					e = d.open
				}
				if e != 0 {
					want = append(want, dap.ReportUploadStatus{ID: d.report.Metadata.ID, Error: e})
				}
				if have := w.upload(t, d.report); len(have) > 1 || len(have) == 1 && have[0].Error != e || len(have) == 0 && e != 0 {
					t.Errorf("open %t: %s alone is answered %v, want %v", open, name, have, e)
				}
			}
		}
		all = append(all, w.report(t, 2, 0))
		if have := w.upload(t, all...); !slices.Equal(have, want) {
			t.Errorf("open %t: the upload is answered %v, want %v", open, have, want)
		}
		if have := w.upload(t, all...); !slices.Equal(have, want) { // again
			t.Errorf("open %t: the repeated upload is answered %v, want %v", open, have, want)
		}
		q := w.unit(t, 1)
		path := w.collect(t, q)
		w.clock.Advance(precision + time.Hour)
		w.tick(t)
		counts := w.result(t, path, q)
		if counts == nil || counts[2] != uint64(good+1) || counts[1] != 0 {
			t.Errorf("open %t: the result is %v, want %d reports of 2", open, counts, good+1)
		}
	}
}

// Long uploads are opened in chunks, and refused reports keep their order.
func TestOpenAtUploadInChunks(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, func(c *leader.Config) { c.OpenAtUpload = true })
	var all []dap.Report
	var want []dap.ReportUploadStatus
	for i := range 1200 {
		r := w.report(t, 1, 0)
		switch {
		case i%7 == 0:
			r.LeaderShare.Payload[0] ^= 1
			want = append(want, dap.ReportUploadStatus{ID: r.Metadata.ID, Error: dap.DecryptError})
		case i%5 == 0:
			r.Metadata.Time += 1000
			want = append(want, dap.ReportUploadStatus{ID: r.Metadata.ID, Error: dap.ReportTooEarly})
		}
		all = append(all, r)
	}
	if have := w.upload(t, all...); !slices.Equal(have, want) {
		t.Errorf("%d reports are refused, want %d in their order", len(have), len(want))
	}
}

// What the check costs: run both in turn.
func BenchmarkOpenAtUpload(b *testing.B) {
	for _, batch := range []int{1, 512} {
		for _, open := range []bool{false, true} {
			b.Run(map[bool]string{false: "stored", true: "opened"}[open]+map[int]string{1: " alone", 512: " by 512"}[batch], func(b *testing.B) {
				w := newWorld(b, dap.DAP18(), nil, func(c *leader.Config) { c.OpenAtUpload = open })
				reports := make([]dap.Report, b.N*batch)
				for i := range reports {
					reports[i] = w.report(b, 1, 0)
				}
				b.ResetTimer()
				for i := range b.N {
					w.upload(b, reports[i*batch:(i+1)*batch]...)
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(len(reports)), "µs/report")
			})
		}
	}
}
