package dap

import "fmt"

// A BatchMode is the way in which reports are put into batches (section "Batch
// Modes").
type BatchMode uint8

// The batch modes.
const (
	TimeIntervalMode   BatchMode = 1
	LeaderSelectedMode BatchMode = 2
)

// String returns the draft's name of the mode.
func (m BatchMode) String() string {
	switch m {
	case TimeIntervalMode:
		return "time_interval"
	case LeaderSelectedMode:
		return "leader_selected"
	}
	return fmt.Sprintf("batch mode %d", uint8(m))
}

// A Query is what a collector asks for (section "Collection Job
// Initialization").
type Query struct {
	Mode   BatchMode
	Config []byte // an encoded [Interval], or empty in the leader-selected mode
}

// A BatchSelector names the batch that the leader chose for a query (section
// "Obtaining Aggregate Shares").
type BatchSelector struct {
	Mode   BatchMode
	Config []byte // an encoded [Interval] or a [BatchID]
}

// A CollectionJobReq asks for an aggregate.
type CollectionJobReq struct {
	Query      Query
	AggParam   []byte // empty for Prio3
	Extensions []Extension
}

// A CollectionJobResp is the answer to a collection job.
type CollectionJobResp struct {
	ReportCount uint64
	Interval    Interval       // the smallest that holds the times of all reports
	LeaderShare HpkeCiphertext // see [Task.OpenAggregateShare]
	HelperShare HpkeCiphertext
}

// An AggregateShareReq asks the helper for its aggregate share.
type AggregateShareReq struct {
	Job         CollectionJobReq // as the collector sent it
	Selector    BatchSelector
	ReportCount uint64
	Checksum    Checksum
}

// An AggregateShare answers an [AggregateShareReq].
type AggregateShare struct{ Encrypted HpkeCiphertext }

// IntervalQuery asks for the reports of an interval.
func IntervalQuery(i Interval) Query { return Query{TimeIntervalMode, encodeInterval(i)} }

// NextBatchQuery asks for the next batch that the leader has.
func NextBatchQuery() Query { return Query{Mode: LeaderSelectedMode} }

// IntervalSelector selects the batch of an interval.
func IntervalSelector(i Interval) BatchSelector {
	return BatchSelector{TimeIntervalMode, encodeInterval(i)}
}

// BatchIDSelector selects a batch that the leader made.
func BatchIDSelector(id BatchID) BatchSelector { return BatchSelector{LeaderSelectedMode, id[:]} }

// Interval returns the interval of a time-interval query, which may have no end
// or no length. It fails with [ErrMalformed].
func (m Query) Interval() (Interval, error) { return decodeInterval(m.Mode, m.Config) }

// Interval returns the interval of a time-interval selector, which may have no
// end or no length. It fails with [ErrMalformed].
func (m BatchSelector) Interval() (Interval, error) { return decodeInterval(m.Mode, m.Config) }

// BatchID returns the batch of a leader-selected selector. It fails with
// [ErrMalformed].
func (m BatchSelector) BatchID() (BatchID, error) {
	if m.Mode != LeaderSelectedMode || len(m.Config) != len(BatchID{}) {
		return BatchID{}, fmt.Errorf("%w: %v selector of %d bytes holds no batch ID", ErrMalformed, m.Mode, len(m.Config))
	}
	return BatchID(m.Config), nil
}

func encodeInterval(i Interval) []byte {
	w := &writer{Builder: newBuilder()}
	i.marshal(w)
	return w.BytesOrPanic() // 16 bytes, which always fit
}

func decodeInterval(m BatchMode, config []byte) (Interval, error) {
	if m != TimeIntervalMode {
		return Interval{}, fmt.Errorf("%w: %v holds no interval", ErrMalformed, m)
	}
	return parseInterval(config)
}

func parseInterval(b []byte) (Interval, error) {
	r := &reader{s: b, size: len(b)}
	var i Interval
	i.unmarshal(r)
	r.end()
	if r.err != nil {
		return Interval{}, fmt.Errorf("interval: %w", r.err)
	}
	return i, nil
}

func (m *Query) unmarshal(r *reader) {
	m.Mode = BatchMode(r.u8("batch mode"))
	m.Config = r.opaque16("query", 0, r.codec.limits.Extensions)
}

func (m *Query) marshal(w *writer) {
	w.u8(uint8(m.Mode))
	w.opaque16("query", 0, m.Config)
}

func (m *BatchSelector) unmarshal(r *reader) {
	m.Mode = BatchMode(r.u8("batch mode"))
	m.Config = r.opaque16("batch selector", 0, r.codec.limits.Extensions)
}

func (m *BatchSelector) marshal(w *writer) {
	w.u8(uint8(m.Mode))
	w.opaque16("batch selector", 0, m.Config)
}

func (m *CollectionJobReq) unmarshal(r *reader) {
	m.Query.unmarshal(r)
	m.AggParam = r.opaque32("aggregation parameter", 0, r.codec.limits.Payload)
	m.Extensions = unmarshalExtensions(r)
}

func (m *CollectionJobReq) marshal(w *writer) {
	m.Query.marshal(w)
	w.opaque32("aggregation parameter", 0, m.AggParam)
	marshalExtensions(w, m.Extensions)
}

func (m *CollectionJobResp) unmarshal(r *reader) {
	m.ReportCount = r.u64("report count")
	m.Interval.unmarshal(r)
	m.LeaderShare.unmarshal(r)
	m.HelperShare.unmarshal(r)
}

func (m *CollectionJobResp) marshal(w *writer) {
	w.u64(m.ReportCount)
	m.Interval.marshal(w)
	m.LeaderShare.marshal(w)
	m.HelperShare.marshal(w)
}

func (m *AggregateShareReq) unmarshal(r *reader) {
	m.Job.unmarshal(r)
	m.Selector.unmarshal(r)
	m.ReportCount = r.u64("report count")
	r.fixed("checksum", m.Checksum[:])
}

func (m *AggregateShareReq) marshal(w *writer) {
	m.Job.marshal(w)
	m.Selector.marshal(w)
	w.u64(m.ReportCount)
	w.fixed(m.Checksum[:])
}

func (m *AggregateShare) unmarshal(r *reader) { m.Encrypted.unmarshal(r) }
func (m *AggregateShare) marshal(w *writer)   { m.Encrypted.marshal(w) }
