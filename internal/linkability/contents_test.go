package linkability_test

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"strings"

	"github.com/shoal-project/shoal/crypto/blind"
	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/hop"
	"github.com/shoal-project/shoal/internal/linkability"
	"github.com/shoal-project/shoal/internal/quorum/randomness"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/ohttp/bhttp"
)

// role opens what the role behind the gateway gets.
func (r *recorder) role(event *linkability.Event, m *bhttp.Request) {
	switch mediaType := contentType(m); {
	case strings.HasPrefix(mediaType, "application/shoal-report"):
		r.frame(event, m.Content)
	case mediaType == randomness.RequestType:
		r.evaluation(event, m)
	default:
		r.upload(event, m)
	}
}

func contentType(m *bhttp.Request) string {
	for _, f := range m.Header {
		if strings.EqualFold(f.Name, "content-type") {
			return f.Value
		}
	}
	return ""
}

// of makes an event one of a task's epoch.
func (r *recorder) of(event *linkability.Event, id task.ID, e task.Epoch) {
	event.Route, event.Epoch, event.Begins = r.tasks[id].Metric, int64(e), r.tasks[id].Start(e)
}

// evaluation reads a request to the randomness party.
func (r *recorder) evaluation(event *linkability.Event, m *bhttp.Request) {
	parts := strings.Split(m.Path, "/") // /tasks/{task}/evaluations/{epoch}
	id, e, ok := randomness.ParsePath(parts[2], parts[4])
	q, err := randomness.ParseRequest(m.Content)
	if err != nil || !ok {
		r.w.t.Errorf("a request for evaluation to %s: %v", m.Path, err)
		return
	}
	r.of(event, id, e)
	event.Route = evaluationName
	presented(event, q.Presentation)
}

// presented adds what a presentation of a limit of one shows besides its bytes: its tag.
func presented(event *linkability.Event, presentation []byte) {
	if len(presentation) >= tagEnd {
		event.Tokens = append(event.Tokens, linkability.Token{Name: "presentation", Value: linkability.TokenOf(presentation[tagStart:tagEnd])})
	}
}

// A presentation begins with three elements, then the tag (crypto/arc).
const (
	tagStart = 3 * 33
	tagEnd   = 4 * 33
)

// upload reads a report of the aggregate route at the leader.
func (r *recorder) upload(event *linkability.Event, m *bhttp.Request) {
	parts := strings.Split(m.Path, "/") // /tasks/{task}/reports
	id, err := dap.ParseTaskID(parts[2])
	of := r.sums[id]
	if err != nil || of == nil {
		r.w.t.Errorf("a report to %s, which is of no task: %v", m.Path, err)
		return
	}
	var upload dap.UploadRequest
	if err := of.task.Codec().Decode(&upload, m.Content); err != nil || len(upload.Reports) != 1 {
		r.w.t.Errorf("%d reports to %s: %v", len(upload.Reports), m.Path, err)
		return
	}
	report := upload.Reports[0]
	r.ofSum(event, of, report.Metadata)
	event.Tokens = append(event.Tokens,
		linkability.Token{Name: "leader's key", Value: uint64(report.LeaderShare.ConfigID)},
		linkability.Token{Name: "helper's key", Value: uint64(report.HelperShare.ConfigID)},
		linkability.Token{Name: "extensions", Value: linkability.TokenOf(report.Metadata.PublicExtensions)},
	)
	r.share(event, of, dap.Leader, &dap.ReportShare{Metadata: report.Metadata, PublicShare: report.PublicShare, InputShare: report.LeaderShare})
	r.rows[sha256.Sum256(report.Metadata.ID[:])] = &letter{person: event.Person, report: event.Report}
}

// ofSum makes an event one of a sum's epoch, of which the time of reports is the number.
func (r *recorder) ofSum(event *linkability.Event, of *summed, m dap.ReportMetadata) {
	event.Route, event.Epoch = of.name, int64(m.Time)
	for _, t := range r.tasks {
		if t.Metric == of.name {
			event.Begins = t.Start(task.Epoch(m.Time))
		}
	}
}

// share adds what an aggregator finds in its share of a report.
func (r *recorder) share(event *linkability.Event, of *summed, role dap.Role, s *dap.ReportShare) {
	keys := r.shares[map[dap.Role]task.Role{dap.Leader: task.Leader, dap.Helper: task.Helper}[role]]
	for _, key := range keys {
		if key.ID() != s.InputShare.ConfigID {
			continue
		}
		plain, err := of.task.OpenInputShare(key, role, s)
		if err != nil {
			continue
		}
		event.Prints = printsOf(event.Prints, plain.PrivateExtensions, plain.Payload)
		event.Numbers = append(event.Numbers, linkability.Number{Name: role.String() + "'s extensions", Value: float64(len(plain.PrivateExtensions))})
		if at := len(plain.PrivateExtensions) - presentationSize; at >= 0 {
			presented(event, plain.PrivateExtensions[at:])
		}
		return
	}
	r.w.t.Errorf("a share of the %v opens by none of %d keys", role, len(keys))
}

// presentationSize is the length of a presentation of a limit of one.
const presentationSize = 260

// printsOf adds fingerprints of bytes to others.
func printsOf(prints []uint32, some ...[]byte) []uint32 {
	all := append(slices.Clone(prints), linkability.Prints(slices.Concat(some...))...)
	slices.Sort(all)
	return slices.Compact(all)
}

