package leader

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/dap/exchange"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/dap/tasks"
	"github.com/shoal-project/shoal/internal/segment"
)

// How much of a request is decoded before it is made durable.
const (
	chunkReports = 512
	chunkBytes   = 1 << 20
)

// postReports takes an upload (section "Leader Behavior"). Reports become durable
// in chunks while the body is read, and the answer comes after the last. So if
// the body turns out to be malformed, or the disk to be full, reports of earlier
// chunks are kept although the answer is an error: a client that sends them again
// changes nothing. A body of one chunk is taken whole or not at all.
func (l *Leader) postReports(w http.ResponseWriter, r *http.Request, s *tasks.Serving) error {
	exchange.AllowOrigins(w.Header())
	if s.Entry.Disabled || l.config.Withdrawn(s.Task.ID()) {
		return &dap.Abort{Type: dap.ProblemUnrecognizedTask, Detail: "the task takes no more reports"}
	}
	if err := exchange.CheckType(r, dap.TypeUploadRequest); err != nil {
		return err
	}
	in := l.intake(s.Task.ID())
	arrival := exchange.Arrive(w, r, l.config.Clock, uploadPace)
	if !in.places.take(arrival, l.config.mostReads(s.Task)) {
		return exchange.ErrBusy.After(time.Second)
	}
	defer in.places.leave(arrival)
	if err := l.mayAcknowledge(r.Context()); err != nil {
		return unclaimedError()
	}
	if in.stored.Load() >= l.config.MaxBacklog {
		return exchange.ErrUnavailable.After(time.Minute)
	}
	codec := s.Task.Codec()
	body, err := exchange.Body(w, r, codec.Limits().Body)
	if err != nil {
		return err
	}
	u := &uploading{leader: l, serving: s, intake: in, now: l.config.Clock.Now(), keys: l.config.Registry.Keyring()}
	if u.ledger, err = l.ledger(r.Context(), s); err != nil {
		return err
	}
	if err := u.read(r.Context(), codec, body); err != nil {
		return err
	}
	if len(u.refused) == 0 {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	answer, err := codec.Encode(&dap.UploadErrors{Status: u.refused})
	if err != nil {
		return err
	}
	exchange.Send(w, http.StatusOK, dap.TypeUploadErrors, answer)
	return nil
}

// uploading is the state of one upload.
type uploading struct {
	leader  *Leader
	serving *tasks.Serving
	intake  *intake
	now     time.Time
	keys    *dapkey.Ring
	ledger  *ledger.Ledger

	refused []dap.ReportUploadStatus // in the order of the request
	checked []dap.ReportUploadStatus // with [Config.OpenAtUpload], all of the chunk in order; error 0: in ids
	ids     []dap.ReportID           // of the chunk
	ends    []int                    // of the chunk's records in mem
	mem     []byte
}

// read decodes the body and stores what it may.
func (u *uploading) read(ctx context.Context, codec dap.Codec, body io.Reader) error {
	stream := codec.ReadUploadRequest(body)
	for {
		report, err := stream.Next()
		if errors.Is(err, io.EOF) {
			return u.flush(ctx, codec)
		}
		if err != nil {
			return err
		}
		if err := u.add(codec, &report); err != nil {
			return err
		}
		if len(u.ids) >= chunkReports || len(u.mem) >= chunkBytes || len(u.checked) >= chunkReports {
			if err := u.flush(ctx, codec); err != nil {
				return err
			}
		}
	}
}

// add checks a report and adds it to the chunk, unless it is refused or durable
// already: then the client missed the answer.
func (u *uploading) add(codec dap.Codec, report *dap.Report) (err error) {
	id := report.Metadata.ID
	e := u.check(report)
	repeated := e == 0 && u.intake.recent.has(id)
	if u.leader.config.OpenAtUpload && !repeated {
		u.checked = append(u.checked, dap.ReportUploadStatus{ID: id, Error: e})
	} else {
		u.count(id, e)
	}
	if e != 0 || repeated {
		return nil
	}
	if u.mem == nil {
		u.mem = make([]byte, 0, recordHead+sizeOf(report))
	}
	var head [recordHead]byte // filled when the log is known
	if u.mem, err = codec.Append(append(u.mem, head[:]...), report); err != nil {
		return err
	}
	u.ids, u.ends = append(u.ids, id), append(u.ends, len(u.mem))
	return nil
}

// sizeOf returns about how many bytes an encoded report has, not less.
func sizeOf(r *dap.Report) int {
	const fixed = 128
	return fixed + len(r.PublicShare) + len(r.LeaderShare.Enc) + len(r.LeaderShare.Payload) + len(r.HelperShare.Enc) + len(r.HelperShare.Payload)
}

// count counts a report and notes why it is refused.
func (u *uploading) count(id dap.ReportID, e dap.ReportError) {
	u.leader.config.Metrics.Upload(e)
	if e != 0 {
		u.refused = append(u.refused, dap.ReportUploadStatus{ID: id, Error: e})
	}
}

// open opens the reports of the chunk and takes those out of it that do not open.
func (u *uploading) open(codec dap.Codec) error {
	var all dap.UploadRequest
	if len(u.ids) > 0 {
		plain := make([]byte, 0, len(u.mem))
		start := 0
		for _, end := range u.ends {
			plain = append(plain, u.mem[start+recordHead:end]...)
			start = end
		}
		if err := codec.Decode(&all, plain); err != nil {
			return err
		}
	}
	errs := u.serving.Aggregator.CheckOpen(all.Reports, u.now, u.keys)
	ids, ends, mem := u.ids[:0], u.ends[:0], u.mem[:0]
	start, next := 0, 0
	for _, c := range u.checked {
		if c.Error != 0 {
			u.count(c.ID, c.Error)
			continue
		}
		end := u.ends[next]
		u.count(c.ID, errs[next])
		if errs[next] == 0 {
			mem = append(mem, u.mem[start:end]...) // to the front: it overwrites what was refused
			ids, ends = append(ids, c.ID), append(ends, len(mem))
		}
		start, next = end, next+1
	}
	u.ids, u.ends, u.mem, u.checked = ids, ends, mem, u.checked[:0]
	return nil
}

// check returns why a report is refused, 0 if it is not.
func (u *uploading) check(r *dap.Report) dap.ReportError {
	if e := u.serving.Aggregator.CheckUpload(r, u.now, u.keys); e != 0 {
		return e
	}
	e := u.ledger.Late(u.serving.Task.Bucket(r.Metadata.Time, dap.BatchID{}), r.Metadata.Time)
	if e == dap.BatchCollected {
		return dap.ReportReplayed // as the draft has it on upload
	}
	return e
}

// flush makes the chunk durable.
func (u *uploading) flush(ctx context.Context, codec dap.Codec) error {
	if len(u.checked) > 0 {
		if err := u.open(codec); err != nil {
			return err
		}
	}
	if len(u.ids) == 0 {
		return nil
	}
	records := make([][]byte, len(u.ends))
	start := 0
	for i, end := range u.ends {
		records[i] = u.mem[start:end]
		start = end
	}
	if err := u.intake.append(ctx, records); err != nil {
		_ = u.leader.lose(err)
		return appendError(ctx, err)
	}
	// The disk may have been slow.
	if err := u.leader.mayAcknowledge(ctx); err != nil {
		return unclaimedError()
	}
	u.intake.recent.add(u.ids...)
	u.ids, u.ends, u.mem = u.ids[:0], u.ends[:0], u.mem[:0]
	return nil
}

// unclaimedError is what a client gets while the node's name is not this
// process's: other nodes may take the report.
func unclaimedError() error {
	return exchange.ErrUnavailable.After(time.Minute).Because("%s", "the server has no claim on its name")
}

// appendError distinguishes the client's and passing failures from our own.
func appendError(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return exchange.ErrTruncated
	case errors.Is(err, segment.ErrFull):
		return exchange.ErrUnavailable.After(time.Minute)
	case errors.Is(err, ErrFenced):
		return unclaimedError()
	case errors.Is(err, segment.ErrTooLarge):
		return exchange.ErrTooLarge
	case errors.Is(err, segment.ErrClosed): // the process ends
		return exchange.ErrUnavailable
	}
	return err
}
