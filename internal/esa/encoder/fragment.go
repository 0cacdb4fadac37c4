package encoder

import (
	"math"
	"slices"
	"sort"

	"github.com/shoal-project/shoal/metric/task"
)

// limit returns the most fragments that are made of one record.
func (e *Encoder) limit() int {
	most := int(min(e.task.PerEpoch, math.MaxInt32))
	if c := int(e.task.Fragment.Cap); c > 0 {
		most = min(most, c)
	}
	return most
}

// parts returns how many parts a record has.
func (e *Encoder) parts(record task.Record) int {
	rule := &e.task.Fragment
	switch rule.Kind {
	case task.Fields:
		return len(record) - len(rule.Keep)
	case task.Pairs:
		n := e.listLen(record)
		return n * (n + 1) / 2
	case task.Tuples:
		return e.listLen(record) / int(rule.M)
	case task.Bits:
		return (len(e.task.Schema[rule.Field].Values) + int(rule.M) - 1) / int(rule.M)
	}
	return 1
}

func (e *Encoder) listLen(record task.Record) int {
	elements, _ := record[e.task.Fragment.Field].([]task.Value)
	return len(elements)
}

// part returns the part with number i: the fields that are kept, and one part
// of what is broken up.
func (e *Encoder) part(record task.Record, i int) task.Record {
	rule := &e.task.Fragment
	if rule.Kind == task.Whole {
		return record
	}
	out := make(task.Record, len(record))
	for _, k := range rule.Keep {
		out[k] = record[k]
	}
	switch rule.Kind {
	case task.Fields:
		k := e.apart(i)
		out[k] = record[k]
	case task.Pairs:
		elements := record[rule.Field].([]task.Value)
		a, b := pair(i)
		out[rule.Field] = []task.Value{elements[a], elements[b]}
	case task.Tuples:
		elements := record[rule.Field].([]task.Value)
		m := int(rule.M)
		out[rule.Field] = slices.Clone(elements[i*m : (i+1)*m])
	case task.Bits:
		set := record[rule.Field].(uint64)
		out[rule.Field] = task.SetChunk{Index: uint8(i), Bits: set >> (i * int(rule.M)) & (1<<rule.M - 1)}
	}
	return out
}

// apart returns the index of the field with number i among those not kept.
func (e *Encoder) apart(i int) int {
	for k := range e.task.Schema {
		if slices.Contains(e.task.Fragment.Keep, uint8(k)) {
			continue
		}
		if i == 0 {
			return k
		}
		i--
	}
	return -1
}

// pair returns the pair a <= b with number i in the order (0,0), (0,1), (1,1),
// (0,2), ...: b(b+1)/2 pairs precede those with a given b.
func pair(i int) (int, int) {
	b := sort.Search(i+1, func(b int) bool { return (b+1)*(b+2)/2 > i })
	return i - b*(b+1)/2, b
}
