package dap

import "fmt"

// A ReportError is the reason why one report was refused (section "Basic Type
// Definitions"). Its value is not the code on the wire: that depends on the
// [Variant]. A code that the variant does not know is kept when decoded. 0 is
// no error.
type ReportError uint16

// The report errors. Those marked with a draft are in that one only.
const (
	BatchCollected         ReportError = iota + 1 // the batch was collected
	ReportReplayed                                // a report of this ID was aggregated
	ReportDropped                                 // it could not be decided whether the report is valid
	UnknownConfig                                 // unknown HPKE configuration
	DecryptError                                  // the share could not be opened
	VerifyError                                   // the VDAF rejected the report
	TaskExpired                                   // the report is from after the task (18)
	InvalidMessage                                // a part of the report is malformed
	ReportTooEarly                                // the report is from the future
	TaskNotStarted                                // the report is from before the task (18)
	OutdatedConfig                                // unknown HPKE configuration on upload (18)
	UnknownVerificationKey                        // unknown VDAF verification key ID (19)
	UnsupportedExtension                          // unknown report extension (19)
	endReportError
)

// unlisted marks the codes that a variant does not know.
const unlisted ReportError = 0x100

// reportCodes are the codes on the wire by report error; 0 is no code.
type reportCodes [endReportError]uint8

func codes18() reportCodes {
	return reportCodes{
		BatchCollected: 1,
		ReportReplayed: 2,
		ReportDropped:  3,
		UnknownConfig:  4,
		DecryptError:   5,
		VerifyError:    6,
		TaskExpired:    7,
		InvalidMessage: 8,
		ReportTooEarly: 9,
		TaskNotStarted: 10,
		OutdatedConfig: 11,
	}
}

func codes19() reportCodes {
	return reportCodes{
		BatchCollected:         1,
		ReportReplayed:         2,
		ReportDropped:          3,
		UnknownConfig:          4,
		DecryptError:           5,
		VerifyError:            6,
		InvalidMessage:         7,
		ReportTooEarly:         8,
		UnknownVerificationKey: 9,
		UnsupportedExtension:   10,
	}
}

// String returns the draft's name of the error.
func (e ReportError) String() string {
	names := [...]string{
		0:                      "none",
		BatchCollected:         "batch_collected",
		ReportReplayed:         "report_replayed",
		ReportDropped:          "report_dropped",
		UnknownConfig:          "hpke_unknown_config_id",
		DecryptError:           "hpke_decrypt_error",
		VerifyError:            "vdaf_verify_error",
		TaskExpired:            "task_expired",
		InvalidMessage:         "invalid_message",
		ReportTooEarly:         "report_too_early",
		TaskNotStarted:         "task_not_started",
		OutdatedConfig:         "outdated_config",
		UnknownVerificationKey: "unknown_verification_key_id",
		UnsupportedExtension:   "unsupported_extension",
	}
	if int(e) < len(names) {
		return names[e]
	}
	return fmt.Sprintf("report error %d", uint8(e))
}

// Error makes a ReportError an error.
func (e ReportError) Error() string { return e.String() }

// Retryable reports whether the leader may put the report in another aggregation
// job later (section "Leader Initialization").
func (e ReportError) Retryable() bool { return e == ReportTooEarly }

func (e *ReportError) unmarshal(r *reader) {
	code := r.u8("report error")
	*e = unlisted | ReportError(code)
	for i, c := range r.codec.variant.codes {
		if c == code && c != 0 {
			*e = ReportError(i)
		}
	}
	if code == 0 {
		r.malformed("report error", "the reserved code 0")
	}
}

func (e ReportError) marshal(w *writer) {
	if e > unlisted && e <= unlisted|0xff {
		w.u8(uint8(e))
		return
	}
	if e >= endReportError || w.codec.variant.codes[e] == 0 {
		w.fail("report error", fmt.Sprintf("%v has no code in %v", e, w.codec.variant))
		return
	}
	w.u8(w.codec.variant.codes[e])
}
