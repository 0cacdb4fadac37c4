package shuffler

import (
	"fmt"
	"slices"

	"github.com/shoal-project/shoal/dp"
)

// A State is how far a batch has come. States only move along the arrows of
// this picture, and a batch that has left Open never takes a report again:
//
//	None ─> Open ─> Closed ─> Processed ─> Delivered ─> Destroyed
//	                  ├─────> Carried ────────────────────┤
//	                  └─────> Discarded ──────────────────┘
type State uint8

// The states.
const (
	None      State = 0 // the store does not know the batch
	Open      State = 1 // takes reports
	Closed    State = 2 // input sealed, seed drawn; being processed
	Processed State = 3 // the hand-over file is written and waits for the next hop
	Delivered State = 4 // the next hop has acknowledged it; being destroyed
	Carried   State = 5 // too small: its reports wait for a later batch of the same salt window
	Discarded State = 6 // too small and the salt window is over: being destroyed unreleased
	Destroyed State = 7 // nothing but the counts is left
)

var stateNames = [...]string{"none", "open", "closed", "processed", "delivered", "carried", "discarded", "destroyed"}

// String returns the state's name, fit for a metric label.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// moves holds the states that may follow each state.
var moves = [...][]State{
	None:      {Open, Closed}, // Closed at once: the batch came whole, from the previous hop
	Open:      {Closed},
	Closed:    {Processed, Carried, Discarded},
	Processed: {Delivered},
	Delivered: {Destroyed},
	Carried:   {Carried, Destroyed}, // Carried again: on to a still later epoch
	Discarded: {Destroyed},
	Destroyed: nil,
}

// Check reports whether the change follows the picture of [State] and whether
// the batch holds what its new state needs and nothing that it must have
// forgotten. Stores call it before they apply a change.
func (c Change) Check() error {
	if int(c.From) >= len(moves) || !slices.Contains(moves[c.From], c.To.State) {
		return fmt.Errorf("batch cannot go from %v to %v", c.From, c.To.State)
	}
	b := c.To
	none := b.Seed == dp.Seed{}
	if none && b.State == Closed || !none && b.State != Closed && b.State != Processed {
		return fmt.Errorf("batch in state %v: a seed must be there when closed, may be there when processed, and never else", b.State)
	}
	if b.State == Carried && b.Into <= b.Epoch {
		return fmt.Errorf("batch of epoch %d cannot be carried over to epoch %d", b.Epoch, b.Into)
	}
	return nil
}
