package dap

import "fmt"

// A ReportShare is one aggregator's part of a report (section "Leader
// Initialization").
type ReportShare struct {
	Metadata    ReportMetadata
	PublicShare []byte
	InputShare  HpkeCiphertext
}

// A VerifyInit starts the verification of one report at the helper.
type VerifyInit struct {
	Share   ReportShare
	Payload []byte // the leader's ping-pong message, one byte at least
}

// An AggregationJobHeader is the part before the reports of an
// [AggregationJobInitReq].
type AggregationJobHeader struct {
	VerificationKey VerificationKeyID
	AggParam        []byte      // empty for Prio3
	Extensions      []Extension // in the drafts
	Selector        PartialBatchSelector
}

// A PartialBatchSelector selects the batch to which an aggregation job adds. Only
// [Janus] still has it, in place of the extensions: in the other variants it is
// zero.
type PartialBatchSelector struct {
	Mode   BatchMode
	Config []byte // empty, or a [BatchID] in the leader-selected mode
}

// An AggregationJobInitReq creates an aggregation job. Its length is the body's.
type AggregationJobInitReq struct {
	AggregationJobHeader
	VerifyInits []VerifyInit
}

// A VerifyRespType is the kind of answer that the helper gives for a report.
type VerifyRespType uint8

// The types of [VerifyResp] (section "Helper Initialization").
const (
	RespContinue VerifyRespType = 0
	RespFinish   VerifyRespType = 1
	RespReject   VerifyRespType = 2
)

// A VerifyResp is the helper's answer for one report.
type VerifyResp struct {
	ID      ReportID
	Type    VerifyRespType
	Payload []byte      // with RespContinue: the ping-pong message, one byte at least
	Error   ReportError // with RespReject
}

// An AggregationJobResp answers a request of an aggregation job, with the same
// reports in the same order. Its length is the body's.
type AggregationJobResp struct{ VerifyResps []VerifyResp }

// A VerifyContinue continues the verification of one report. Prio3 never needs
// it.
type VerifyContinue struct {
	ID      ReportID
	Payload []byte // the leader's ping-pong message, one byte at least
}

// An AggregationJobContinueReq takes an aggregation job to its next step. Its
// length is the body's.
type AggregationJobContinueReq struct {
	Step            uint16 // 1 for the first continuation
	VerifyContinues []VerifyContinue
}

func (m *ReportShare) unmarshal(r *reader) {
	m.Metadata.unmarshal(r)
	m.PublicShare = r.opaque32("public share", 0, r.codec.limits.PublicShare)
	m.InputShare.unmarshal(r)
}

func (m *ReportShare) marshal(w *writer) {
	m.Metadata.marshal(w)
	w.opaque32("public share", 0, m.PublicShare)
	m.InputShare.marshal(w)
}

func (m *VerifyInit) unmarshal(r *reader) {
	m.Share.unmarshal(r)
	m.Payload = r.opaque32("payload", 1, r.codec.limits.Payload)
}

func (m *VerifyInit) marshal(w *writer) {
	m.Share.marshal(w)
	w.opaque32("payload", 1, m.Payload)
}

func (m *AggregationJobHeader) unmarshal(r *reader) {
	m.VerificationKey = VerificationKeyID(r.u8("verification key ID"))
	m.AggParam = r.opaque32("aggregation parameter", 0, r.codec.limits.Payload)
	if r.codec.variant.selector {
		m.Selector.Mode = BatchMode(r.u8("batch mode"))
		m.Selector.Config = r.opaque16("batch selector", 0, r.codec.limits.Extensions)
		return
	}
	m.Extensions = unmarshalExtensions(r)
}

func (m *AggregationJobHeader) marshal(w *writer) {
	w.u8(uint8(m.VerificationKey))
	w.opaque32("aggregation parameter", 0, m.AggParam)
	if w.codec.variant.selector {
		if len(m.Extensions) > 0 {
			w.fail("extensions", "the variant has none in aggregation jobs")
		}
		w.u8(uint8(m.Selector.Mode))
		w.opaque16("batch selector", 0, m.Selector.Config)
		return
	}
	if m.Selector.Mode != 0 || len(m.Selector.Config) > 0 {
		w.fail("batch selector", "the variant has none in aggregation jobs")
	}
	marshalExtensions(w, m.Extensions)
}

func (m *AggregationJobInitReq) unmarshal(r *reader) {
	m.AggregationJobHeader.unmarshal(r)
	m.VerifyInits = vector(r, "verify init", (*VerifyInit).unmarshal)
}

// size is about what the encoding takes.
func (m *AggregationJobInitReq) size() int {
	n := fixedSize
	for i := range m.VerifyInits {
		v := &m.VerifyInits[i]
		s := &v.Share
		n += fixedSize + len(s.Metadata.PublicExtensions) + len(s.PublicShare) + s.InputShare.size() + len(v.Payload)
	}
	return n
}

func (m *AggregationJobInitReq) marshal(w *writer) {
	m.AggregationJobHeader.marshal(w)
	marshalVector(w, "verify inits", m.VerifyInits, (*VerifyInit).marshal)
}

func (m *VerifyResp) unmarshal(r *reader) {
	r.fixed("report ID", m.ID[:])
	m.Type = VerifyRespType(r.u8("response type"))
	switch m.Type {
	case RespContinue:
		m.Payload = r.opaque32("payload", 1, r.codec.limits.Payload)
	case RespFinish:
	case RespReject:
		m.Error.unmarshal(r)
	default:
		r.malformed("response type", fmt.Sprintf("%d is not known", m.Type))
	}
}

func (m *VerifyResp) marshal(w *writer) {
	w.fixed(m.ID[:])
	w.u8(uint8(m.Type))
	switch m.Type {
	case RespContinue:
		w.opaque32("payload", 1, m.Payload)
	case RespFinish:
	case RespReject:
		m.Error.marshal(w)
	default:
		w.fail("response type", fmt.Sprintf("%d is not known", m.Type))
	}
}

func (m *AggregationJobResp) unmarshal(r *reader) {
	m.VerifyResps = vector(r, "verify response", (*VerifyResp).unmarshal)
}

func (m *AggregationJobResp) marshal(w *writer) {
	marshalVector(w, "verify responses", m.VerifyResps, (*VerifyResp).marshal)
}

func (m *VerifyContinue) unmarshal(r *reader) {
	r.fixed("report ID", m.ID[:])
	m.Payload = r.opaque32("payload", 1, r.codec.limits.Payload)
}

func (m *VerifyContinue) marshal(w *writer) {
	w.fixed(m.ID[:])
	w.opaque32("payload", 1, m.Payload)
}

func (m *AggregationJobContinueReq) unmarshal(r *reader) {
	m.Step = r.u16("step")
	m.VerifyContinues = vector(r, "verify continue", (*VerifyContinue).unmarshal)
}

func (m *AggregationJobContinueReq) marshal(w *writer) {
	w.u16(m.Step)
	marshalVector(w, "verify continues", m.VerifyContinues, (*VerifyContinue).marshal)
}
