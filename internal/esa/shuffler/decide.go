package shuffler

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"

	"github.com/shoal-project/shoal/dp"
)

// numberWidth is the bytes of a report's number, in the order of arrival.
const numberWidth = 5

// maxNumber is how many reports can have numbers.
const maxNumber = 1 << (8 * numberWidth)

func appendNumber(b []byte, n uint64) []byte {
	var all [8]byte
	binary.BigEndian.PutUint64(all[:], n)
	return append(b, all[8-numberWidth:]...)
}

// numberOf reads the number with which b begins.
func numberOf(b []byte) uint64 {
	return uint64(b[0])<<32 | uint64(binary.BigEndian.Uint32(b[1:numberWidth]))
}

// crowdNoise labels the stream from which the noise of a crowd comes.
const crowdNoise = "shoal crowd noise v1"

// numbers is a set of the numbers of a batch's reports: a bit for each.
type numbers []uint64

func newNumbers(n uint64) numbers { return make(numbers, (n+63)/64) }

func (s numbers) has(n uint64) bool { return s[n/64]>>(n%64)&1 != 0 }
func (s numbers) add(n uint64)      { s[n/64] |= 1 << (n % 64) }

// without removes from the set what is in another of the same size.
func (s numbers) without(other numbers) {
	for i := range s {
		s[i] &^= other[i]
	}
}

// decided counts what the threshold does.
type decided struct {
	valid                                  uint64 // distinct reports
	suppressed, suppressedReports, dropped uint64
}

// A decision goes through the marks in order, and finds which reports go on: of each
// crowd that is kept all but those with the smallest keys, as many as are dropped. A report
// of two crowds has a mark in each, and goes on if it stays in both: both are counted over
// all reports. The noise of a crowd is a function of the seed and of its tag.
type decision struct {
	stage *stage
	decided
	valid numbers       // of the distinct reports
	lost  numbers       // of those that a crowd has lost
	crowd []byte        // that the walk is in
	n     uint64        // its distinct reports so far
	first []uint64      // the numbers of the first of them
	late  []lateDropped // of which more are dropped than first holds
}

// firstMost bounds the numbers that are kept of a crowd: few crowds lose more.
const firstMost = 1 << 16

// lateDropped are the reports of a crowd that a second walk drops.
type lateDropped struct {
	crowd      []byte
	drop       uint64
	suppressed bool
}

// decide counts the distinct reports and finds those of received that go on.
func (s *stage) decide(ctx context.Context, received uint64) (decided, numbers, error) {
	d := decision{stage: s, valid: newNumbers(received), lost: newNumbers(received)}
	err := s.distinct(ctx, d.next)
	if err == nil {
		err = d.endCrowd()
	}
	if err == nil && len(d.late) > 0 {
		err = d.dropLate(ctx)
	}
	d.valid.without(d.lost)
	return d.decided, d.valid, err
}

// next takes note of a report.
func (d *decision) next(mark []byte, first bool) error {
	number := numberOf(mark[crowdWidth+keyWidth:])
	if !d.valid.has(number) { // else the other crowd of a report comes first
		d.decided.valid++
		d.valid.add(number)
	}
	if d.stage.threshold == nil {
		return nil
	}
	if first {
		if err := d.endCrowd(); err != nil {
			return err
		}
		d.crowd, d.n, d.first = append(d.crowd[:0], mark[:crowdWidth]...), 0, d.first[:0]
	}
	d.n++
	if len(d.first) < firstMost {
		d.first = append(d.first, number)
	}
	return nil
}

// endCrowd decides about a crowd, all of which has been seen.
func (d *decision) endCrowd() error {
	if d.n == 0 {
		return nil
	}
	keep := d.stage.threshold.Keep(d.n, dp.NewStream(d.stage.seed, crowdNoise, d.crowd))
	if keep > d.n {
		return errors.New("a threshold keeps more records than there are")
	}
	drop := d.n - keep
	if keep == 0 {
		d.suppressed++
	}
	if drop > uint64(len(d.first)) {
		d.late = append(d.late, lateDropped{bytes.Clone(d.crowd), drop, keep == 0})
		return nil
	}
	for _, number := range d.first[:drop] {
		d.lose(number, keep == 0)
	}
	return nil
}

// lose notes that a crowd, suppressed or not, has lost a report. A report that both crowds
// lose counts as lost to the first.
func (d *decision) lose(number uint64, suppressed bool) {
	switch {
	case d.lost.has(number):
	case suppressed:
		d.suppressedReports++
	default:
		d.dropped++
	}
	d.lost.add(number)
}

// dropLate walks again, and drops what the first walk could not.
func (d *decision) dropLate(ctx context.Context) error {
	var in lateDropped // the crowd that the walk is in
	err := d.stage.distinct(ctx, func(mark []byte, first bool) error {
		if first {
			in = lateDropped{}
		}
		if first && len(d.late) > 0 && bytes.Equal(d.late[0].crowd, mark[:crowdWidth]) {
			in, d.late = d.late[0], d.late[1:]
		}
		if in.drop > 0 {
			in.drop--
			d.lose(numberOf(mark[crowdWidth+keyWidth:]), in.suppressed)
		}
		return nil
	})
	if err == nil && len(d.late) > 0 {
		err = errors.New("the engine lost the records of a crowd")
	}
	return err
}
