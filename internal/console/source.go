package console

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/metric/task"
)

// A Source is where the console gets its content from. All methods may be
// called by many goroutines at once.
type Source interface {
	// Organisation returns the organisation that runs this console.
	Organisation() Organisation
	// Questions returns every task that the analyzer serves, newest first.
	Questions(ctx context.Context) ([]Question, error)
	// Answer returns all that is known of one task, or an error that matches
	// [ErrNotFound].
	Answer(ctx context.Context, id task.ID) (Answer, error)
	// Export writes what has been released for a task, or an error that
	// matches [ErrNotFound] before anything is written.
	Export(ctx context.Context, w io.Writer, id task.ID, f Format) error
}

// ErrNotFound is returned if there is no such task or nothing released for it.
var ErrNotFound = errors.New("not found")

// A Format is a file format of an export.
type Format string

// The formats.
const (
	CSV     Format = "csv"
	Parquet Format = "parquet"
	JSON    Format = "json"
)

// An Organisation is whose server this is.
type Organisation struct {
	Name  string
	URL   string
	Roles []string
}

// A Question is a task as the list shows it.
type Question struct {
	ID       task.ID
	Metric   string
	Question string
	Owner    string    // the owner's name
	Released int64     // reports in released batches
	Batches  int       // released batches
	Latest   time.Time // end of the newest released epoch; zero if none
	Next     time.Time // when the next batch is expected to close; zero after the end
	Expires  time.Time
}

// An Answer is everything that the page of one question shows.
type Answer struct {
	Question
	Consent     string
	EpochLength time.Duration
	MinBatch    int64
	Batches     []Batch // newest first, at most 500
	Privacy     Privacy
	Charts      []Chart
	Table       Table
	Flipped     bool // some fields are randomised on the device
	// Aggregate is what only the page of an aggregate question shows, nil for
	// others.
	Aggregate *Aggregate
}

// A Batch is one epoch of a question: about how many reports came in, and what
// became of them. What was suppressed, dropped or could not be read is not
// listed separately, since exact numbers would show whether a single report was there.
type Batch struct {
	Start, End     time.Time
	State          string // received, released, expired, damaged; waiting, too few, missing: nothing was released
	Told           bool   // whether the number of reports is disclosed
	Reports        int64  // with noise
	Low, High      int64  // ends of its 95 % interval
	Released       int64
	ReleasedCrowds int64
}

// Text says what the state of an epoch without results means, or nothing.
func (b Batch) Text() string {
	switch b.State {
	case analyzer.EpochTooFew:
		return "Fewer reports than the minimum, or none. Nothing was lost."
	case analyzer.EpochMissing:
		return "Reports may be lost, or the shuffler has not stated that none are: its operator knows more."
	case analyzer.EpochWaiting:
		return "The shuffler has not handed anything over, and has not stated that there is nothing."
	}
	return ""
}

// Arrived reports whether any batch has come from the shuffler.
func (a Answer) Arrived() bool {
	return slices.ContainsFunc(a.Batches, func(b Batch) bool {
		return b.State != analyzer.EpochWaiting && b.State != analyzer.EpochTooFew && b.State != analyzer.EpochMissing
	})
}

// Privacy is the content of the privacy card.
type Privacy struct {
	Facts []Fact
	Sees  []Sight
}

// A Fact is one number of the protection and what it means.
type Fact struct {
	Name, Value, Meaning string
}

// A Sight describes what one party of the question can see, and what not.
type Sight struct {
	Party, Sees, Never string
}

// A Chart is a bar chart of estimates with their error bars.
type Chart struct {
	Title string
	Note  string // how to read it; may be empty
	Unit  string // what is counted: "reports"
	Bars  []Bar
	More  int // bars left out
}

// A Bar is one estimate. Low and High are the ends of its 95 % interval.
type Bar struct {
	Label            string
	Value, Low, High float64
}

// A Table is the head of the released table.
type Table struct {
	Columns []Column
	Rows    [][]string
	Total   int64 // rows in all
}

// A Column is a column of the table.
type Column struct {
	Name    string
	Numeric bool
}
