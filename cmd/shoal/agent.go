package main

import (
	"errors"
	"io/fs"
	"log/slog"

	"github.com/shoal-project/shoal"
)

// agentCmd sends for programs that do not live long enough.
type agentCmd struct {
	outboxDir
}

// Run sends until it is stopped.
func (c *agentCmd) Run(e *env) error {
	log := slog.New(slog.NewTextHandler(e.stderr, nil))
	err := shoal.Agent(e.ctx, shoal.AgentOptions{Dir: c.Dir, Clock: e.clock, Report: func(p shoal.Pass, err error) {
		err = errors.Join(err, p.Err)
		switch {
		case err != nil:
			log.LogAttrs(e.ctx, slog.LevelWarn, "reports wait or were refused",
				slog.Int("sent", p.Sent), slog.Int("waiting", p.Waiting), slog.Int("refused", p.Refused), slog.Any("error", err))
		case p.Sent > 0:
			log.LogAttrs(e.ctx, slog.LevelInfo, "sent", slog.Int("reports", p.Sent))
		}
	}})
	if errors.Is(err, fs.ErrNotExist) {
		return setup(err)
	}
	return err
}
