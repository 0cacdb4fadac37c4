package tasks

import (
	"context"
	"fmt"
)

// gatewayName is the name of the keys of the gateway for relays, which all servers of an
// organisation share.
const gatewayName = "gateway keys"

// secretNames are the names of all secrets of an aggregator.
func secretNames() []string { return []string{ringName, resourceName, gatewayName} }

// GatewayKeys returns what [Registry.PutGatewayKeys] stored last, by whichever process, and
// its revision; nil and 0 if nothing was stored. The caller clears it.
func (r *Registry) GatewayKeys(ctx context.Context) ([]byte, uint64, error) {
	stored, err := r.store.Secret(ctx, gatewayName)
	if err != nil {
		return nil, 0, fmt.Errorf("reading the %s: %w", gatewayName, err)
	}
	if stored.Revision == 0 {
		return nil, 0, nil
	}
	plain, err := r.config.Keys.Open(stored.Sealed, secretKind, []byte(gatewayName))
	if err != nil {
		return nil, 0, fmt.Errorf("reading the %s: %w", gatewayName, err)
	}
	return plain, stored.Revision, nil
}

// PutGatewayKeys stores the keys of the gateway, sealed, in place of those of a revision, 0
// for none, and returns the new revision. It fails with [ErrConflict] if another process has
// changed them. After another error they are stored or not: read them again.
func (r *Registry) PutGatewayKeys(ctx context.Context, revision uint64, plain []byte) (uint64, error) {
	next, err := r.store.PutSecret(ctx, gatewayName, revision, r.config.Keys.Seal(plain, secretKind, []byte(gatewayName)))
	if err != nil {
		return 0, fmt.Errorf("storing the %s: %w", gatewayName, err)
	}
	return next, nil
}
