package main

import (
	"fmt"

	"github.com/shoal-project/shoal/internal/server"
)

// leaderDropNodeCmd gives up what a lost server has.
type leaderDropNodeCmd struct {
	configFlag
	Name string `arg:"" help:"The server's aggregates.node."`
}

// Help is printed by "shoal leader drop-node --help".
func (*leaderDropNodeCmd) Help() string {
	return `A server of a leader keeps reports in its own data folder until they are
aggregated, and collections wait for them. If the folder is lost, this command
gives up the server's reports that were not aggregated, so that collections go on
without them. They are counted in shoal_reports_dropped.

It is refused while the server holds the lease on its name: stop the server first,
or wait until the lease lapses, five minutes after its last sign of life. A server
of that name that runs all the same does not take or change anything afterwards.

If the helper has counted reports of the server in a job that had not ended, the two
sides differ in the batches of these reports, and their collection fails with
batchMismatch.

Example:
  shoal leader drop-node leader-2`
}

// Run gives the reports up.
func (c *leaderDropNodeCmd) Run(e *env) error {
	config, err := c.load()
	if err != nil {
		return err
	}
	d, err := server.DropLeaderNode(e.ctx, config, c.Name, e.clock.Now())
	if err != nil {
		return err
	}
	newLogger(e.stderr, config.Log).Warn("reports of a node were given up", "node", d.Node, "logs", d.Logs, "open_logs", d.Open, "reports", d.Reports)
	fmt.Fprintf(e.stdout, "%s: gave up %d reports, and all that was in %d open logs\n", d.Node, d.Reports, d.Open)
	return nil
}
