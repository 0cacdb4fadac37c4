package interop

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/atrest"
	"github.com/shoal-project/shoal/internal/dap/auth"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/dap/helper"
	"github.com/shoal-project/shoal/internal/dap/leader"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/dap/tasks"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/vdaf"
)

// LeaderStore is all that a leader stores.
type LeaderStore interface {
	leader.Store
	tasks.Store
}

// HelperStore is all that a helper stores.
type HelperStore interface {
	helper.Store
	tasks.Store
}

// Stores are where an aggregator keeps its state. Leader and helper have one each,
// because the test API decides with each task which part the aggregator plays.
type Stores struct {
	Leader LeaderStore
	Helper HelperStore
}

// An Aggregator plays leader or helper, task by task.
type Aggregator struct {
	variant        *dap.Variant
	leader         *leader.Leader
	helper         *helper.Helper
	leaderRegistry *tasks.Registry
	helperRegistry *tasks.Registry
}

// NewAggregator returns an aggregator with its files under dir. Run and Close it.
// The keys that seal what it stores last as long as the process.
func NewAggregator(ctx context.Context, v *dap.Variant, stores Stores, dir string, async bool) (*Aggregator, error) {
	a := &Aggregator{variant: v}
	ledgers := func(role dap.Role, store ledger.Store, taskStore tasks.Store) (*tasks.Registry, *ledger.Ledgers, error) {
		key, err := atrest.GenerateKey(rand.Reader)
		if err != nil {
			return nil, nil, err
		}
		keys, err := atrest.New(key)
		if err != nil {
			return nil, nil, err
		}
		r, err := tasks.Open(ctx, taskStore, tasks.Config{Role: role, Keys: keys, Clock: clock.System(), Rand: rand.Reader})
		if err != nil {
			return nil, nil, err
		}
		b, err := ledger.New(store, ledger.Config{Keys: keys, Clock: clock.System(), Rand: rand.Reader})
		return r, b, err
	}
	var b *ledger.Ledgers
	var err error
	if a.leaderRegistry, b, err = ledgers(dap.Leader, stores.Leader, stores.Leader); err != nil {
		return nil, fmt.Errorf("starting leader: %w", err)
	}
	a.leader, err = leader.New(ctx, leader.Config{
		Store: stores.Leader, Ledgers: b, Registry: a.leaderRegistry, FS: durable.OS(), Dir: filepath.Join(dir, "reports"),
		LogAge: time.Second, FirstPause: 200 * time.Millisecond, LongPause: 2 * time.Second,
	})
	if err != nil {
		return nil, err
	}
	if a.helperRegistry, b, err = ledgers(dap.Helper, stores.Helper, stores.Helper); err != nil {
		return nil, errors.Join(fmt.Errorf("starting helper: %w", err), a.leader.Close()) //nolint:contextcheck // Close has no context: the claim is given up after that of the process has ended
	}
	a.helper, err = helper.New(helper.Config{Store: stores.Helper, Registry: a.helperRegistry, Ledgers: b, Async: async, Poll: time.Second})
	if err != nil {
		return nil, errors.Join(err, a.leader.Close()) //nolint:contextcheck // Close has no context: the claim is given up after that of the process has ended
	}
	return a, nil
}

// Keyring returns the HPKE keys of the leader or the helper.
func (a *Aggregator) Keyring(role dap.Role) *dapkey.Ring {
	if role == dap.Leader {
		return a.leaderRegistry.Keyring()
	}
	return a.helperRegistry.Keyring()
}

// Run works until ctx is done, and passes failures to failed.
func (a *Aggregator) Run(ctx context.Context, failed func(error)) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.leader.Run(ctx, failed) })
	g.Go(func() error { return a.helper.Run(ctx) })
	return g.Wait()
}

// Close releases what the aggregator has open.
func (a *Aggregator) Close() error { return a.leader.Close() }

// Endpoints under which leader and helper are served.
const (
	leaderEndpoint = "/leader/"
	helperEndpoint = "/helper/"
)

// Handler serves the test API, and DAP under the endpoints that it announces.
func (a *Aggregator) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /internal/test/ready", ready)
	mux.HandleFunc("POST /internal/test/endpoint_for_task", serve(a.endpoint))
	mux.HandleFunc("POST /internal/test/add_task", serve(a.addTask))
	mux.Handle(leaderEndpoint, http.StripPrefix("/leader", a.leader.Handler()))
	mux.Handle(helperEndpoint, http.StripPrefix("/helper", a.helper.Handler()))
	return mux
}

type endpointRequest struct {
	Role string `json:"role"`
}

func (a *Aggregator) endpoint(_ *http.Request, in endpointRequest) (any, error) {
	at, ok := map[string]string{"leader": leaderEndpoint, "helper": helperEndpoint}[in.Role]
	if !ok {
		return nil, fmt.Errorf("role %q, want leader or helper", in.Role)
	}
	return map[string]string{"status": "success", "endpoint": at}, nil
}

type aggregatorTask struct {
	taskObject
	Role           string `json:"role"`
	LeaderToken    string `json:"leader_authentication_token"`
	CollectorToken string `json:"collector_authentication_token"`
	VerifyKey      blob   `json:"vdaf_verify_key"`
	Collector      blob   `json:"collector_hpke_config"`
}

func (a *Aggregator) addTask(r *http.Request, in aggregatorTask) (any, error) {
	t, _, err := in.task(a.variant)
	if err != nil {
		return nil, err
	}
	if len(in.VerifyKey) != len(vdaf.VerifyKey{}) {
		return nil, fmt.Errorf("vdaf_verify_key of %d bytes, want %d", len(in.VerifyKey), len(vdaf.VerifyKey{}))
	}
	var collector dap.HpkeConfig
	if err := dap.NewCodec(a.variant).Decode(&collector, in.Collector); err != nil {
		return nil, fmt.Errorf("collector_hpke_config: %w", err)
	}
	peer, err := auth.ParseToken(in.LeaderToken)
	if err != nil {
		return nil, fmt.Errorf("leader_authentication_token: %w", err)
	}
	e := tasks.Entry{
		ID: t.ID(), Variant: a.variant.String(), Config: t.Bytes(),
		VerifyKeys: map[dap.VerificationKeyID]vdaf.VerifyKey{0: vdaf.VerifyKey(in.VerifyKey)}, Collector: collector, Leeway: time.Minute,
	}
	switch in.Role {
	case "leader":
		token, err := auth.ParseToken(in.CollectorToken)
		if err != nil {
			return nil, fmt.Errorf("collector_authentication_token: %w", err)
		}
		e.Role, e.Outbound, e.OutboundHeader, e.CollectorTokens = dap.Leader, peer, auth.Header, []auth.Hash{token.Hash()}
		err = a.leaderRegistry.Add(r.Context(), e)
		return success(), err
	case "helper":
		e.Role, e.Inbound = dap.Helper, []auth.Hash{peer.Hash()}
		err = a.helperRegistry.Add(r.Context(), e)
		return success(), err
	}
	return nil, fmt.Errorf("role %q, want leader or helper", in.Role)
}
