package shuffler

import (
	"net/http"
	"time"

	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/hop"
	"github.com/shoal-project/shoal/internal/problem"
)

// An Outcome is what became of one report at intake. Outcomes are few and
// fixed, so that they can label counters.
type Outcome uint8

// The outcomes.
const (
	Accepted    Outcome = iota // durable; this was acknowledged to the sender
	UnknownTask                // no task of this shuffler
	TooLarge                   // longer than any report of the task
	Malformed                  // not a report of the task's form and size
	WrongTask                  // its header names another task than the request
	WrongEpoch                 // its epoch is over, or not one of the task's
	TooEarly                   // its epoch has not begun: the sender's clock is ahead, or this one behind
	UnknownKey                 // sealed to a key that the shuffler does not hold
	BadType                    // another media type
	Cut                        // the body ended early
	BatchFull                  // the batch has its maximum of reports
	DiskFull                   // no space
	ClockUnsure                // the epoch looks closed, but only since the clock jumped
	Unavailable                // the report could not be stored
	NumOutcomes = iota
)

// labels and problems of the outcomes; Accepted has no problem.
var outcomes = [NumOutcomes]struct {
	label   string
	problem problem.Problem
}{
	Accepted:    {"accepted", problem.Problem{}},
	UnknownTask: {"unknown_task", hop.UnknownTask},
	TooLarge:    {"too_large", hop.TooLarge},
	Malformed: {"malformed", problem.Problem{
		Status: http.StatusBadRequest, Type: problem.Shoal("malformed"),
		Title: "The body is not a report of this task's form and size.",
	}},
	WrongTask: {"wrong_task", problem.Problem{
		Status: http.StatusBadRequest, Type: problem.Shoal("wrongTask"),
		Title: "The report was made for another task.",
	}},
	WrongEpoch: {"wrong_epoch", problem.Problem{
		Status: http.StatusConflict, Type: problem.Shoal("wrongEpoch"),
		Title: "The report's epoch is not open: drop the report.",
	}},
	TooEarly: {"too_early", problem.Problem{
		Status: http.StatusServiceUnavailable, Type: problem.Shoal("tooEarly"),
		Title: "The report's epoch has not begun by this server's clock. Try again later.", Retry: 10 * time.Minute,
	}},
	UnknownKey: {"unknown_key", problem.Problem{
		Status: http.StatusConflict, Type: problem.Shoal("unknownKey"),
		Title: "The report is sealed to a key that is not valid: fetch the keys again.",
	}},
	BadType: {"unsupported_media_type", hop.BadType},
	Cut:     {"cut", hop.Cut},
	BatchFull: {"batch_full", problem.Problem{
		Status: http.StatusServiceUnavailable, Type: problem.Shoal("batchFull"),
		Title: "The batch of this epoch is full.", Retry: 10 * time.Minute,
	}},
	DiskFull: {"disk_full", problem.Problem{
		Status: http.StatusServiceUnavailable, Type: problem.Shoal("diskFull"),
		Title: "The server has no space left. Try again later.", Retry: time.Minute,
	}},
	ClockUnsure: {"clock_unsure", problem.Problem{
		Status: http.StatusServiceUnavailable, Type: problem.Shoal("clockUnsure"),
		Title: "The server is not sure of the time. Try again later.", Retry: time.Minute,
	}},
	Unavailable: {"unavailable", hop.Unavailable},
}

// String returns the outcome as a label.
func (o Outcome) String() string {
	if int(o) < len(outcomes) {
		return outcomes[o].label
	}
	return "unknown"
}

// outcomeOf translates the cause for which a report cannot be one of the task
// and epoch.
func outcomeOf(c esa.Cause) Outcome {
	switch c {
	case esa.CauseWrongTask:
		return WrongTask
	case esa.CauseWrongEpoch:
		return WrongEpoch
	case esa.CauseUnknownKey:
		return UnknownKey
	default:
		return Malformed
	}
}
