package credential

import (
	"fmt"

	"github.com/shoal-project/shoal/metric/task"
)

// AllocateFor is [Wallet.Allocate] for one request to one party of t, which need not be a
// hop: of what that party asks for with each of them.
func (w *Wallet) AllocateFor(t *task.Task, p task.Party, e task.Epoch) (*Shown, error) {
	shown := new(Shown)
	err := w.change(func(c *contents) (bool, error) {
		s, asks := SlotOf(t, p, e)
		if !asks {
			return false, fmt.Errorf("the %v asks for nothing", p.Role)
		}
		of, err := c.showing(t, s, p, ContextsOf(t, p, e, nil), nil, t.Closes(e).Unix())
		if err != nil {
			return false, fmt.Errorf("%v %s: %w", p.Role, p.URL, err)
		}
		shown.of = []showing{of}
		return true, nil
	})
	if err != nil {
		return nil, fmt.Errorf("credentials of metric %q: %w", t.Metric, err)
	}
	return shown, nil
}

// Enrolled returns the signed tasks for which the wallet fetches credentials.
func (w *Wallet) Enrolled() ([][]byte, error) {
	var all [][]byte
	err := w.read(func(c *contents) error {
		for _, signed := range c.tasks {
			all = append(all, signed)
		}
		return nil
	})
	return all, err
}
