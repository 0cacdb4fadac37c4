package leader

import (
	"cmp"
	"fmt"
	"sync"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/loss"
	"github.com/shoal-project/shoal/internal/segment"
)

// damages are what the disk has lost of the logs, as far as was noticed since the
// start. A place may be met more than once.
type damages struct {
	mu   sync.Mutex
	logs map[logKey]map[damagePlace]int64 // shared logs have no task
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
	l.reportDamage(k, l.damaged.add(k, damagePlace{d.File, d.Offset}, max(1, d.Records)), "")
}

// lostRecords reports that records of a log, from one on, cannot be read.
func (l *Leader) lostRecords(k logKey, from, records int64) {
	l.reportDamage(k, l.damaged.add(k, damagePlace{"", from}, records), "")
}

func (l *Leader) reportDamage(k logKey, records int64, detail string) {
	place := fmt.Sprintf("log %d of task %v", k.number, k.task)
	if k.task == (dap.TaskID{}) {
		place = fmt.Sprintf("intake log %d", k.number)
	}
	l.config.Lost(loss.Loss{
		Cause: loss.Damaged, Place: place, Reports: records,
		Detail: cmp.Or(detail, "the disk has changed or cut off a log; its other reports count"),
	})
}

// lost notes damage to a shared log. The caller holds Leader.creating or is New.
func (s *sharedLog) lost(d segment.Damage) {
	at := damagePlace{d.File, d.Offset}
	s.damaged[at] = max(s.damaged[at], max(1, d.Records))
}

// countDamage reports the damage to a shared log that was distributed: for each of
// its tasks what it is known to lack, and for the log what may be of any of them.
func (l *Leader) countDamage(s *sharedLog) {
	rest := int64(0)
	for _, n := range s.damaged {
		rest += n
	}
	lacks := map[logKey]int64{}
	for _, o := range l.membersOf(s) {
		n, err := l.lacking(o, s.recovered)
		if err != nil {
			l.config.Failed(fmt.Errorf("log %d of task %v: counting lost reports: %w", o.key.number, o.key.task, err))
		}
		lacks[o.key] = n
		rest -= n
	}
	// Of the records that are lost some were intents. What this process has
	// acknowledged is known by task.
	if rest -= max(0, int64(len(lacks)-s.intents)); !s.recovered {
		rest = 0
	}
	detail := ""
	if rest > 0 {
		detail = fmt.Sprintf("intake log %d has lost %d reports of which it is not known to which of its %d tasks they belong", s.serial, rest, len(lacks))
		k := logKey{number: s.serial}
		l.reportDamage(k, l.damaged.add(k, damagePlace{}, rest), detail)
	}
	for k, n := range lacks {
		if n > 0 || rest > 0 {
			l.reportDamage(k, l.damaged.add(k, damagePlace{s.dir, 0}, n), detail)
		}
	}
}

func (l *Leader) membersOf(s *sharedLog) []*taskLog {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]*taskLog(nil), s.members...)
}

// lacking returns how many reports a log that was distributed lacks, at least: of
// those that were acknowledged, if this process has done so, or else of those before
// the last one that is there.
func (l *Leader) lacking(o *taskLog, recovered bool) (int64, error) {
	have, last := int64(0), int64(-1)
	if there, err := l.hasFiles(o.key); err != nil {
		return 0, err
	} else if there {
		r, err := l.readers.open(o.key)
		if err != nil {
			return 0, err
		}
		defer l.readers.done(r)
		for b, err := range r.log.Records() {
			if _, damaged := asDamage(err); damaged {
				continue // of the copy: it is reported when its reports are put into jobs
			}
			if err != nil {
				return 0, err
			}
			if rec, ok := parseRecord(b); ok && !rec.intent() {
				have++
				last = max(last, int64(rec.index))
			}
		}
	}
	want := o.durable.Load()
	if recovered {
		want = last + 1
	}
	return max(0, want-have), nil
}
