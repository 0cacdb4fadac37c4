package shuffler

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/esa/hop"
	"github.com/shoal-project/shoal/metric/task"
)

// getKeys serves the shuffler's own key config.
func (s *Shuffler) getKeys(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	config := s.keys.Config
	s.mu.Unlock()
	hop.ServeKeys(w, hop.KeyConfigType, config)
}

// getTaskKeys serves what a client needs to seal a report: the key config of
// each hop, in order. The shuffler passes on what the later hops have signed;
// it cannot put in keys of its own.
func (s *Shuffler) getTaskKeys(w http.ResponseWriter, r *http.Request) {
	h := s.hosted(r)
	if h == nil || h.hop != 0 {
		hop.UnknownTask.Write(w)
		return
	}
	s.mu.Lock()
	list := task.KeyConfigList{s.keys.Config}
	s.mu.Unlock()
	for _, p := range h.task.Hops[1:] {
		config, err := s.peers.keys(r.Context(), p)
		if err != nil {
			hop.Unavailable.Write(w)
			return
		}
		list = append(list, config)
	}
	body, err := list.Encode()
	if err != nil {
		hop.Unavailable.Write(w)
		return
	}
	hop.ServeKeys(w, KeysType, body)
}

const (
	keysTimeout = 10 * time.Second
	keysFresh   = hop.KeysMaxAge // for which a fetched key config is not fetched again
	keysPause   = 10 * time.Second
)

// peers fetches and keeps the key configs of other hops.
type peers struct {
	client  *http.Client
	clock   clock.Clock
	fetches singleflight.Group // many requests cause one fetch

	mu    sync.Mutex
	known map[string]peer
}

// A peer is what one other hop has announced.
type peer struct {
	signed   []byte
	notAfter int64
	refresh  time.Time // when to fetch again
}

// newPeers returns peers that are reached by a copy of the client that follows
// no redirect: a report's way is the one that its task names.
func newPeers(client *http.Client, c clock.Clock) *peers {
	direct := http.Client{}
	if client != nil {
		direct = *client
	}
	direct.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	direct.Jar = nil
	return &peers{client: &direct, clock: c, known: map[string]peer{}}
}

// keys returns the signed key config of a party. When the party cannot be
// reached, the last one serves as long as it is valid.
func (ps *peers) keys(ctx context.Context, p task.Party) ([]byte, error) {
	name := fmt.Sprintf("%s %v %x", p.URL, p.Role, p.Identity)
	now := ps.clock.Now()
	ps.mu.Lock()
	known := ps.known[name]
	ps.mu.Unlock()
	valid := known.signed != nil && now.Unix() <= known.notAfter
	if valid && known.refresh.After(now) {
		return known.signed, nil
	}
	fetched, err, _ := ps.fetches.Do(name, func() (any, error) {
		// One sender's patience must not decide about what all of them get.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keysTimeout)
		defer cancel()
		return ps.refresh(ctx, p, now)
	})
	if err != nil && !valid {
		return nil, fmt.Errorf("fetching the keys of the %v: %w", p.Role, err)
	}
	if err != nil {
		known.refresh = now.Add(keysPause)
	} else {
		known = fetched.(peer)
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.known[name] = known
	return known.signed, nil
}

// refresh fetches a party's key config and checks that it is the party's.
func (ps *peers) refresh(ctx context.Context, p task.Party, now time.Time) (peer, error) {
	signed, err := ps.fetch(ctx, p)
	if err != nil {
		return peer{}, err
	}
	config, err := task.OpenKeyConfig(signed, p.Identity, p.Role, now)
	if err != nil {
		return peer{}, err
	}
	return peer{signed, config.NotAfter, now.Add(keysFresh)}, nil
}

func (ps *peers) fetch(ctx context.Context, p task.Party) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+"/keys/"+p.Role.String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := ps.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("HTTP %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, hop.MaxKeyConfig+1))
	if err != nil {
		return nil, err
	}
	if len(body) > hop.MaxKeyConfig {
		return nil, errors.New("key config is too long")
	}
	return body, nil
}
