package client

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/keyring"
)

const (
	maxConfigs     = 1 << 17          // bytes of a list of HPKE configurations
	defaultLife    = time.Hour        // of a cached list whose answer has no max-age
	longestLife    = 24 * time.Hour   // at most, regardless of the answer
	requestTimeout = 60 * time.Second // with one request
)

// A Source is an aggregator as clients know it.
type Source struct {
	Endpoint string
	Role     dap.Role
	Identity ed25519.PublicKey // by which its keys are signed; nil: any answer is accepted
}

// A KeyCache fetches the HPKE configurations of aggregators and keeps them for the
// lifetime that the answers give. Many tasks may share one. It is safe for
// concurrent use.
type KeyCache struct {
	http  *http.Client
	cache *keyring.Cache[dap.HpkeConfig]
}

// NewKeyCache returns an empty cache; rt nil means [Transport], c nil the
// machine's clock.
func NewKeyCache(rt http.RoundTripper, c Clock) *KeyCache {
	if c == nil {
		c = clock.System()
	}
	return &KeyCache{http: httpClient(rt), cache: keyring.NewCache[dap.HpkeConfig](c, requestTimeout, 0)}
}

func (s *Source) key() string { return fmt.Sprint(s.Role, " ", s.Endpoint, " ", string(s.Identity)) }

// Get returns the configuration to seal to (section "HPKE Configuration
// Request"), from the cache if it is still good. It fails with
// [dap.ErrKeySignature] on a list that the identity of s has not signed, and with
// [dap.ErrUnsupported] if no configuration is supported here.
func (k *KeyCache) Get(ctx context.Context, s Source) (dap.HpkeConfig, error) {
	config, err := k.cache.Get(ctx, s.key(), func(ctx context.Context, now time.Time) (keyring.Announcement[dap.HpkeConfig], error) {
		config, until, err := k.fetch(ctx, s, now)
		return keyring.Announcement[dap.HpkeConfig]{Value: config, Fresh: until}, err
	})
	if err != nil {
		return dap.HpkeConfig{}, fmt.Errorf("keys of the %v %s: %w", s.Role, s.Endpoint, err)
	}
	return config, nil
}

// Forget drops the cached keys of an aggregator, so that the next Get fetches them again.
func (k *KeyCache) Forget(s Source) { k.cache.Forget(s.key()) }

func (k *KeyCache) fetch(ctx context.Context, s Source, now time.Time) (dap.HpkeConfig, time.Time, error) {
	req, err := newRequest(ctx, http.MethodGet, dap.Resolve(s.Endpoint, dap.HpkeConfigPath), nil)
	if err != nil {
		return dap.HpkeConfig{}, time.Time{}, err
	}
	resp, err := k.http.Do(req)
	if err != nil {
		return dap.HpkeConfig{}, time.Time{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return dap.HpkeConfig{}, time.Time{}, answerOf(resp, now)
	}
	if kind, err := dap.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || kind != dap.TypeHpkeConfigList {
		return dap.HpkeConfig{}, time.Time{}, fmt.Errorf("the answer is not a list of HPKE configurations")
	}
	body, err := keyring.ReadBody(resp, maxConfigs)
	if err != nil {
		return dap.HpkeConfig{}, time.Time{}, err
	}
	until := now.Add(life(resp.Header))
	if s.Identity != nil {
		signed, err := dap.CheckConfigs(s.Identity, s.Role, body, resp.Header.Get(dap.KeySignatureHeader), now)
		if err != nil {
			return dap.HpkeConfig{}, time.Time{}, err
		}
		if signed.Before(until) {
			until = signed
		}
	}
	var list dap.HpkeConfigList
	if err := dap.NewCodec(dap.DAP18()).Decode(&list, body); err != nil { // the same in all variants
		return dap.HpkeConfig{}, time.Time{}, err
	}
	config, err := list.Choose()
	return config, until, err
}

// life returns for how long an answer may be kept (RFC 9111).
func life(h http.Header) time.Duration {
	d := defaultLife
	for _, line := range h.Values("Cache-Control") {
		for part := range strings.SplitSeq(line, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
			switch strings.ToLower(name) {
			case "no-store", "no-cache":
				return 0
			case "max-age":
				seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31)
				if err == nil {
					d = min(time.Duration(seconds)*time.Second, longestLife)
				}
			}
		}
	}
	return d
}
