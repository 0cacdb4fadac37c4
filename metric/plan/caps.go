package plan

import (
	"fmt"

	"github.com/shoal-project/shoal/crypto/arc"
	"github.com/shoal-project/shoal/internal/printable"
	"github.com/shoal-project/shoal/metric/task"
)

// Caps is whether the bounds on what one client adds hold for clients that ignore them.
type Caps struct {
	// Enforced reports whether the parties that count enforce the bounds by credentials;
	// else the device alone keeps them.
	Enforced bool `json:"enforced"`
	// Bytes are those of presentations in a report, VerifyMillis the processor time that
	// the party with the most of them spends on a report.
	Bytes        int     `json:"bytes,omitempty"`
	VerifyMillis float64 `json:"verify_ms,omitempty"`
	Period       string  `json:"period,omitempty"` // of a client's credentials
}

// verifyMillis is about what one core needs to verify a presentation:
// docs/evidence/performance.md, section "Anonymous credentials", has it in
// multiplications of a point, of 32.6 µs each.
func verifyMillis(limit uint32) float64 {
	if limit == 1 {
		return 0.26
	}
	bits := (arc.PresentationSize(limit)-arc.PresentationSize(2))/129 + 1
	return 0.39 + 0.097*float64(bits-1)
}

func capsOf(t *task.Task) Caps {
	c := Caps{Enforced: t.Protection.CredentialEpochs > 0}
	if !c.Enforced {
		return c
	}
	c.Period = printable.Duration(int64(t.Protection.CredentialEpochs) * int64(t.EpochSeconds))
	for _, p := range t.Hops {
		millis := 0.0
		for _, shown := range t.Presentations(p) {
			c.Bytes += arc.PresentationSize(shown.Limit)
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
	return fmt.Sprintf("enforced by the shufflers, for each client with one credential a period of %s; who gets one is decided by their gates; %d bytes and %.2g ms of verifying a report", c.Period, c.Bytes, c.VerifyMillis)
}
