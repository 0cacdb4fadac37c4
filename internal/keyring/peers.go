package keyring

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/problem"
	"github.com/shoal-project/shoal/metric/task"
)

const (
	// MaxKeyConfig bounds the bytes of a signed key config that is accepted.
	MaxKeyConfig = 1 << 18
	// MaxAge is how long a key config that was served may be kept without asking again.
	MaxAge = 10 * time.Minute

	peerTimeout = 10 * time.Second
	peerPause   = 10 * time.Second
)

// A Signed is the key config of a party, with the bytes that it has signed.
type Signed struct {
	Config *task.KeyConfig
	Bytes  []byte
}

// Peers fetches and keeps the key configs that other parties serve at keys/ROLE. It is
// safe for concurrent use.
type Peers struct {
	client *http.Client
	cache  *Cache[Signed]
}

// NewPeers returns peers that are reached by a client that follows no redirect, see
// [Direct].
func NewPeers(direct *http.Client, c clock.Clock) *Peers {
	return &Peers{client: direct, cache: NewCache[Signed](c, peerTimeout, peerPause)}
}

// Direct returns a copy of a client that follows no redirect and keeps no cookies: a
// report's way is the one that its task names. nil is the zero client.
func Direct(client *http.Client) *http.Client {
	direct := http.Client{}
	if client != nil {
		direct = *client
	}
	direct.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	direct.Jar = nil
	return &direct
}

// ConfigType is the media type of one signed key config.
const ConfigType = "application/shoal-key-config;v=1"

// Serve answers with a key config, or a list of them, or with 503 without one.
func Serve(w http.ResponseWriter, mediaType string, body []byte) {
	if len(body) == 0 {
		problem.Problem{
			Status: http.StatusServiceUnavailable, Type: problem.Shoal("unavailable"),
			Title: "The server has no keys to announce now. Try again later.", Retry: 30 * time.Second,
		}.Write(w, 0)
		return
	}
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Cache-Control", fmt.Sprintf("max-age=%d", int(MaxAge.Seconds())))
	_, _ = w.Write(body) // the client has gone if this fails
}

// Get returns the key config of a party, which its identity has signed. When the party
// cannot be reached, the last one serves as long as it is valid.
func (ps *Peers) Get(ctx context.Context, p task.Party) (Signed, error) {
	name := fmt.Sprintf("%s %v %x", p.URL, p.Role, p.Identity)
	signed, err := ps.cache.Get(ctx, name, func(ctx context.Context, now time.Time) (Announcement[Signed], error) {
		return ps.fetch(ctx, p, now)
	})
	if err != nil {
		return Signed{}, fmt.Errorf("fetching the keys of the %v: %w", p.Role, err)
	}
	return signed, nil
}

// fetch fetches a party's key config and checks that it is the party's.
func (ps *Peers) fetch(ctx context.Context, p task.Party, now time.Time) (Announcement[Signed], error) {
	var none Announcement[Signed]
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+"/keys/"+p.Role.String(), nil)
	if err != nil {
		return none, err
	}
	resp, err := ps.client.Do(req)
	if err != nil {
		return none, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return none, fmt.Errorf("HTTP %d from %s", resp.StatusCode, p.URL)
	}
	body, err := ReadBody(resp, MaxKeyConfig)
	if err != nil {
		return none, err
	}
	config, err := task.OpenKeyConfig(body, p.Identity, p.Role, now)
	if err != nil {
		return none, err
	}
	until := time.Unix(config.NotAfter, 0).Add(time.Second) // the last one included
	fresh := now.Add(MaxAge)
	if until.Before(fresh) {
		fresh = until
	}
	return Announcement[Signed]{Value: Signed{config, body}, Fresh: fresh, Until: until}, nil
}
