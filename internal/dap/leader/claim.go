package leader

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoal-project/shoal/internal/durable"
)

// renewals is how often a claim is renewed before its lease would lapse.
const renewals = 5

// diskFile names the folder of a node's logs.
const diskFile = "disk"

// claimed is the claim of this process on its node's name.
type claimed struct {
	claim Claim // Until is not kept up to date
	held  atomic.Pointer[time.Time]
	lost  atomic.Pointer[error] // set once

	renewing sync.Mutex
	retry    time.Time // when a renewal that failed is tried again; guarded by renewing
	err      error     // of the last renewal; guarded by renewing
}

// diskID returns the name of the folder, which it creates if the folder has no
// name. A copy of the folder has another name: it must not take the original's
// place.
func (l *Leader) diskID() (string, error) {
	name := filepath.Join(l.config.Dir, diskFile)
	b, err := durable.ReadFile(l.config.FS, name)
	if errors.Is(err, fs.ErrNotExist) {
		var raw [16]byte
		if _, err := io.ReadFull(l.config.Rand, raw[:]); err != nil {
			return "", err
		}
		b = []byte(hex.EncodeToString(raw[:]) + "\n")
		err = durable.WriteFile(l.config.FS, name, b, 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("naming the folder: %w", err)
	}
	id := strings.TrimSpace(string(b))
	if raw, err := hex.DecodeString(id); err != nil || len(raw) != 16 {
		return "", fmt.Errorf("reading %s: want 32 hexadecimal digits, have %d bytes of another form: delete the file", name, len(b))
	}
	info, err := l.config.FS.Stat(name)
	if err != nil {
		return "", fmt.Errorf("naming the folder: %w", err)
	}
	return id + place(info), nil
}

// claim takes the node's name. From then on the store is that of the claim.
func (l *Leader) claim(ctx context.Context) error {
	disk, err := l.diskID()
	if err != nil {
		return err
	}
	begun := l.config.Clock.Now()
	claim, err := l.config.Store.Claim(ctx, Claim{Node: l.config.Node, Disk: disk, Until: l.leaseEnd(begun)}, begun.Truncate(time.Second))
	if err != nil {
		return err
	}
	l.claimed.claim = claim
	l.hold(begun)
	l.config.Store = l.config.Store.As(claim)
	return nil
}

// leaseEnd is when a lease that is taken now lapses, for the store.
func (l *Leader) leaseEnd(now time.Time) time.Time {
	return now.Add(l.config.ClaimTime).Truncate(time.Second)
}

// hold notes that the store has a lease that was asked for at a time. It is
// believed for a second less, since the store counts in seconds, and by the
// monotonic clock: the wall clock may be set.
func (l *Leader) hold(asked time.Time) {
	until := asked.Add(l.config.ClaimTime - time.Second)
	l.claimed.held.Store(&until)
}

// keepClaim makes the claim last longer, if a fifth of its time has passed.
func (l *Leader) keepClaim(ctx context.Context) error {
	if l.fenced() != nil || l.config.Clock.Now().Before(l.renewDue()) {
		return nil
	}
	l.claimed.renewing.Lock()
	defer l.claimed.renewing.Unlock()
	return l.renewNow(ctx)
}

// renewNow renews the claim. The caller holds claimed.renewing.
func (l *Leader) renewNow(ctx context.Context) error {
	c := l.claimed.claim
	begun := l.config.Clock.Now()
	c.Until = l.leaseEnd(begun)
	err := l.config.Store.Renew(ctx, c)
	l.claimed.err = err
	if err != nil {
		l.claimed.retry = l.config.Clock.Now().Add(l.config.FirstPause)
		return l.lose(fmt.Errorf("renewing the claim on node %q: %w", c.Node, err))
	}
	l.hold(begun)
	return nil
}

// renewDue returns when the claim is to be renewed.
func (l *Leader) renewDue() time.Time {
	return l.claimed.held.Load().Add(-l.config.ClaimTime * (renewals - 1) / renewals)
}

// lose records an error that means that the claim is lost. It returns the error.
func (l *Leader) lose(err error) error {
	if errors.Is(err, ErrFenced) && l.claimed.lost.CompareAndSwap(nil, &err) {
		l.config.Failed(fmt.Errorf("node %q takes no more reports and works no more: restart it: %w", l.config.Node, err))
		l.announce()
	}
	return err
}

// fenced returns why this process may do nothing any more, nil if it may.
func (l *Leader) fenced() error {
	if err := l.claimed.lost.Load(); err != nil {
		return *err
	}
	return nil
}

// claimError returns why the claim is lost or could not be renewed the last time.
func (l *Leader) claimError() error {
	if err := l.fenced(); err != nil {
		return err
	}
	l.claimed.renewing.Lock()
	defer l.claimed.renewing.Unlock()
	return l.claimed.err
}

// mayAcknowledge fails unless the node's name is this process's at this moment:
// what another process or an operator could have given up must not be
// acknowledged. A lease that has lapsed, because the store was away or the
// machine asleep, is renewed first.
func (l *Leader) mayAcknowledge(ctx context.Context) error {
	if err := l.fenced(); err != nil {
		return err
	}
	if l.config.Clock.Now().Before(*l.claimed.held.Load()) {
		return nil
	}
	l.claimed.renewing.Lock()
	defer l.claimed.renewing.Unlock()
	now := l.config.Clock.Now()
	switch {
	case now.Before(*l.claimed.held.Load()): // another request has renewed it
		return nil
	case now.Before(l.claimed.retry):
		return l.claimed.err
	}
	// Not the request's time: the renewal is everybody's.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewTimeout)
	defer cancel()
	return l.renewNow(ctx)
}

// renewTimeout bounds how long requests wait for a renewal of the claim.
const renewTimeout = 10 * time.Second

// unclaim gives the name up, so that another process can have it at once.
func (l *Leader) unclaim() error {
	if l.claimed.claim.Token == 0 || l.fenced() != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), renewTimeout)
	defer cancel()
	c := l.claimed.claim
	c.Until = time.Time{}
	if err := l.config.Store.Renew(ctx, c); err != nil && !errors.Is(err, ErrFenced) {
		return fmt.Errorf("giving up the claim on node %q: %w", c.Node, err)
	}
	return nil
}
