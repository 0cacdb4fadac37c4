package leader

import (
	"fmt"
	"sync"

	"github.com/shoal-project/shoal/internal/loss"
	"github.com/shoal-project/shoal/internal/segment"
)

// damages are what the disk has lost of the logs, as far as was noticed since the
// start. A place may be met more than once.
type damages struct {
	mu   sync.Mutex
	logs map[logKey]map[damagePlace]int64
}

// A damagePlace is a part of a file, or a record of a log.
type damagePlace struct {
	file string // "": at is a record
	at   int64
}

// add enters so many records and returns how many of the log that makes.
func (d *damages) add(k logKey, at damagePlace, records int64) (sum int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.logs == nil {
		d.logs = map[logKey]map[damagePlace]int64{}
	}
	if d.logs[k] == nil {
		d.logs[k] = map[damagePlace]int64{}
	}
	d.logs[k][at] = max(d.logs[k][at], records)
	for _, n := range d.logs[k] {
		sum += n
	}
	return sum
}

// total returns how many records were lost, at least.
func (d *damages) total() (sum int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, log := range d.logs {
		for _, n := range log {
			sum += n
		}
	}
	return sum
}

// lostPart reports damage to a file of a log.
func (l *Leader) lostPart(k logKey, d segment.Damage) {
	l.reportDamage(k, l.damaged.add(k, damagePlace{d.File, d.Offset}, max(1, d.Records)))
}

// lostRecords reports that records of a log, from one on, cannot be read.
func (l *Leader) lostRecords(k logKey, from, records int64) {
	l.reportDamage(k, l.damaged.add(k, damagePlace{"", from}, records))
}

func (l *Leader) reportDamage(k logKey, records int64) {
	l.config.Lost(loss.Loss{
		Cause: loss.Damaged, Place: fmt.Sprintf("log %d of task %v", k.number, k.task), Reports: records,
		Detail: "the disk has changed or cut off a log; its other reports count",
	})
}
