package simulation

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"net/http"

	"github.com/shoal-project/shoal/dap"
)

// A collection is a collection job as the collector knows it.
type collection struct {
	req      dap.CollectionJobReq
	body     []byte
	begun    int    // step
	url      string // of the job; "" before it is known
	id       dap.CollectionJobID
	result   []byte // the encoded answer
	problem  string // why it failed
	deleting bool   // a request to delete it was sent
	deleted  bool
	counted  []int // buckets
}

// query is what the collector asks for next: some interval, or the next batch.
func (w *world) query() dap.Query {
	if w.setting.Mode == dap.LeaderSelectedMode {
		return dap.NextBatchQuery()
	}
	first := w.firstReport()
	span := int(w.now()-first) + 2
	start := first + dap.Time(w.random.IntN(span))
	return dap.IntervalQuery(dap.Interval{Start: start, Duration: dap.Duration(1 + w.random.IntN(6))})
}

// firstReport returns the earliest time of an honest report.
func (w *world) firstReport() dap.Time {
	first := w.now()
	for _, r := range w.reports {
		if r.flaw == "" {
			first = min(first, r.time)
		}
	}
	return first
}

// ask creates a collection job, or a second one like an earlier one.
func (w *world) ask(q dap.Query) error {
	c := &collection{req: dap.CollectionJobReq{Query: q}, begun: w.step}
	var err error
	if c.body, err = w.task.Codec().Encode(&c.req); err != nil {
		return err
	}
	for _, other := range w.collections { // one query is one job, as long as that is there
		if !bytes.Equal(other.body, c.body) || other.problem != "" || other.deleted {
			continue
		}
		if w.setting.Mode == dap.LeaderSelectedMode && other.result != nil {
			if w.setting.Variant.ClientChoosesIDs() {
				continue
			}
			if err := w.remove(other); err != nil || !other.deleted {
				return err
			}
			continue
		}
		return w.create(other)
	}
	digest := sha256.Sum256(binary.BigEndian.AppendUint64(c.body, uint64(len(w.collections))))
	c.id = dap.CollectionJobID(digest[:16])
	w.collections = append(w.collections, c)
	return w.create(c)
}

// create sends the request of a collection job.
func (w *world) create(c *collection) error {
	p := &packet{method: http.MethodPost, url: dap.Resolve(leaderURL, "tasks/"+w.task.ID().String()+"/collection_jobs"), body: c.body}
	if w.setting.Variant.ClientChoosesIDs() {
		p.method, p.url = http.MethodPut, dap.Resolve(leaderURL, dap.CollectionJobPath(w.task.ID(), c.id))
	}
	return w.exchange(c, p)
}

// poll asks for the result.
func (w *world) poll(c *collection) error {
	if c.url == "" || c.problem != "" || c.deleted {
		return nil
	}
	return w.exchange(c, &packet{method: http.MethodGet, url: c.url})
}

// remove deletes a collection job at the leader.
func (w *world) remove(c *collection) error {
	if c.url == "" || c.result == nil {
		return nil // what has not ended stays: it may have counted reports
	}
	p := &packet{method: http.MethodDelete, url: c.url, header: http.Header{}}
	w.token.SetBearer(p.header)
	c.deleting = true
	if a, err := w.net.send(p); err == nil && (a.status/100 == 2 || a.status == http.StatusGone) {
		c.deleted = true
	}
	return nil
}

func (w *world) exchange(c *collection, p *packet) error {
	p.header = http.Header{"Content-Type": {dap.TypeCollectionJobReq.MediaType()}}
	w.token.SetBearer(p.header)
	before := w.disturbed
	a, err := w.net.send(p)
	if err != nil {
		return nil
	}
	if at := a.header.Get("Location"); at != "" {
		c.url = at // of another job than before, if that has expired
	}
	if c.url == "" && a.status/100 == 2 {
		c.url = p.url
	}
	switch {
	case a.status/100 == 2 && len(a.body) == 0: // not yet
		if c.result != nil && !c.deleting {
			w.breaks("a finished collection is not finished any more")
		}
	case a.status/100 == 2:
		return w.take(c, a.body)
	case w.mayBeUnavailable(a.status):
	case a.status == http.StatusServiceUnavailable || a.status == http.StatusTooManyRequests:
	case a.status >= 500:
		if w.disturbed == before {
			w.breaks("a collection was answered with %d: %s", a.status, a.body)
		}
	default:
		w.failed(c, a)
	}
	return nil
}

