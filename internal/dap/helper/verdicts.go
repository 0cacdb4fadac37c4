package helper

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/shoal-project/shoal/dap"
)

// What is kept of a job that was answered at once is which of its reports were
// refused, and why: with that and the request, which the leader sends again, the
// answer can be made again, byte for byte. It is a sequence of
//
//	code u8, count uvarint
//
// where code is the variant's code of a report error, 0 for a report that was
// aggregated, and count is how many reports in a row have it.

// maxRun bounds a count, as far as it can be trusted from a disk.
const maxRun = 1 << 31

// verdictsOf returns the verdicts of a response.
func verdictsOf(c dap.Codec, resp *dap.AggregationJobResp) ([]byte, error) {
	var out, code []byte
	last, run := -1, uint64(0)
	flush := func() {
		if run > 0 {
			out = binary.AppendUvarint(append(out, byte(last)), run)
		}
	}
	for i := range resp.VerifyResps {
		r := &resp.VerifyResps[i]
		this := 0
		if r.Type == dap.RespReject {
			var err error
			if code, err = c.Append(code[:0], &r.Error); err != nil {
				return nil, fmt.Errorf("keeping the verdict on report %v: %w", r.ID, err)
			}
			this = int(code[0])
		}
		if this != last {
			flush()
			last, run = this, 0
		}
		run++
	}
	flush()
	return out, nil
}

var errVerdicts = errors.New("the stored verdicts do not fit the request")

// apply gives the reports of a response, in which none is refused for what the
// ledger held, the verdicts that were given first. It fails if a report that was
// aggregated cannot be answered any more: the key that opened it is gone.
func apply(c dap.Codec, verdicts []byte, resp *dap.AggregationJobResp) error {
	rest := resp.VerifyResps
	for len(verdicts) > 0 {
		code := verdicts[:1]
		run, n := binary.Uvarint(verdicts[1:])
		if n <= 0 || run == 0 || run > maxRun || run > uint64(len(rest)) {
			return errVerdicts
		}
		verdicts = verdicts[1+n:]
		var e dap.ReportError
		if code[0] != 0 {
			if err := c.Decode(&e, code); err != nil {
				return errVerdicts
			}
		}
		for i := range rest[:run] {
			r := &rest[i]
			switch {
			case e != 0:
				*r = dap.VerifyResp{ID: r.ID, Type: dap.RespReject, Error: e}
			case r.Type == dap.RespReject:
				return errVerdicts
			}
		}
		rest = rest[run:]
	}
	if len(rest) > 0 {
		return errVerdicts
	}
	return nil
}
