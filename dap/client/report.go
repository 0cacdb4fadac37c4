package client

import (
	"fmt"
	"io"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/metric/kind"
	"github.com/shoal-project/shoal/vdaf"
)

// A Measurement is a value that knows how to become shares.
type Measurement interface {
	// Shard is [vdaf.Prio3.Shard] of the value, for the VDAF of the task.
	Shard(rand io.Reader, ctx []byte, nonce vdaf.Nonce) (*vdaf.Sharded, error)
}

// Of returns the measurement m of an instance.
func Of[M, R any](p *vdaf.Prio3[M, R], m M) Measurement { return measured[M, R]{p, m} }

type measured[M, R any] struct {
	p *vdaf.Prio3[M, R]
	m M
}

func (m measured[M, R]) Shard(rand io.Reader, ctx []byte, nonce vdaf.Nonce) (*vdaf.Sharded, error) {
	return m.p.Shard(rand, ctx, nonce, m.m)
}

// Format hides the value under every verb.
func (m measured[M, R]) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "client.Measurement(redacted)")
}

// Keys are what the two shares of a report are sealed to.
type Keys struct{ Leader, Helper dap.HpkeConfig }

// NewReportID draws an ID from rand.
func NewReportID(rand io.Reader) (dap.ReportID, error) {
	var id dap.ReportID
	if _, err := io.ReadFull(rand, id[:]); err != nil {
		return id, fmt.Errorf("drawing a report ID: %w", err)
	}
	return id, nil
}

// Make makes a report (section "Client Behavior"). rand is used for the shares
// alone; seals always take their randomness from crypto/rand. It fails if the
// measurement is not one of the task's VDAF, on keys that are not supported, and
// where rand fails.
func Make(t *dap.Task, m Measurement, keys Keys, id dap.ReportID, at dap.Time, rand io.Reader) (*dap.Report, error) {
	return MakeShowing(t, m, keys, id, at, rand, nil)
}

// A Show returns the private extensions of the share for an aggregator, which depend on the
// rest of it.
type Show func(to dap.Role, share *dap.Opened) (dap.Extensions, error)

// MakeShowing is [Make] with private extensions in both shares. With show nil there are none.
func MakeShowing(t *dap.Task, m Measurement, keys Keys, id dap.ReportID, at dap.Time, rand io.Reader, show Show) (*dap.Report, error) {
	shares, err := m.Shard(rand, t.Context(), vdaf.Nonce(id))
	if err != nil {
		return nil, fmt.Errorf("making a report: %w", err)
	}
	size := t.Instance().Sizes()
	if len(shares.InputShares) != 2 || len(shares.InputShares[0]) != size.LeaderShare || len(shares.InputShares[1]) != size.HelperShare || len(shares.PublicShare) != size.PublicShare {
		return nil, fmt.Errorf("making a report: the measurement is not one of %s", t.Instance().Name())
	}
	r := &dap.Report{Metadata: dap.ReportMetadata{ID: id, Time: at}, PublicShare: shares.PublicShare}
	plain := [2]*dap.PlaintextInputShare{{Payload: shares.InputShares[0]}, {Payload: shares.InputShares[1]}}
	for i, to := range [2]dap.Role{dap.Leader, dap.Helper} {
		if show == nil {
			break
		}
		share := dap.Opened{Metadata: &r.Metadata, PublicShare: r.PublicShare, Payload: plain[i].Payload}
		if plain[i].PrivateExtensions, err = show(to, &share); err != nil {
			return nil, fmt.Errorf("making a report: %w", err)
		}
	}
	sealed, err := t.SealInputShares([2]dap.HpkeConfig{keys.Leader, keys.Helper}, &r.Metadata, r.PublicShare, plain)
	if err != nil {
		return nil, fmt.Errorf("making a report: %w", err)
	}
	r.LeaderShare, r.HelperShare = sealed[0], sealed[1]
	return r, nil
}

// Encode returns the body of the request that uploads reports.
func Encode(t *dap.Task, reports ...*dap.Report) ([]byte, error) {
	var m dap.UploadRequest
	for _, r := range reports {
		m.Reports = append(m.Reports, *r)
	}
	return t.Codec().Encode(&m)
}

// Size returns how many bytes a report of the task has, without HTTP and TLS,
// when it is sealed to keys of X25519.
func Size(t *dap.Task) int { return kind.ReportSize(t.Instance()) }
