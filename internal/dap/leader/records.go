package leader

import (
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/segment"
)

// A cursor reads ranges of a log. Ranges that follow one another cost one pass.
// It is not safe for concurrent use.
type cursor struct {
	log  *segment.Log
	next func() ([]byte, error, bool)
	stop func()
	at   int64 // the record that next returns
}

// records returns copies of the records from first up to, and without, end, but
// not those that skip holds, which counts from first. Records that the disk has
// lost are missing, and their number is returned.
func (c *cursor) records(first, end int64, skip Bitmap) (records [][]byte, lost int64, err error) {
	if c.next == nil || c.at > first {
		c.close()
		c.next, c.stop = iter.Pull2(c.log.Records())
		c.at = 0
	}
	var mem []byte
	var ends []int
	for c.at < end {
		record, err, more := c.next()
		if !more {
			lost += missing(max(first, c.at), end, first, skip)
			break
		}
		if d, damaged := errors.AsType[segment.Damage](err); damaged {
			n := max(0, d.Records)
			lost += missing(max(first, c.at), min(end, c.at+n), first, skip)
			c.at += n
			continue
		}
		if err != nil {
			c.close()
			return nil, 0, fmt.Errorf("reading reports: %w", err)
		}
		if c.at >= first && !skip.Has(c.at-first) {
			if len(mem)+len(record) > cap(mem) {
				mem = slices.Grow(mem, max(len(record), len(mem))) // append would copy it more often
			}
			mem = append(mem, record...)
			ends = append(ends, len(mem))
		}
		c.at++
	}
	start := 0
	for _, e := range ends {
		records = append(records, mem[start:e:e])
		start = e
	}
	return records, lost, nil
}

// missing counts the records from, and without, end that skip, which counts from
// first, does not hold.
func missing(from, end, first int64, skip Bitmap) (n int64) {
	for at := from; at < end; at++ {
		if !skip.Has(at - first) {
			n++
		}
	}
	return n
}

// A placed report is one with the record that holds it.
type placed struct {
	at     int64
	report dap.Report
}

// decode returns the reports of a job from its records. A record that is no report
// of the task costs that report.
func (l *Leader) decode(codec dap.Codec, j *Job, records [][]byte) []placed {
	all := make([]placed, 0, len(records))
	at := j.From
	for _, record := range records {
		for j.Skip.Has(at - j.From) {
			at++
		}
		p := placed{at: at}
		if err := codec.Decode(&p.report, record); err != nil {
			l.lostRecords(logKey{j.Task, j.Log}, at, 1)
		} else {
			all = append(all, p)
		}
		at++
	}
	return all
}

func (c *cursor) close() {
	if c.stop != nil {
		c.stop()
	}
	c.next, c.stop = nil, nil
}
