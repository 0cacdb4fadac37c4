package postgres

import (
	"context"
	"fmt"
	"time"
)

// How long Claim waits for a process that has just died to be noticed.
const (
	claimWait  = 15 * time.Second
	claimEvery = 100 * time.Millisecond
)

// Claim takes a node's name for this process, until Close: two leaders of one
// name would each miss the uploads that the other has on its disk. It fails if
// another process has the name and does not go within some seconds. The claim is
// a lock of one connection: if the server drops that, it is gone without notice.
func (s *Leader) Claim(ctx context.Context, node string) error {
	ctx, cancel := context.WithTimeout(ctx, claimWait)
	defer cancel()
	c, err := s.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("claiming node %q: %w", node, err)
	}
	for taken := false; ; taken = true {
		var got bool
		err := c.QueryRow(ctx, `SELECT pg_try_advisory_lock(hashtextextended(current_schema() || ' ' || $1, $2))`, node, int64(migrationLock)).Scan(&got)
		if err == nil && got {
			s.claimed = c
			return nil
		}
		if err == nil {
			select {
			case <-time.After(claimEvery):
				continue
			case <-ctx.Done():
			}
		}
		c.Release()
		if taken || err == nil {
			return fmt.Errorf("claiming node %q: another process has this name: give each server that shares the database one of its own", node)
		}
		return fmt.Errorf("claiming node %q: %w", node, err)
	}
}
