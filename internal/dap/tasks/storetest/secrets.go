package storetest

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/atrest"
	"github.com/shoal-project/shoal/internal/dap/auth"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/dap/tasks"
	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/vdaf"
)

// Secrets opens a registry of one task over a store and returns the secrets that it
// has put there, by name, in the forms in which they could be in a file: the
// caller looks for them where the store keeps its bytes.
func Secrets(ctx context.Context, s tasks.Store, role dap.Role, keys *atrest.Keys, c clock.Clock, rand io.Reader) (map[string][]byte, error) {
	r, err := tasks.Open(ctx, s, tasks.Config{Role: role, Keys: keys, Clock: c, Rand: rand})
	if err != nil {
		return nil, err
	}
	verify := vdaf.VerifyKey(bytes.Repeat([]byte("verify key! "), 3))
	token, err := auth.NewToken(rand)
	if err != nil {
		return nil, err
	}
	e, err := entry(role, verify, token, rand)
	if err != nil {
		return nil, err
	}
	if err := r.Add(ctx, *e); err != nil {
		return nil, err
	}
	held := r.Keyring().Keys()
	if len(held) == 0 {
		return nil, errors.New("the registry has no HPKE key")
	}
	text, err := held[0].Key.Text()
	if err != nil {
		return nil, err
	}
	encoded, err := base64.RawURLEncoding.DecodeString(text[len("shoal-hpke-key:"):])
	if err != nil {
		return nil, fmt.Errorf("text of an HPKE key: %w", err)
	}
	return map[string][]byte{
		"verification key":            verify[:24],
		"verification key in base64":  []byte(base64.StdEncoding.EncodeToString(verify[:24])),
		"token":                       []byte(token.Reveal()),
		"HPKE key":                    encoded[len(encoded)-36 : len(encoded)-4],
		"HPKE key as text":            []byte(text[len(text)-40:]),
		"resource key":                bytes.Clone(r.ResourceKey()[:]),
		"configuration of the task":   []byte("leader.example"),
		"configuration, as in a JSON": []byte(base64.StdEncoding.EncodeToString(e.Config)[8:48]),
	}, nil
}

// entry returns an entry of a task of counts.
func entry(role dap.Role, verify vdaf.VerifyKey, token auth.Token, rand io.Reader) (*tasks.Entry, error) {
	count, err := vdaf.Count()
	if err != nil {
		return nil, err
	}
	config := dap.TaskConfiguration{
		TaskInfo: []byte("secrets"), Leader: "https://leader.example/", Helper: "https://helper.example/",
		TimePrecision: 3600, MinBatchSize: 10, BatchMode: dap.TimeIntervalMode,
	}
	if err := config.SetVDAF(count); err != nil {
		return nil, err
	}
	encoded, err := dap.NewCodec(dap.DAP18()).Encode(&config)
	if err != nil {
		return nil, err
	}
	collector, err := dapkey.Generate(1, hpke.X25519, rand)
	if err != nil {
		return nil, err
	}
	e := &tasks.Entry{
		ID: dap.TaskprovID(encoded), Variant: "dap-18", Config: encoded, Role: role,
		VerifyKeys: map[dap.VerificationKeyID]vdaf.VerifyKey{0: verify}, Collector: collector.Config(), Leeway: time.Minute,
	}
	if role == dap.Helper {
		e.Inbound = []auth.Hash{token.Hash()}
		return e, nil
	}
	e.Outbound, e.CollectorTokens = token, []auth.Hash{{1}}
	return e, nil
}
