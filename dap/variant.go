package dap

import "fmt"

// A Variant is one wire form of the protocol, as data: what differs between the
// drafts, and nothing else, is in it. [DAP18], [DAP19] and [Janus] make the
// three that there are. It is read-only and safe for concurrent use.
type Variant struct {
	name  string
	tag   string
	codes reportCodes

	emptyTaskInfo bool // task_info<0..2^8-1> rather than <1..2^8-1>
	prefixed      bool // u32 length before the vectors of the aggregation messages
	selector      bool // partial batch selector in place of aggregation job extensions
	clientIDs     bool // PUT to an ID that the client chose, rather than POST

	keyPerReport      bool        // an unknown verification key rejects reports, not the job
	uploadConfig      ReportError // on upload, to an unknown HPKE configuration
	openConfig        ReportError // in aggregation, to an unknown HPKE configuration
	uploadBefore      ReportError // on upload, before the task interval
	uploadAfter       ReportError // on upload, after it
	aggregateBefore   ReportError // in aggregation, before the task interval
	aggregateAfter    ReportError // in aggregation, after it
	unknownExtensions ReportError // unknown report extension
}

// DAP18 returns the variant of draft-ietf-ppm-dap-18.
func DAP18() *Variant {
	return &Variant{
		name:              "dap-18",
		tag:               "dap-18",
		codes:             codes18(),
		uploadConfig:      OutdatedConfig,
		openConfig:        DecryptError,
		uploadBefore:      ReportDropped,
		uploadAfter:       ReportDropped,
		aggregateBefore:   TaskNotStarted,
		aggregateAfter:    TaskExpired,
		unknownExtensions: InvalidMessage,
	}
}

// DAP19 returns the variant of draft-ietf-ppm-dap-19.
func DAP19() *Variant {
	return &Variant{
		name:              "dap-19",
		tag:               "dap-19",
		codes:             codes19(),
		emptyTaskInfo:     true,
		keyPerReport:      true,
		uploadConfig:      UnknownConfig,
		openConfig:        UnknownConfig,
		uploadBefore:      ReportDropped,
		uploadAfter:       ReportDropped,
		aggregateBefore:   ReportDropped,
		aggregateAfter:    ReportDropped,
		unknownExtensions: UnsupportedExtension,
	}
}

// Janus returns the variant that the Janus implementation spoke on 2026-08-20,
// between the drafts 17 and 18.
func Janus() *Variant {
	codes := codes18()
	codes[OutdatedConfig] = 0
	return &Variant{
		name:              "janus",
		tag:               "dap-18",
		codes:             codes,
		emptyTaskInfo:     true,
		prefixed:          true,
		selector:          true,
		clientIDs:         true,
		uploadConfig:      UnknownConfig,
		openConfig:        UnknownConfig,
		uploadBefore:      TaskNotStarted,
		uploadAfter:       TaskExpired,
		aggregateBefore:   TaskNotStarted,
		aggregateAfter:    TaskExpired,
		unknownExtensions: InvalidMessage,
	}
}

// ParseVariant returns the variant of a name: dap-18, dap-19 or janus.
func ParseVariant(name string) (*Variant, error) {
	for _, v := range []*Variant{DAP18(), DAP19(), Janus()} {
		if v.name == name {
			return v, nil
		}
	}
	return nil, fmt.Errorf("DAP variant %q: want dap-18, dap-19 or janus", name)
}

// String returns the variant's name.
func (v *Variant) String() string { return v.name }

// ClientChoosesIDs reports whether resources are created by PUT to a path that
// ends in an ID of the HTTP client's choice, rather than by POST.
func (v *Variant) ClientChoosesIDs() bool { return v.clientIDs }

// UnknownKeyRejectsReports reports whether an aggregation job with an unknown
// verification key ID has all its reports rejected with
// [UnknownVerificationKey]. Otherwise the job fails with [ProblemInvalidMessage].
func (v *Variant) UnknownKeyRejectsReports() bool { return v.keyPerReport }

// UploadConfigError is what the leader answers to a report that is sealed to an
// HPKE configuration that it does not know: the client's sign to fetch the
// configurations again and to try once more with a fresh report.
func (v *Variant) UploadConfigError() ReportError { return v.uploadConfig }

// UploadIntervalError is what the leader answers to an uploaded report of time
// t, or 0 if t is inside the task's interval.
func (v *Variant) UploadIntervalError(task Interval, t Time) ReportError {
	return outside(task, t, v.uploadBefore, v.uploadAfter)
}

// AggregateIntervalError is what an aggregator answers in an aggregation job to
// a report of time t, or 0 if t is inside the task's interval.
func (v *Variant) AggregateIntervalError(task Interval, t Time) ReportError {
	return outside(task, t, v.aggregateBefore, v.aggregateAfter)
}

func outside(i Interval, t Time, before, after ReportError) ReportError {
	if i.Before(t) {
		return before
	}
	if i.After(t) {
		return after
	}
	return 0
}
