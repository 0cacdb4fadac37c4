package spent

import (
	"bytes"
	"testing"

	"github.com/shoal-project/shoal/internal/durable"
)

// TestCutIsCounted covers a disk that damages the rows that were written last: whole in
// length, they look like a write that a crash has left, and their tags can be spent again. The
// list says so; of a write that was cut short it does not.
func TestCutIsCounted(t *testing.T) {
	one, two := frame(nil, []Row{row(1, 1)}), frame(nil, []Row{row(2, 1), row(3, 1)})
	whole := append(bytes.Clone(one), two...)
	rows := append(former(1, 1), former(2, 2)...)
	for what, c := range map[string]struct {
		b        []byte
		flip     int // byte from the end
		cut, len int
	}{
		"frames":                       {whole, 1, 2, 1},
		"one frame":                    {one, 1, 1, 0},
		"frames, a write cut short":    {whole[:len(whole)-1], 0, 0, 1},
		"frames, undamaged":            {whole, 0, 0, 3},
		"rows of before":               {rows, 1, 1, 1},
		"rows of before, cut short":    {rows[:len(rows)-1], 0, 0, 1},
		"rows of before, undamaged":    {rows, 0, 0, 2},
		"frames, damage in the length": {append(bytes.Clone(one), 0xff), 0, 0, 1},
	} {
		disk := durable.Mem()
		folder(t, disk)
		b := bytes.Clone(c.b)
		if c.flip > 0 {
			b[len(b)-c.flip] ^= 1
		}
		must(t, durable.WriteFile(disk, name, b, 0o600))
		l := open(t, disk)
		if l.Cut() != c.cut || l.Len() != c.len {
			t.Errorf("%s: %d rows cut, %d kept, want %d and %d", what, l.Cut(), l.Len(), c.cut, c.len)
		}
		must(t, l.Close())
	}
}
