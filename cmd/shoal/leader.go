package main

import (
	"fmt"
	"time"

	"github.com/shoal-project/shoal/internal/server"
)

// leaderCmd looks after the servers of a leader.
type leaderCmd struct {
	Nodes    leaderNodesCmd    `cmd:"" help:"List the nodes that share the leader's store."`
	DropNode leaderDropNodeCmd `cmd:"" help:"Drop a lost node, and the reports that only it has."`
}

type leaderNodesCmd struct {
	configFlag
}

// Run lists the nodes.
func (c *leaderNodesCmd) Run(e *env) error {
	config, err := c.load()
	if err != nil {
		return err
	}
	nodes, drops, err := server.LeaderNodes(e.ctx, config)
	if err != nil {
		return err
	}
	now := e.clock.Now()
	for _, n := range nodes {
		state := "stopped"
		switch {
		case n.Until.After(now):
			state = "leased until " + stamp(n.Until)
		case !n.Until.IsZero():
			state = "lapsed at " + stamp(n.Until)
		case n.Token == 0:
			state = "never leased"
		}
		fmt.Fprintf(e.stdout, "%s: %s\n", n.Node, state)
	}
	for _, d := range drops {
		fmt.Fprintf(e.stdout, "%s: dropped at %s, with %d reports in jobs and closed logs, and %d open logs\n", d.Node, stamp(d.At), d.Reports, d.Open)
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
