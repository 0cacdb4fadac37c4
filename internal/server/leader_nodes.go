package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shoal-project/shoal/internal/dap/leader"
	"github.com/shoal-project/shoal/metric/task"
)

// errNoLeader is returned if an organisation does not play the leader's part.
var errNoLeader = errors.New("this organisation is no leader: its roles do not name leader")

// withLeaderStore calls do with the store of the configured leader, beside the
// servers that use it. It does not make one.
func withLeaderStore(ctx context.Context, c Config, do func(leader.Store) error) error {
	if !c.Has(task.Leader) {
		return errNoLeader
	}
	if c.Aggregates.Postgres == "" {
		if there, err := hasStore(c.aggregatorStore(task.Leader)); err != nil {
			return err
		} else if !there {
			return fmt.Errorf("the leader has no store yet: %s is missing", c.aggregatorStore(task.Leader))
		}
	}
	store, err := openLeaderStore(ctx, c)
	if err != nil {
		return err
	}
	return errors.Join(do(store), store.Close())
}

// LeaderNodes returns the servers that share the leader's store, and what was given
// up with those that were dropped.
func LeaderNodes(ctx context.Context, c Config) (nodes []leader.Claim, drops []leader.Dropped, err error) {
	err = withLeaderStore(ctx, c, func(s leader.Store) error {
		var err error
		if nodes, err = s.Nodes(ctx); err != nil {
			return err
		}
		drops, err = s.Drops(ctx)
		return err
	})
	return nodes, drops, err
}

// DropLeaderNode gives up the reports that only one of the leader's servers could
// aggregate. It fails with [leader.ErrHeld] while that holds its lease.
func DropLeaderNode(ctx context.Context, c Config, node string, now time.Time) (leader.Dropped, error) {
	var d leader.Dropped
	err := withLeaderStore(ctx, c, func(s leader.Store) error {
		nodes, err := s.Nodes(ctx)
		if err != nil {
			return err
		}
		names := make([]string, len(nodes))
		for i, n := range nodes {
			names[i] = n.Node
		}
		if !slices.Contains(names, node) {
			return fmt.Errorf("there is no node %q: the store knows %s", node, strings.Join(names, ", "))
		}
		d, err = s.DropNode(ctx, node, now)
		return err
	})
	return d, err
}
