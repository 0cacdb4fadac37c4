package main

import (
	"io"
	"log/slog"
	"net/http"

	"github.com/shoal-project/shoal/internal/console"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/internal/server"
)

// serveCmd runs an organisation.
type serveCmd struct {
	configFlag
	NewData      bool `help:"Start without stores and folders that the organisation has had and that are missing. What was in them is lost."`
	RetryBatches bool `help:"Try batches again that an analyzer has set aside because their processing failed too often."`
}

// Run serves until the process is stopped.
func (c *serveCmd) Run(e *env) error {
	config, err := c.load()
	if err != nil {
		return err
	}
	logger := newLogger(e.stderr, config.Log)
	s, err := server.New(e.ctx, config, server.Options{Clock: e.clock, Logger: logger, Console: newConsole(config, logger), NewData: c.NewData, RetryBatches: c.RetryBatches})
	if err != nil {
		return setup(err)
	}
	logger.Info("serving", "organisation", config.Organisation, "tasks", len(s.Tasks()), "version", version())
	if err := s.Run(e.ctx); err != nil {
		return err
	}
	logger.Info("stopped")
	return nil
}

func newLogger(w io.Writer, c server.LogConfig) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.Level)) // one of the four, Validate has seen to it
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// newConsole joins the console to a server; the server's package is below it.
func newConsole(c server.Config, logger *slog.Logger) func(*server.Server) (http.Handler, error) {
	return newConsoleOf(c, logger, func() []console.Source { return nil }, func() []release.Catalogue { return nil })
}

// newConsoleOf is newConsole with questions that other servers answer.
func newConsoleOf(c server.Config, logger *slog.Logger, more func() []console.Source, tables func() []release.Catalogue) func(*server.Server) (http.Handler, error) {
	return func(s *server.Server) (http.Handler, error) {
		query, err := consoleQuery(s, tables)
		if err != nil {
			return nil, err
		}
		return console.New(console.Join(console.FromServer(s), more), console.Options{
			Hosts:  c.Console.Hosts,
			Clock:  s.Clock(),
			Query:  query,
			Failed: func(err error) { logger.Error("console page failed", "err", err) },
		})
	}
}
