package dap

import (
	"fmt"
	"io"
)

// ReportMetadata is what both aggregators and everybody between see of a report
// (section "Upload Request").
type ReportMetadata struct {
	ID               ReportID
	Time             Time       // when it was made
	PublicExtensions Extensions // encoded, up to 65,535 bytes
}

// A Report is what a client uploads to the leader (section "Upload Request").
type Report struct {
	Metadata    ReportMetadata
	PublicShare []byte         // of the VDAF; may be empty
	LeaderShare HpkeCiphertext // a sealed [PlaintextInputShare]
	HelperShare HpkeCiphertext // the same for the helper
}

// fixedSize is more than what the fixed parts and the lengths of a report or of its
// share take.
const fixedSize = 64

// size is about what the encoding of a report takes.
func (m *Report) size() int {
	return fixedSize + len(m.Metadata.PublicExtensions) + len(m.PublicShare) + m.LeaderShare.size() + m.HelperShare.size()
}

func (m *HpkeCiphertext) size() int { return 1 + 2 + len(m.Enc) + 4 + len(m.Payload) }

// An UploadRequest carries reports. Its length is the body's.
type UploadRequest struct{ Reports []Report }

// A ReportUploadStatus is the reason why the leader refused a report.
type ReportUploadStatus struct {
	ID    ReportID
	Error ReportError
}

// UploadErrors answers an [UploadRequest]: the refused reports in the order of
// the request. Its length is the body's.
type UploadErrors struct{ Status []ReportUploadStatus }

// A PlaintextInputShare is what a client seals to one aggregator (section
// "Client Behavior").
type PlaintextInputShare struct {
	PrivateExtensions Extensions // encoded, up to 65,535 bytes
	Payload           []byte     // the VDAF input share, one byte at least
}

// Format hides the share under every verb.
func (m PlaintextInputShare) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "dap.PlaintextInputShare(redacted)")
}

func (m *ReportMetadata) unmarshal(r *reader) {
	r.fixed("report ID", m.ID[:])
	m.Time = Time(r.u64("time"))
	m.PublicExtensions = r.opaque16("public extensions", 0, r.codec.limits.Extensions)
}

func (m *ReportMetadata) marshal(w *writer) {
	w.fixed(m.ID[:])
	w.u64(uint64(m.Time))
	w.opaque16("public extensions", 0, m.PublicExtensions)
}

func (m *Report) unmarshal(r *reader) {
	m.Metadata.unmarshal(r)
	m.PublicShare = r.opaque32("public share", 0, r.codec.limits.PublicShare)
	m.LeaderShare.unmarshal(r)
	m.HelperShare.unmarshal(r)
}

func (m *Report) marshal(w *writer) {
	m.Metadata.marshal(w)
	w.opaque32("public share", 0, m.PublicShare)
	m.LeaderShare.marshal(w)
	m.HelperShare.marshal(w)
}

// No variant has a length before the reports of an upload or before the status
// of its errors.

func (m *UploadRequest) unmarshal(r *reader) { m.Reports = elements(r, "report", (*Report).unmarshal) }
func (m *UploadRequest) marshal(w *writer)   { marshalElements(w, m.Reports, (*Report).marshal) }

func (m *ReportUploadStatus) unmarshal(r *reader) {
	r.fixed("report ID", m.ID[:])
	m.Error.unmarshal(r)
}

func (m *ReportUploadStatus) marshal(w *writer) {
	w.fixed(m.ID[:])
	m.Error.marshal(w)
}

func (m *UploadErrors) unmarshal(r *reader) {
	m.Status = elements(r, "upload status", (*ReportUploadStatus).unmarshal)
}

func (m *UploadErrors) marshal(w *writer) {
	marshalElements(w, m.Status, (*ReportUploadStatus).marshal)
}

func (m *PlaintextInputShare) unmarshal(r *reader) {
	m.PrivateExtensions = r.opaque16("private extensions", 0, r.codec.limits.Extensions)
	m.Payload = r.opaque32("payload", 1, r.codec.limits.Payload)
}

func (m *PlaintextInputShare) marshal(w *writer) {
	w.opaque16("private extensions", 0, m.PrivateExtensions)
	w.opaque32("payload", 1, m.Payload)
}
