package server

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/credential"
	"github.com/shoal-project/shoal/internal/dap/admission"
	"github.com/shoal-project/shoal/internal/dap/atrest"
	"github.com/shoal-project/shoal/internal/dap/tasks"
	"github.com/shoal-project/shoal/metric/task"
)

// admission returns how the reports of an entry are admitted: by presentations, if its
// task requires credentials.
func (a *aggregator) admission(e *tasks.Entry) (dap.Admission, [32]byte, error) {
	var none [32]byte
	if len(e.ShoalTask) == 0 {
		return nil, none, nil
	}
	t, err := task.Parse(e.ShoalTask) // its signature was checked when it came
	if err != nil || t.Protection.CredentialEpochs == 0 {
		return nil, none, err
	}
	issuer, err := a.startIssuer()
	if err != nil {
		return nil, none, err
	}
	x, err := admission.New(issuer, t, e.ID, a.role)
	if err != nil {
		return nil, none, err
	}
	return x, admission.List(t, a.role), nil
}

// startIssuer returns the issuer of the role, which it makes when it is first needed. An
// organisation without gates verifies what it has issued, and issues no more.
func (a *aggregator) startIssuer() (*credential.Issuer, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.issuer != nil {
		return a.issuer, nil
	}
	s := a.server
	gates, err := s.gateList()
	if err != nil {
		return nil, err
	}
	if len(gates) == 0 {
		gates = []credential.Gate{credential.Invitations(nil)}
	}
	c := credential.IssuerConfig{
		FS: s.o.FS, Dir: filepath.Join(s.config.Data, a.role.String(), "credentials"), Role: a.role, Party: s.identity.Public(),
		Gates: gates, Sign: s.announceCredential, Witnessed: s.witnessedCredential, Keep: s.config.Aggregates.Expiry.D() + expiryGrace, Clock: s.o.Clock, Rand: s.o.Rand,
	}
	if db, ok := a.store.(interface {
		Credentials(keys *atrest.Keys) credential.Store
	}); ok { // several servers issue and verify as one
		c.Store = db.Credentials(a.keys)
	}
	i, err := credential.NewIssuer(c)
	if err != nil {
		return nil, fmt.Errorf("%v: %w", a.role, err)
	}
	a.issuer = i
	s.states("credentials of the "+a.role.String(), issuerSlots{i})
	return i, nil
}

// issuing returns the issuer, nil before a task has required credentials.
func (a *aggregator) issuing() *credential.Issuer {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.issuer
}

// serveCredentials serves what clients ask the issuer for.
func (a *aggregator) serveCredentials(w http.ResponseWriter, r *http.Request) {
	i := a.issuing()
	if i == nil {
		problems.unknownTask.Write(w, 0)
		return
	}
	i.Handler().ServeHTTP(w, r)
}

// issuerHealth adds what the issuer has lost.
func (a *aggregator) issuerHealth(h *Health) {
	i := a.issuing()
	if i == nil {
		return
	}
	lost := i.Lost()
	if len(lost) > 0 {
		h.Reasons = append(h.Reasons, fmt.Sprintf(whyCredentials, len(lost), lost[0]))
	}
	h.figure("credential_periods_lost", float64(len(lost)))
}

// issuerEvery is how often keys of credentials that are over are destroyed.
const issuerEvery = time.Hour

func (a *aggregator) tickIssuer(context.Context) error {
	if i := a.issuing(); i != nil {
		return i.Tick()
	}
	return nil
}

func (a *aggregator) runIssuer(ctx context.Context, report func(error)) error {
	c := a.server.o.Clock
	return clock.Loop(ctx, c, nil, a.tickIssuer, func(error) time.Time { return c.Now().Add(issuerEvery) }, report)
}