// failed looks at why a collection failed.
func (w *world) failed(c *collection, a *answer) {
	abort, err := dap.ParseDocument(a.body)
	if err != nil {
		if !c.deleting && w.setting.Expiry == 0 { // one of our own types: the job is gone
			w.breaks("a collection failed with %d: %s", a.status, a.body)
		}
		c.deleted = true
		return
	}
	w.note("  collection failed: %v %s", abort.Type, abort.Detail)
	if c.result != nil && !c.deleting && w.setting.Expiry == 0 {
		w.breaks("a finished collection failed afterwards: %v", abort.Type)
	}
	c.problem = string(abort.Type)
	switch abort.Type {
	case dap.ProblemBatchOverlap, dap.ProblemBatchInvalid, dap.ProblemInvalidBatchSize:
	case dap.ProblemBatchMismatch:
		w.stats.Mismatches++
		if !w.setting.Abandon && w.setting.Expiry == 0 && !w.lostDisk {
			w.breaks("leader and helper disagree: %s", abort.Detail)
		}
	default:
		w.breaks("a collection failed: %v %s", abort.Type, abort.Detail)
	}
}

// take opens a result and checks it.
func (w *world) take(c *collection, body []byte) error {
	if bytes.Equal(c.result, body) {
		return nil
	}
	// A job that has expired may be made again by the same request, for what came since.
	if c.result != nil && w.setting.Expiry == 0 {
		w.breaks("a finished collection has another result")
		return nil
	}
	var resp dap.CollectionJobResp
	if err := w.task.Codec().Decode(&resp, body); err != nil {
		return err
	}
	shares, err := w.task.OpenCollection(w.collector, w.collector, &c.req, &resp)
	if err != nil {
		return err
	}
	vector, err := w.histogram.Unshard(shares, resp.ReportCount)
	if err != nil {
		return err
	}
	c.result = body
	w.stats.Collections++
	var total uint64
	for bucket, n := range vector {
		total += n
		if n > 0 {
			c.counted = append(c.counted, bucket)
			w.count(bucket, n, resp.Interval)
		}
	}
	w.note("  result: %v", c.counted)
	if total != resp.ReportCount {
		w.breaks("a result of %d reports adds up to %d", resp.ReportCount, total)
	}
	if resp.ReportCount < w.setting.MinBatch {
		w.breaks("a result of %d reports, below the minimum %d", resp.ReportCount, w.setting.MinBatch)
	}
	if i, err := c.req.Query.Interval(); w.setting.Mode == dap.TimeIntervalMode && (err != nil || !i.Covers(resp.Interval)) {
		w.breaks("a result of %v for a query of %v", resp.Interval, i)
	}
	return nil
}

// count notes that a result holds a bucket.
func (w *world) count(bucket int, n uint64, span dap.Interval) {
	if bucket >= len(w.reports) {
		w.breaks("a result holds bucket %d, which nobody has sent", bucket)
		return
	}
	r := w.reports[bucket]
	r.counted++
	switch {
	case n > 1 || r.counted > 1:
		w.breaks("report %d was counted more than once", bucket)
	case r.flaw == tooEarly && r.time <= w.now()+1: // in time, in the end, with some leeway
	case r.flaw != "":
		w.breaks("report %d was counted although it has %s", bucket, r.flaw)
	case !span.Contains(r.time):
		w.breaks("report %d of time %d is in a result of %v", bucket, r.time, span)
	}
}
