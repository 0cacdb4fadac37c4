package plan

import (
	"fmt"
	"strings"

	"github.com/shoal-project/shoal/crypto/arc"
	"github.com/shoal-project/shoal/internal/printable"
	"github.com/shoal-project/shoal/metric/task"
)

// Caps is whether the bounds on what one client adds hold for clients that ignore them.
type Caps struct {
	// Enforced reports whether the parties that count enforce the bounds by credentials;
	// else the device alone keeps them.
	Enforced bool `json:"enforced"`
	// Sums reports whether leader and helper enforce them: one report a client and epoch.
	Sums bool `json:"sums,omitempty"`
	// Bytes are those of presentations in a report, VerifyMillis the processor time that
	// the party with the most of them spends on a report.
	Bytes        int     `json:"bytes,omitempty"`
	VerifyMillis float64 `json:"verify_ms,omitempty"`
	Period       string  `json:"period,omitempty"` // of a client's credentials
	// WindowEpochs is how many epochs share a salt window, if it is more than one: the bound
	// on all reports of a client is enforced in each of them, that on a crowd in the window.
	WindowEpochs uint32 `json:"window_epochs,omitempty"`
}

// verifyMillis is about what one core needs to verify a presentation, as measured:
// docs/evidence/performance.md, section "Anonymous credentials".
func verifyMillis(limit uint32) float64 {
	if limit == 1 {
		return 0.36
	}
	bits := (arc.PresentationSize(limit)-arc.PresentationSize(2))/129 + 1
	return 0.48 + 0.1*float64(bits-1)
}

func capsOf(t *task.Task) Caps {
	c := Caps{Enforced: t.Protection.CredentialEpochs > 0, Sums: t.Method == task.Aggregate}
	if !c.Enforced {
		return c
	}
	if t.Crowd.SaltEpochs > 1 {
		c.WindowEpochs = t.Crowd.SaltEpochs
	}
	c.Period = printable.Duration(int64(t.Protection.CredentialEpochs) * int64(t.EpochSeconds))
	for _, p := range t.Hops {
		millis := 0.0
		for _, shown := range t.Presentations(p) {
			c.Bytes += arc.PresentationSize(shown.Limit)
			if c.Sums { // type and length of the extension
				c.Bytes += 4
			}
			millis += verifyMillis(shown.Limit)
		}
		c.VerifyMillis = max(c.VerifyMillis, millis)
	}
	return c
}

// String states in words what the bounds rest on.
func (c Caps) String() string {
	if !c.Enforced {
		return "assumed: devices keep them, and a changed client can send more; credential: required enforces them"
	}
	if c.Sums {
		return fmt.Sprintf("enforced by leader and helper: one report an epoch of each client with one credential of both a period of %s; who gets one is decided by their gates; %d bytes a report and %.2g ms of verifying it at each; aggregators of other implementations cannot verify it and refuse the reports", c.Period, c.Bytes, c.VerifyMillis)
	}
	text := fmt.Sprintf("enforced by the shufflers, for each client with one credential a period of %s; who gets one is decided by their gates; %d bytes and %.2g ms of verifying a report", c.Period, c.Bytes, c.VerifyMillis)
	if c.WindowEpochs > 1 {
		text += fmt.Sprintf("; per_epoch is enforced in each of the %d epochs of a salt window, so a changed client can add %d times as many reports in a window, in other crowds", c.WindowEpochs, c.WindowEpochs)
	}
	return text
}

// A Surround is how many reports of its own a leader needs around those of one client to
// learn the value of that client from the result of a batch.
type Surround struct {
	Epochs uint32 `json:"epochs"` // of the batch
	// Each is for every epoch: credentials of the helper if caps are enforced.
	Each uint32 `json:"each_epoch"`
}

// surrounds returns what a leader needs in batches of one epoch, a week and a month of
// epochs. The client reports in each of them.
func surrounds(t *task.Task) []Surround {
	all := make([]Surround, 0, 3)
	for _, epochs := range []uint32{1, 7, 30} {
		all = append(all, Surround{epochs, (max(t.MinBatch, 1)+epochs-1)/epochs - 1})
	}
	return all
}

// surroundText states in words what keeps a leader from learning the value of one client.
func surroundText(all []Surround, enforced bool) string {
	var parts []string
	for _, s := range all {
		parts = append(parts, fmt.Sprintf("%d in a batch of %s", s.Each, printable.Plural(uint64(s.Epochs), "epoch")))
	}
	need := strings.Join(parts, ", ")
	if !enforced {
		return "a leader that makes up reports around one client learns what it says; nothing bounds them: it needs as few for each epoch as " + need
	}
	return "a leader that makes up reports around one client learns what it says, less noise, if it has as many credentials of the helper for each epoch: " + need + "; how many it can get is bounded by the helper's gate alone"
}
