package leader_test

import (
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
)

// TestLogIsLookedAtInTime: Run looks at a log when it is due although its first report
// was written after Run had looked. It waited for up to a minute, and with it every
// collection.
func TestLogIsLookedAtInTime(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, nil)
	wait := func() time.Duration { return w.leader.IntakeDue(t.Context()).Sub(w.clock.Now()) }
	if got := wait(); got != time.Minute {
		t.Errorf("without logs Run looks after %v", got)
	}
	if err := w.leader.BeginLog(t.Context(), w.task.ID()); err != nil {
		t.Fatal(err)
	}
	if got := wait(); got > 30*time.Second {
		t.Errorf("Run looks at a log that is begun after %v", got)
	}
	w.clock.Advance(time.Hour) // nothing was written: no reason to look all the time
	if got := wait(); got < time.Second || got > 30*time.Second {
		t.Errorf("Run looks at a log that is empty for long after %v", got)
	}
}
