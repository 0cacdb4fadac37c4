package console

import "time"

// An Aggregate is what the page of an aggregate question shows beside the rest. Of
// the [Answer] it uses the charts (bars of the newest batch), the table and the
// privacy card, not Batches.
type Aggregate struct {
	Kind      string // what the answer is: a count, a histogram
	Exact     bool   // there is no noise
	Within    string // otherwise, how far it moves the newest answer in 95 cases of 100; "" before there is one
	Waits     string // why nothing is collected; "" if it is
	Lines     []Line
	Pending   []Pending // what is asked for and not released
	Over      []Pending // what is not released and is not to be expected any more
	Collected []Collected
}

// A Line is one number over the epochs, with its error bars.
type Line struct {
	Title, Note, Unit string
	Points            []Point // the oldest first
}

// A Point is the number of one epoch. Low and High are the ends of its 95 %
// interval.
type Point struct {
	Start, End       time.Time
	Value, Low, High float64
}

// A Pending is a batch that was asked for and is not released.
type Pending struct {
	Start, End time.Time // zero where the leader chooses the batch
	State      string    // waiting, not enough yet, failing, too few, given up
	Missing    string    // coarsely, how many reports
	Text       string    // why; may be empty
}

// A Collected is a released batch.
type Collected struct {
	Start, End time.Time
	State      string // released, expired
	Reports    int64
}
