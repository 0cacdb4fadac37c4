package leader

import (
	"errors"
	"math"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/vdaf"
)

// A planner puts the reports of one log into jobs. It is pure except for the IDs of
// new batches.
type planner struct {
	log       Log
	key       dap.VerificationKeyID
	now       time.Time
	size      int // reports a job, at most
	precision dap.TimePrecision
	newBatch  func() (dap.BatchID, error)

	selected bool         // the leader-selected mode; else the rest has no meaning
	fill     uint64       // reports a batch
	window   dap.Duration // of times in one batch; 0: any times
	batches  []Batch      // that the store knows and that are not taken, the oldest first

	room  map[dap.Time][]*Batch // by window: batches that had room, the first is being filled
	known map[dap.BatchID]bool
	parts map[dap.BatchID]*part // jobs that are being filled
	order []*part
	fresh []*Batch
}

// A part is a job in the making.
type part struct {
	batch dap.BatchID
	at    []int64 // records, in increasing order
	span  dap.Interval
	full  bool
}

// add puts the report in record at into a job.
func (p *planner) add(at int64, t dap.Time) error {
	var id dap.BatchID
	var batch *Batch
	if p.selected {
		var err error
		if batch, err = p.batch(t); err != nil {
			return err
		}
		id = batch.ID
	}
	if p.parts == nil {
		p.parts = make(map[dap.BatchID]*part)
	}
	j := p.parts[id]
	if j == nil || j.full {
		j = &part{batch: id}
		p.parts[id] = j
		p.order = append(p.order, j)
	}
	span, err := j.span.Extend(t)
	if err != nil {
		return err
	}
	j.span = span
	j.at = append(j.at, at)
	j.full = len(j.at) >= p.size
	if batch != nil {
		batch.Assigned++
	}
	return nil
}

// batch returns the batch for a report of time t, which has room.
func (p *planner) batch(t dap.Time) (*Batch, error) {
	if p.room == nil {
		p.room = make(map[dap.Time][]*Batch)
		p.known = make(map[dap.BatchID]bool)
		for i := range p.batches {
			b := &p.batches[i]
			p.room[b.Window] = append(p.room[b.Window], b)
		}
	}
	w := dap.Time(0)
	if p.window > 0 {
		w = t - t%dap.Time(p.window)
	}
	for len(p.room[w]) > 0 {
		if b := p.room[w][0]; b.Assigned+b.Count < p.fill {
			return b, nil
		}
		p.room[w] = p.room[w][1:]
	}
	id, err := p.newBatch()
	if err != nil {
		return nil, err
	}
	if p.known[id] || id == (dap.BatchID{}) {
		return nil, errors.New("the source of randomness repeats itself")
	}
	p.known[id] = true
	b := &Batch{Task: p.log.Task, ID: id, Window: w}
	p.fresh = append(p.fresh, b)
	p.room[w] = append(p.room[w], b)
	return b, nil
}

// cut returns the change for the store.
func (p *planner) creation() JobCreation {
	c := JobCreation{Log: p.log}
	c.Log.State = LogDone
	for _, j := range p.order {
		job := Job{
			Task: p.log.Task, Node: p.log.Node, Log: p.log.Number, Span: j.span, Batch: j.batch,
			Key: p.key, Created: p.now, Due: p.due(j),
		}
		job.take(j.at)
		c.Jobs = append(c.Jobs, job)
	}
	for _, b := range p.fresh {
		fresh := *b
		fresh.Assigned = 0 // the store counts
		c.Batches = append(c.Batches, fresh)
	}
	return c
}

// due returns when a job is begun: at once, but not before the time of its
// reports, for the helper's clock may be behind.
func (p *planner) due(j *part) time.Time {
	end, err := j.span.End()
	if err != nil {
		return p.now
	}
	if last, err := p.precision.Start(end - 1); err == nil && last.After(p.now) {
		return last
	}
	return p.now
}

// take makes the records at, in increasing order, the job's.
func (j *Job) take(at []int64) {
	j.From, j.To, j.Skip, j.Reports = at[0], at[len(at)-1]+1, nil, len(at)
	next := j.From
	for _, i := range at {
		for ; next < i; next++ {
			j.Skip = j.Skip.with(next - j.From)
		}
		next = i + 1
	}
}

// jobSize returns how many reports a job may have so that neither the request
// nor the shares in memory exceed maxBytes, at least 1.
func jobSize(in vdaf.Instance, reports int, maxBytes int64) int {
	s := in.Sizes()
	each := int64(s.LeaderShare) + int64(s.HelperShare) + int64(s.PublicShare) + 2*int64(s.VerifierShare) + 512
	return int(max(1, min(int64(reports), maxBytes/each)))
}

// latest returns the start of the latest of some times, and false if that is
// beyond the range.
func latest(p dap.TimePrecision, times ...dap.Time) (time.Time, bool) {
	last := dap.Time(0)
	for _, t := range times {
		last = max(last, t)
	}
	if last == math.MaxUint64 {
		return time.Time{}, false
	}
	at, err := p.Start(last)
	return at, err == nil
}
