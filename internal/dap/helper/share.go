package helper

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/dap/exchange"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/dap/tasks"
)

// errNoShare means that there is no such aggregate share: the draft has no problem
// type for it.
var errNoShare error = exchange.ErrNotFound.Because("the aggregate share was not created here, or is forgotten")

// postShare creates an aggregate share whose ID is made of the request.
func (h *Helper) postShare(w http.ResponseWriter, r *http.Request, s *tasks.Serving) error {
	if s.Task.Variant().ClientChoosesIDs() {
		w.Header().Set("Allow", "PUT")
		return exchange.ErrMethod
	}
	return h.createShare(w, r, s, nil)
}

// putShare creates an aggregate share whose ID the leader has chosen.
func (h *Helper) putShare(w http.ResponseWriter, r *http.Request, s *tasks.Serving) error {
	if !s.Task.Variant().ClientChoosesIDs() {
		w.Header().Set("Allow", "GET, DELETE")
		return exchange.ErrMethod
	}
	id, err := dap.ParseAggregateShareID(r.PathValue("id"))
	if err != nil {
		return &dap.Abort{Type: dap.ProblemInvalidMessage, Detail: err.Error()}
	}
	return h.createShare(w, r, s, &id)
}

// createShare answers a leader that wants the aggregate share of a batch
// (section "Obtaining Aggregate Shares"). From then on the batch is collected.
func (h *Helper) createShare(w http.ResponseWriter, r *http.Request, s *tasks.Serving, chosen *dap.AggregateShareID) error {
	if err := exchange.CheckType(r, dap.TypeAggregateShareReq); err != nil {
		return err
	}
	exchange.Arrive(w, r, h.config.Clock, h.config.Pace)
	codec := s.Task.Codec()
	body, err := exchange.ReadBody(w, r, shareLimit(codec))
	if err != nil {
		return err
	}
	began := h.config.Clock.Now()
	share := &Share{Task: s.Task.ID(), State: Done, Digest: sha256.Sum256(body), Made: h.now()}
	share.ID = h.config.Registry.ResourceKey().AggregateShare(share.Task, body)
	if chosen != nil {
		share.ID = *chosen
	}
	stored, err := h.config.Store.Share(r.Context(), share.Task, share.ID)
	if err == nil {
		h.config.Metrics.Repeated(share.Task)
		return h.repeatShare(w, s, share.Digest, stored)
	}
	if !errors.Is(err, ErrNone) {
		return fmt.Errorf("looking for aggregate share %v: %w", share.ID, err)
	}
	var req dap.AggregateShareReq
	if err := codec.Decode(&req, body); err != nil {
		return err
	}
	if err := s.Task.CheckSelector(&req); err != nil {
		return err
	}
	if _, _, _, err := ledger.Range(req.Selector); err != nil { // it ends, but later than any store can represent
		return &dap.Abort{Type: dap.ProblemBatchInvalid, Detail: err.Error()}
	}
	ctx := context.WithoutCancel(r.Context())
	err = h.collect(ctx, s, &req, share)
	if err != nil {
		// It may be there although the store failed, or because the same request
		// came twice at once.
		if stored, err := h.config.Store.Share(ctx, share.Task, share.ID); err == nil {
			return h.repeatShare(w, s, share.Digest, stored)
		}
		return err
	}
	h.config.Metrics.Share(share.Task)
	h.blur(r.Context(), s, began)
	locate(w, s.Task, dap.AggregateSharePath(share.Task, share.ID))
	exchange.Send(w, http.StatusCreated, dap.TypeAggregateShare, share.Response)
	return nil
}

// shareLimit bounds the body of an [dap.AggregateShareReq], whose parts of any
// length are lists of extensions, two short configurations and the aggregation
// parameter, of which only the empty one is valid.
func shareLimit(c dap.Codec) int64 {
	return int64(3*c.Limits().Extensions + 1<<12)
}

// collect marks the batch of a request collected and stores its share, with
// noise added and sealed to the collector, in one step. What an attempt made that
// the store did not take is dropped with its noise.
func (h *Helper) collect(ctx context.Context, s *tasks.Serving, req *dap.AggregateShareReq, share *Share) error {
	taskLedger, err := h.ledger(ctx, s)
	if err != nil {
		return err
	}
	return taskLedger.Collect(ctx, req.Selector, func(ctx context.Context, total *dap.Total, c ledger.Collection) error {
		if err := req.CheckAgreement(total); err != nil {
			return err
		}
		if err := s.Task.AddNoise(total.Share, h.config.Rand); err != nil {
			return err
		}
		sealed, err := s.Task.SealAggregateShare(s.Entry.Collector, dap.Helper, &req.Job, total.Share.Bytes())
		if err != nil {
			return err
		}
		if share.Response, err = s.Task.Codec().Encode(&dap.AggregateShare{Encrypted: sealed}); err != nil {
			return err
		}
		return h.config.Store.CollectShare(ctx, c, share)
	})
}

// grain is to what the time of an answer with noise in it is rounded up.
const grain = 250 * time.Millisecond

// blur waits until the time that a request took does not reveal to the leader how
// long the noise took, which depends on the noise.
func (h *Helper) blur(ctx context.Context, s *tasks.Serving, began time.Time) {
	if s.Task.Noise().Mechanism == dp.NoNoise {
		return
	}
	took := h.config.Clock.Now().Sub(began)
	if took <= 0 {
		return
	}
	_ = h.config.Clock.Until(ctx, began.Add((took+grain-1)/grain*grain)) // the leader has gone if it fails
}

// repeatShare answers a request that creates a share that is there.
func (h *Helper) repeatShare(w http.ResponseWriter, s *tasks.Serving, digest Digest, share *Share) error {
	if share.Digest != digest {
		return exchange.ErrMutation
	}
	if share.State == Deleted {
		return exchange.ErrDeleted
	}
	locate(w, s.Task, dap.AggregateSharePath(share.Task, share.ID))
	exchange.Send(w, http.StatusOK, dap.TypeAggregateShare, share.Response)
	return nil
}

// share returns the share that a request names.
func (h *Helper) share(r *http.Request, s *tasks.Serving) (*Share, error) {
	id, err := dap.ParseAggregateShareID(r.PathValue("id"))
	if err != nil {
		return nil, errNoShare
	}
	share, err := h.config.Store.Share(r.Context(), s.Task.ID(), id)
	if errors.Is(err, ErrNone) {
		return nil, errNoShare
	}
	if err != nil {
		return nil, fmt.Errorf("looking for aggregate share %v: %w", id, err)
	}
	return share, nil
}

// getShare gives out a share again.
func (h *Helper) getShare(w http.ResponseWriter, r *http.Request, s *tasks.Serving) error {
	share, err := h.share(r, s)
	if err != nil {
		return err
	}
	return h.repeatShare(w, s, share.Digest, share)
}

// deleteShare forgets a share, but not that its batch was collected (section
// "Aggregate Share Deletion").
func (h *Helper) deleteShare(w http.ResponseWriter, r *http.Request, s *tasks.Serving) error {
	share, err := h.share(r, s)
	if err != nil {
		return err
	}
	err = h.config.Store.DeleteShare(r.Context(), share.Task, share.ID, h.now())
	if errors.Is(err, ErrNone) {
		return errNoShare
	}
	if err != nil {
		return fmt.Errorf("deleting aggregate share %v: %w", share.ID, err)
	}
	exchange.Done(w)
	return nil
}
