package esa

import (
	"errors"
	"fmt"
)

// A Cause is the reason why a hop refuses one report. Causes are few and fixed,
// so that they can label counters. The zero Cause means that nothing is wrong.
type Cause uint8

// The causes.
const (
	CauseMalformed  Cause = 1 // not a frame of this version, for this role, of this task's exact size
	CauseWrongTask  Cause = 2 // made for another task
	CauseWrongEpoch Cause = 3 // made for another epoch
	CauseUnknownKey Cause = 4 // sealed to a key that this hop does not hold, or not in this epoch
	CauseDecrypt    Cause = 5 // the seal does not open: altered, truncated, or never sealed to this key
	CauseExtension  Cause = 6 // the extensions are not exactly those that the task lists for this hop
	CauseSchema     Cause = 7 // the payload is not one that the task's schema describes
	CauseCredential Cause = 8 // a presentation of a credential does not hold for this report, epoch, crowd and party
	CauseSpent      Cause = 9 // the client has made all presentations that its credential allows
)

// NumCauses is the number of causes, which are 1 to NumCauses.
const NumCauses = int(CauseSpent)

// String returns the cause as a label: lower case letters and underscores.
func (c Cause) String() string {
	switch c {
	case 0:
		return "none"
	case CauseMalformed:
		return "malformed"
	case CauseWrongTask:
		return "wrong_task"
	case CauseWrongEpoch:
		return "wrong_epoch"
	case CauseUnknownKey:
		return "unknown_key"
	case CauseDecrypt:
		return "decrypt"
	case CauseExtension:
		return "extension"
	case CauseSchema:
		return "schema"
	case CauseCredential:
		return "credential"
	case CauseSpent:
		return "spent"
	}
	return fmt.Sprintf("cause_%d", uint8(c))
}

// A Refusal is the error of a report that is refused. It costs that report
// only. Its text is made of constants: nothing of the report is in it.
type Refusal struct {
	Cause  Cause
	detail string
}

func (r *Refusal) Error() string { return "report refused: " + r.detail }

func refuse(c Cause, detail string) error { return &Refusal{Cause: c, detail: detail} }

// CauseOf returns the cause of a [Refusal] in err's chain, or 0.
func CauseOf(err error) Cause {
	if r, ok := errors.AsType[*Refusal](err); ok {
		return r.Cause
	}
	return 0
}
