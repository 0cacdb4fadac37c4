package main

import (
	"fmt"

	"github.com/shoal-project/shoal/server"
)

// doctorCmd looks for what would keep an organisation from working.
type doctorCmd struct {
	configFlag
}

// Run prints the findings; a failure among them is an error.
func (c *doctorCmd) Run(e *env) error {
	config, err := c.load()
	if err != nil {
		return err
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