// frame opens a report of the crowd route at the first shuffler.
func (r *recorder) frame(event *linkability.Event, report []byte) {
	h, err := esa.ParseHeader(report)
	must(r.w.t, err)
	r.of(event, h.Task, h.Epoch)
	layer, err := r.openers[opens{h.Task, 0}].Open(report, h.Epoch)
	must(r.w.t, err)
	r.layer(event, "shuffler's", h, &layer)
	r.rows[sha256.Sum256(layer.Next)] = &letter{person: event.Person, report: event.Report}
}

// layer adds what a hop finds in its layer of a report.
func (r *recorder) layer(event *linkability.Event, whose string, h esa.Header, layer *esa.Layer) {
	event.Tokens = append(event.Tokens, linkability.Token{Name: whose + " key", Value: linkability.TokenOf(h.Key[:])})
	if layer.Crowd != (esa.CrowdTag{}) {
		event.Contents = append(event.Contents, linkability.Token{Name: "crowd", Value: linkability.TokenOf(layer.Crowd[:])})
	}
	plain := [][]byte{layer.Next, layer.Point[:]}
	for _, x := range layer.Extensions {
		plain = append(plain, x.Data)
		presented(event, x.Data)
	}
	event.Prints = printsOf(event.Prints, plain...)
	if next, err := esa.ParseHeader(layer.Next); err == nil {
		event.Tokens = append(event.Tokens, linkability.Token{Name: "next key", Value: linkability.TokenOf(next.Key[:])})
	}
}

// batch reads what the second shuffler or the analyzer gets of an epoch.
func (r *recorder) batch(body []byte) {
	h, err := esa.PeekBatchHeader(body)
	if err != nil {
		return
	}
	t, at := r.tasks[h.Task], int(h.Hop)+1
	begins := esa.PointSize(t, int(h.Hop)) + h.TagsSize(t)
	var rows [][]byte
	for i := range int(h.Released) {
		rows = append(rows, body[esa.BatchHeaderSize:][i*int(h.RowSize):][:h.RowSize])
	}
	open := hop.OpenMany(r.openers[opens{h.Task, at}], t, h.Epoch)
	if esa.PointSize(t, int(h.Hop)) > 0 {
		open = hop.Unblinding(open, begins/blind.Size)
	} else {
		open = hop.Tagged(open, begins)
	}
	i := 0
	for opened := range hop.OpenSome(rows, open) {
		layer := rows[i][begins:]
		known := r.rows[sha256.Sum256(layer)]
		if known == nil || opened.Cause != 0 {
			r.w.t.Errorf("a row of a batch that no client has sent, or that does not open: %v", opened.Cause)
			continue
		}
		header, err := esa.ParseHeader(layer)
		must(r.w.t, err)
		event := &linkability.Event{
			Kind: linkability.KindReport, Person: known.person, Report: known.report, Order: i,
			Numbers: []linkability.Number{{Name: "row", Value: float64(i)}}, Prints: linkability.Prints(rows[i]),
		}
		r.of(event, h.Task, h.Epoch)
		i++
		if at < len(t.Hops)-1 {
			r.rows[sha256.Sum256(opened.Next)] = known
			r.layer(event, "second shuffler's", header, &opened.Layer)
			r.handed = append(r.handed, event)
			continue
		}
		r.analyzed(event, t, header, &opened)
		r.batches = append(r.batches, event)
	}
}

// analyzed adds what the analyzer finds in a report.
func (r *recorder) analyzed(event *linkability.Event, t *task.Task, h esa.Header, opened *esa.Opened) {
	if t.Hardened() {
		r.layer(event, "analyzer's", h, &opened.Layer)
		r.part(event, t, h, opened)
		return
	}
	event.Tokens = append(event.Tokens, linkability.Token{Name: "analyzer's key", Value: linkability.TokenOf(h.Key[:])})
	event.Contents = append(event.Contents, linkability.Token{Name: "record", Value: linkability.TokenOf(opened.Next)})
}

// job reads what the helper gets in one aggregation job.
func (r *recorder) job(event *linkability.Event, path string, body []byte) {
	id, err := dap.ParseTaskID(strings.Split(path, "/")[2]) // /tasks/{task}/aggregation_jobs
	if err != nil || r.sums[id] == nil {
		r.w.t.Errorf("a job at %s, which is of no task: %v", path, err)
		return
	}
	of := r.sums[id]
	_, reports, err := of.task.Codec().ReadAggregationJobInitReq(bytes.NewReader(body))
	must(r.w.t, err)
	i := -1
	for v, err := range reports.All() {
		must(r.w.t, err)
		i++
		known := r.rows[sha256.Sum256(v.Share.Metadata.ID[:])]
		if known == nil {
			r.w.t.Error("a report in a job that no client has sent")
			continue
		}
		row := *event
		row.Kind, row.Person, row.Report = linkability.KindReport, known.person, known.report
		row.Numbers = append(slices.Clone(event.Numbers), linkability.Number{Name: "row", Value: float64(i)})
		row.Tokens = append(slices.Clone(event.Tokens),
			linkability.Token{Name: "helper's key", Value: uint64(v.Share.InputShare.ConfigID)},
			linkability.Token{Name: "extensions", Value: linkability.TokenOf(v.Share.Metadata.PublicExtensions)},
		)
		row.Prints = linkability.Prints(slices.Concat(v.Share.Metadata.ID[:], v.Share.PublicShare, v.Share.InputShare.Enc, v.Share.InputShare.Payload))
		r.ofSum(&row, of, v.Share.Metadata)
		r.share(&row, of, dap.Helper, &v.Share)
		r.jobs = append(r.jobs, &row)
	}
}
