package postgres

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shoal-project/shoal/internal/credential"
	"github.com/shoal-project/shoal/internal/dap/atrest"
	"github.com/shoal-project/shoal/internal/spent"
)

// credentialTimeout bounds a step of an issuer.
const credentialTimeout = 30 * time.Second

const credentialKind = "credential key"

// credentials is the store of an issuer whose processes share a schema.
type credentials struct {
	pool *database
	keys *atrest.Keys

	mu   sync.Mutex
	lost map[string]bool
}

// Credentials returns where the issuer of the role keeps its keys and lists: all processes
// with the schema issue and verify as one. Closing it closes nothing.
func (a *aggregator) Credentials(keys *atrest.Keys) credential.Store {
	return &credentials{pool: a.pool, keys: keys, lost: map[string]bool{}}
}

// step makes a step in a transaction. An issuer has no context of its own.
func (c *credentials) step(what, slot string, do func(context.Context, pgx.Tx) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), credentialTimeout)
	defer cancel()
	err := transact(ctx, c.pool, func(tx pgx.Tx) error { return do(ctx, tx) })
	if err != nil {
		return fmt.Errorf("%s %s: %w", what, slot, err)
	}
	return nil
}

// Key implements [credential.Store].
func (c *credentials) Key(slot string) (key []byte, err error) {
	err = c.step("reading the credential key", slot, func(ctx context.Context, tx pgx.Tx) error {
		key, err = c.read(ctx, tx, slot)
		return err
	})
	return key, err
}

func (c *credentials) read(ctx context.Context, tx pgx.Tx, slot string) ([]byte, error) {
	var sealed []byte
	err := tx.QueryRow(ctx, `SELECT sealed FROM dap_credential_keys WHERE slot = $1`, slot).Scan(&sealed)
	if isNoRows(err) {
		return nil, credential.ErrNoKey
	}
	if err != nil {
		return nil, err
	}
	key, err := c.keys.Open(sealed, credentialKind, []byte(slot))
	if err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.lost[slot] = true
		return nil, fmt.Errorf("%w: %w", credential.ErrLost, err)
	}
	return key, nil
}

// Create implements [credential.Store].
func (c *credentials) Create(slot string, key []byte, until int64) (had []byte, err error) {
	sealed := c.keys.Seal(key, credentialKind, []byte(slot))
	err = c.step("making the credential key", slot, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO dap_credential_keys (slot, until, sealed) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, slot, until, sealed); err != nil {
			return err
		}
		had, err = c.read(ctx, tx, slot)
		return err
	})
	return had, err
}

// Spend implements [credential.Store]: the insertion is the compare-and-swap.
func (c *credentials) Spend(slot string, r spent.Row) error {
	return c.step("noting a credential of", slot, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO dap_credentials (slot, tag, used) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, slot, r.Tag[:], r.On[:]); err != nil {
			return err
		}
		var used []byte
		if err := tx.QueryRow(ctx, `SELECT used FROM dap_credentials WHERE slot = $1 AND tag = $2`, slot, r.Tag[:]).Scan(&used); err != nil {
			return err
		}
		if !bytes.Equal(used, r.On[:]) {
			return spent.ErrSpent
		}
		return nil
	})
}

// Expire implements [credential.Store].
func (c *credentials) Expire(now int64) (gone []string, err error) {
	err = c.step("destroying keys of", "credentials", func(ctx context.Context, tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `DELETE FROM dap_credential_keys WHERE until <= $1 RETURNING slot`, now)
		if err != nil {
			return err
		}
		gone, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, slot := range gone {
		delete(c.lost, slot)
	}
	return gone, err
}

// Lost implements [credential.Store].
func (c *credentials) Lost() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.lost))
}

// Close implements [credential.Store].
func (*credentials) Close() error { return nil }
