package leader

import (
	"encoding/binary"

	"github.com/shoal-project/shoal/dap"
)

// A record of a shared log is
//
//	32  the task
//	 8  the number of the task's log, 0: an intent
//	 4  the number of the report among those of that log, from 0
//	    the report, as it was uploaded
//
// An intent says that the store may have begun a log of the task in which nothing
// was acknowledged yet. The numbers of reports show how many are missing where
// the disk has lost some. Logs of one task that a process before shared logs has
// written hold reports alone.
const recordHead = 32 + 8 + 4

// A record is a decoded record of a shared log.
type record struct {
	key    logKey
	index  uint32
	report []byte
}

// parseRecord decodes a record; its report is part of b.
func parseRecord(b []byte) (record, bool) {
	if len(b) < recordHead {
		return record{}, false
	}
	r := record{
		key:    logKey{dap.TaskID(b[:32]), binary.BigEndian.Uint64(b[32:])},
		index:  binary.BigEndian.Uint32(b[40:]),
		report: b[recordHead:],
	}
	return r, true
}

// record decodes a record of a log.
func (r *reader) record(b []byte) (record, bool) {
	if !r.headed {
		return record{key: r.key, report: b}, true
	}
	return parseRecord(b)
}

// intent reports whether the record is one.
func (r *record) intent() bool { return r.key.number == 0 }

// putHead writes what stands before a report.
func putHead(b []byte, k logKey, index uint32) {
	copy(b, k.task[:])
	binary.BigEndian.PutUint64(b[32:], k.number)
	binary.BigEndian.PutUint32(b[40:], index)
}

func intentRecord(task dap.TaskID) []byte {
	b := make([]byte, recordHead)
	putHead(b, logKey{task: task}, 0)
	return b
}

// number makes records, which have room for their heads, the next ones of a log, and
// returns their size.
func (o *taskLog) number(records [][]byte) (size int64) {
	index := o.next.Add(uint32(len(records))) - uint32(len(records))
	for i, r := range records {
		putHead(r, o.key, index+uint32(i))
		size += int64(len(r))
	}
	return size
}
