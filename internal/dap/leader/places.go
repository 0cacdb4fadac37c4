package leader

import (
	"sync"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/exchange"
)

// uploadPace is how fast an upload has to arrive: anybody can begin one, and it
// holds a place of the task meanwhile.
var uploadPace = exchange.Pace{Pause: 5 * time.Second, PerSecond: 4 << 10, Crowded: 64 << 10, Most: time.Minute}

// uploadMemory bounds the memory of the uploads of a task that are read at once.
const uploadMemory = 512 << 20

// mostReads returns how many uploads of a task are read at once: fewer if its
// reports are large.
func (c *Config) mostReads(t *dap.Task) int {
	sizes := t.Instance().Sizes()
	// One report may be decoded and encoded while a chunk is in memory.
	each := chunkBytes + 2*int64(sizes.PublicShare+sizes.LeaderShare+sizes.HelperShare)
	return int(min(int64(c.MaxRequests), max(1, uploadMemory/each)))
}

// places are those of the uploads of a task. The zero value is empty.
type places struct {
	mu    sync.Mutex
	held  map[*exchange.Arrival]struct{}
	going int // were cut and have not left yet
}

// take takes one of so many places. If all are taken, the sender that is
// furthest behind its pace is cut and loses its place. It reports whether there
// was a place.
func (p *places) take(a *exchange.Arrival, most int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.held) >= most {
		if p.going >= most { // they leave at once: this bounds the memory all the same
			return false
		}
		slow, found := exchange.DropSlowest(p.held)
		if !found {
			return false
		}
		delete(p.held, slow)
		p.going++
	}
	if p.held == nil {
		p.held = make(map[*exchange.Arrival]struct{})
	}
	p.held[a] = struct{}{}
	return true
}

// leave gives a place back. Callers have taken it.
func (p *places) leave(a *exchange.Arrival) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, held := p.held[a]; !held {
		p.going--
		return
	}
	delete(p.held, a)
}
