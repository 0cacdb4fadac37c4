package main

import (
	"context"
	"fmt"
	"time"

	"github.com/shoal-project/shoal/internal/server"
)

// doctorCmd looks for what would keep an organisation from working.
type doctorCmd struct {
	configFlag
	Acknowledge bool          `help:"First acknowledge, and print, all losses that are known: the server is ready again, until it finds others."`
	Discard     bool          `name:"discard-orphans" help:"First destroy, and print, the reports that nothing knows any more. No server must run."`
	Wait        time.Duration `placeholder:"TIME" help:"First wait so long for the organisation's server to answer, such as 10s."`
}

// Run prints the findings; a failure among them is an error.
func (c *doctorCmd) Run(e *env) error {
	config, err := c.load()
	if err != nil {
		return err
	}
	if c.Wait > 0 {
		ctx, cancel := context.WithTimeout(e.ctx, c.Wait)
		defer cancel()
		if err := server.Await(ctx, config, server.Options{}); err != nil {
			return err
		}
	}
	if c.Discard {
		all, err := server.DiscardOrphans(e.ctx, config, server.Options{Clock: e.clock})
		for _, l := range all {
			fmt.Fprintf(e.stdout, "discarded: %s\n", l)
		}
		if err != nil {
			return setup(err)
		}
		if len(all) == 0 {
			fmt.Fprintln(e.stdout, "There is no orphan to discard.")
		}
	}
	if c.Acknowledge {
		all, err := server.Acknowledge(config, e.clock.Now())
		if err != nil {
			return setup(err)
		}
		for _, l := range all {
			fmt.Fprintf(e.stdout, "acknowledged: %s\n", l)
		}
		if len(all) == 0 {
			fmt.Fprintln(e.stdout, "There is no loss to acknowledge.")
		}
	}
	failures := 0
	for _, f := range server.Doctor(e.ctx, config, server.Options{Clock: e.clock}) {
		fmt.Fprintf(e.stdout, "%-8s %s: %s\n", f.Level, f.Check, f.Detail)
		if f.Level == server.Failure {
			failures++
		}
	}
	if failures == 1 {
		return setup(fmt.Errorf("doctor: 1 check failed"))
	}
	if failures > 1 {
		return setup(fmt.Errorf("doctor: %d checks failed", failures))
	}
	return nil
}
