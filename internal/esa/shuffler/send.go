package shuffler

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/hop"
	"github.com/shoal-project/shoal/internal/problem"
	"github.com/shoal-project/shoal/metric/task"
)

// sendStatements sends the statements that have changed. A next hop that is away is
// asked once.
func (s *Shuffler) sendStatements(ctx context.Context) error {
	st := &s.stating
	now := s.config.Clock.Now()
	st.mu.Lock()
	var ids []task.ID
	for id := range st.dirty {
		if !st.retry[id].next.After(now) {
			ids = append(ids, id)
		}
	}
	st.mu.Unlock()
	slices.SortFunc(ids, func(a, b task.ID) int { return bytes.Compare(a[:], b[:]) })
	sent := map[task.ID][sha256.Size]byte{}
	var errs []error
	for _, id := range ids {
		h := s.tasks[id]
		s.mu.Lock()
		away := s.away[h.next().URL].next.After(now)
		s.mu.Unlock()
		if away || ctx.Err() != nil {
			continue
		}
		if err := s.sendStatement(ctx, h, sent); err != nil {
			errs = append(errs, fmt.Errorf("stating to the %v which epochs of %q are complete: %w", h.next().Role, h.task.Metric, err))
			s.notSent(h, now, err)
		}
	}
	return errors.Join(append(errs, s.keepSent(ctx, sent))...)
}

// keepSent remembers which statements the next hops have.
func (s *Shuffler) keepSent(ctx context.Context, sent map[task.ID][sha256.Size]byte) error {
	if len(sent) == 0 {
		return nil
	}
	st := &s.stating
	st.keeping.Lock()
	defer st.keeping.Unlock()
	st.mu.Lock()
	h := History{Since: st.history.Since, Through: st.history.Through, Sent: sent}
	st.mu.Unlock()
	if err := s.config.Store.Keep(ctx, h); err != nil {
		return err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.history.Sent == nil {
		st.history.Sent = map[task.ID][sha256.Size]byte{}
	}
	maps.Copy(st.history.Sent, sent)
	return nil
}

// notSent has a statement sent again later.
func (s *Shuffler) notSent(h *hosted, now time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, away := errors.AsType[*unreachable](err); away {
		s.away[h.next().URL] = s.away[h.next().URL].again(now, err)
	}
	st := &s.stating
	st.mu.Lock()
	defer st.mu.Unlock()
	st.dirty[h.id] = true
	st.retry[h.id] = st.retry[h.id].again(now, err)
}

// sendStatement sends the statement of one task, unless the next hop has it.
func (s *Shuffler) sendStatement(ctx context.Context, h *hosted, sent map[task.ID][sha256.Size]byte) error {
	st := &s.stating
	st.mu.Lock()
	delete(st.dirty, h.id) // what changes from here on makes it dirty again
	have := st.history.Sent[h.id]
	st.mu.Unlock()
	statement, ready, err := s.statement(ctx, h)
	if err != nil {
		return err
	}
	if !ready {
		return nil // what it waits for makes it dirty
	}
	body, err := statement.Bytes()
	if err != nil {
		return err
	}
	digest := sha256.Sum256(body)
	if digest == have {
		return nil
	}
	taken, err := s.putStatement(ctx, h, statement)
	if err != nil {
		return err
	}
	s.mu.Lock()
	delete(s.away, h.next().URL)
	s.mu.Unlock()
	st.mu.Lock()
	defer st.mu.Unlock()
	delete(st.retry, h.id)
	delete(st.refused, h.id)
	if taken {
		sent[h.id] = digest
	} else {
		st.refused[h.id] = true
	}
	return nil
}

// putStatement sends a statement to the next hop, once. It returns false if that hop
// takes none: it is of a version without, or does not serve the task yet.
func (s *Shuffler) putStatement(ctx context.Context, h *hosted, statement *esa.Statement) (bool, error) {
	signed, err := statement.Sign(s.config.Identity)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, fmt.Sprintf("%s/tasks/%v/statement", h.next().URL, h.id), bytes.NewReader(signed))
	if err != nil {
		return false, err
	}
	req.Header.Set("Content-Type", hop.StatementType)
	resp, err := s.client.Do(req)
	if err != nil {
		return false, &unreachable{err}
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16)) // all, so that the connection can be used again
	switch {
	case resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusMethodNotAllowed:
		return false, nil
	case resp.StatusCode == http.StatusOK && err == nil && string(answer) == hop.StatementReceipt(signed):
		return true, nil
	case resp.StatusCode == http.StatusOK:
		return false, &unreachable{errors.New("HTTP 200, but without a receipt for this statement: a proxy may answer in its place")}
	case problem.Temporary(resp.StatusCode):
		return false, &unreachable{fmt.Errorf("HTTP %d", resp.StatusCode)}
	}
	return false, fmt.Errorf("HTTP %d", resp.StatusCode)
}

// takeStatement takes a statement of the hop before.
func (s *Shuffler) takeStatement(w http.ResponseWriter, r *http.Request) {
	h := s.hosted(r)
	if h == nil || h.hop == 0 {
		hop.UnknownTask.Write(w, 0)
		return
	}
	hop.PutStatement(w, r, h.task, h.id, h.hop-1, func(ctx context.Context, id task.ID, c esa.Coverage) error {
		if err := s.config.Store.Learn(ctx, id, c); err != nil {
			return err
		}
		s.stating.mu.Lock()
		s.stating.dirty[id] = true
		s.stating.mu.Unlock()
		s.alert()
		return nil
	})
}

// unstated returns of how many tasks the next hop does not have the newest statement.
func (st *stating) unstated() int {
	st.mu.Lock()
	defer st.mu.Unlock()
	n := len(st.refused)
	for id := range st.dirty {
		if !st.refused[id] {
			n++
		}
	}
	return n
}
