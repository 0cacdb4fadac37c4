package outbox

import (
	"fmt"
	"time"

	"github.com/shoal-project/shoal/metric/task"
)

// An ID names an entry within one outbox.
type ID uint64

// A Stage is how far an entry has come.
type Stage uint8

// The stages. An entry that was sent or dropped is gone.
const (
	Waiting Stage = 1 // not sealed yet
	Sealed  Stage = 2 // sealed; maybe sent, without an answer so far
	Held    Stage = 3 // shown, never sent
)

// String returns the stage as people read it.
func (s Stage) String() string {
	switch s {
	case Waiting:
		return "waiting"
	case Sealed:
		return "sealed"
	case Held:
		return "held"
	}
	return fmt.Sprintf("stage %d", uint8(s))
}

// An Entry is one report on its way. Its byte slices belong to the outbox and
// must not be changed.
type Entry struct {
	ID          ID
	Task        task.ID
	TaskBytes   []byte // as in the Contribution
	Owner       string
	Metric      string
	Destination string // for people: where it goes
	Method      task.Method
	Epoch       task.Epoch
	Stage       Stage

	At        time.Time // when it was recorded
	NotBefore time.Time // when it is sent, or tried again
	SendBy    time.Time // no send is planned for later
	NotAfter  time.Time // dropped then
	Attempts  int       // sends without an answer that settles it
	Resealed  bool      // it was sealed a second time, or waits for that

	Record   []byte // for the Sealer; nil once sealed, unless the entry is resealable
	Recorded string // for people: what the app recorded
	Encoded  string // for people: what leaves the device, inside the encryption
	Report   []byte // the sealed bytes; nil before
}

// Resealable reports whether the record stays when it is sealed, so that it can be
// sealed once more if the receiver answers [Stale]: two ciphertexts of one record
// must never count twice, which only the protocol of aggregate metrics promises.
func (e *Entry) Resealable() bool { return e.Method == task.Aggregate }

// size is what an entry counts against Options.MaxBytes.
func (e *Entry) size() int64 {
	const fixed = 256 // the other fields and the bookkeeping
	return fixed + int64(len(e.Record)+len(e.Recorded)+len(e.Encoded)+len(e.Report)+len(e.Owner)+len(e.Metric)+len(e.Destination))
}

// A Contribution is what one recorded value adds to the outbox.
type Contribution struct {
	Task        task.ID
	TaskBytes   []byte // whatever the Sealer needs to know of the task; kept while the task has entries; at most 1 MiB
	Owner       string // caps are counted by Owner and Metric; 1 to 255 bytes
	Metric      string // 1 to 255 bytes
	Destination string // at most 4096 bytes
	Epoch       task.Epoch
	Start, End  time.Time // of the period in which caps count: the epoch, or the salt window that holds it
	PerEpoch    int       // cap: reports of this owner and metric in the period
	PerCrowd    int       // cap: reports of one crowd in the period

	At time.Time // now
	// From takes the place of At where the time of a send is drawn; zero means At.
	// It may be past: then the report is as overdue as one that was added in time,
	// and when it leaves does not reveal when it was added.
	From     time.Time
	MaxDelay time.Duration // each report is sent at a time drawn from [At, At+MaxDelay], by SendBy at the latest
	SendBy   time.Time     // after this no send is planned
	NotAfter time.Time     // after this the receiver takes no report of the epoch
	Held     bool          // show only, never send; has caps of its own
	// Method is that of the task. It decides on the route of the reports, and on
	// whether they can be sealed a second time, see [Entry.Resealable].
	Method task.Method

	Reports []Report
}

// A Report is one of the independent reports of a [Contribution].
type Report struct {
	Record   []byte // for the Sealer; at most 1 MiB
	Crowd    []byte // what makes its crowd, the same in every epoch and task; remembered as a keyed hash
	Recorded string // for people: what the app recorded; at most 64 KiB
	Encoded  string // for people: what leaves the device, inside the encryption; at most 64 KiB
}

// A Verdict is what became of a report that was to be added.
type Verdict uint8

// The verdicts.
const (
	Accepted    Verdict = 1 // durable, and sent at its time
	CapReached  Verdict = 2 // the cap of the epoch, or of the crowd in it, is used up
	Full        Verdict = 3 // the outbox has no room: Options.MaxEntries, Options.MaxBytes
	Closed      Verdict = 4 // the batch has closed already
	CapsUnknown Verdict = 5 // the epoch's caps are not known any more: the clock was set back or the journal was damaged
	Failed      Verdict = 6 // the journal could not be written; the error that is returned has the cause
)

// String returns the verdict as people read it.
func (v Verdict) String() string {
	switch v {
	case Accepted:
		return "accepted"
	case CapReached:
		return "the contribution cap is reached"
	case Full:
		return "the outbox is full"
	case Closed:
		return "the batch has closed"
	case CapsUnknown:
		return "what was contributed to this epoch is not known any more"
	case Failed:
		return "the outbox could not be written"
	}
	return fmt.Sprintf("verdict %d", uint8(v))
}

// A Cause is why an entry was dropped, in at most 32 letters, digits and
// hyphens. Senders choose their own beside these.
type Cause string

// The causes of the outbox itself.
const (
	Expired   Cause = "expired"   // its batch closed before it could be sent
	Damaged   Cause = "damaged"   // the journal was damaged where it may have been sealed
	Withdrawn Cause = "withdrawn" // dropped by the user
	Unsent    Cause = "unsent"    // held until its batch closed
	Outdated  Cause = "outdated"  // sealed to keys that the receiver has no more
	Other     Cause = "other"     // a cause that is not valid, or one too many
)

// Stats are the figures of an outbox. Nothing in them identifies anybody.
type Stats struct {
	Waiting, Sealed, Held int              // entries by stage
	Bytes                 int64            // of all entries, as counted against Options.MaxBytes
	Sent                  uint64           // since the outbox was made
	Dropped               map[Cause]uint64 // since the outbox was made
}
