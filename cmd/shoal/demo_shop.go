package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/shoal-project/shoal/cmd/shoal/internal/demo"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/server"
)

// shopStep is how often customers and organisations of the shop are at work.
const shopStep = time.Second

// shop serves the page of a shop and the console until it is interrupted, or with --once
// until each question has an answer.
func (c *demoCmd) shop(e *env) (err error) {
	if c.Input != "" || c.Ask != "all" {
		return setup(errors.New("--web goes with neither --ask nor --input: the shop has questions of its own"))
	}
	dir, remove, err := temporary(c.Data, "shoal-shop-")
	if err != nil {
		return setup(err)
	}
	defer remove()
	s, err := demo.OpenShop(e.ctx, demo.ShopConfig{
		Dir: dir, Start: e.clock.Now(), Rand: rand.Reader, ConsoleAddr: c.Console, Logger: slog.New(slog.DiscardHandler),
		Console: func(s *server.Server) (http.Handler, error) {
			return newConsole(s.Config(), slog.New(slog.DiscardHandler))(s)
		},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	url, stop, err := servePage(e.ctx, s.Handler())
	if err != nil {
		return err
	}
	defer stop()
	if c.JSON {
		err = json.NewEncoder(e.stdout).Encode(map[string]string{"shop": url, "console": s.ConsoleURL()})
	} else {
		_, err = fmt.Fprintf(e.stdout, `The shop: %s
The console of the organisation that gets the sums: %s
Press Ctrl-C to stop.

Each minute %d simulated customers check out once, with a book for 12 coins. What an
answer has beyond that is from browsers. Answers come two to three minutes later.

`, url, s.ConsoleURL(), demo.Customers)
	}
	if err != nil {
		return err
	}
	return c.sell(e, s)
}

// sell lets time go on, and prints each answer.
func (c *demoCmd) sell(e *env, s *demo.Shop) error {
	answered := map[string]bool{}
	for !c.Once || len(answered) < demo.ShopQuestions() {
		answers, err := s.Step(e.ctx, e.clock.Now())
		if e.ctx.Err() != nil {
			return nil //nolint:nilerr // interrupted, as a person ends it
		}
		if err != nil {
			fmt.Fprintf(e.stderr, "shoal: %v; trying again\n", err)
		}
		for _, a := range answers {
			answered[a.Metric] = true
			if c.JSON {
				err = json.NewEncoder(e.stdout).Encode(a)
			} else {
				_, err = fmt.Fprintln(e.stdout, a)
			}
			if err != nil {
				return err
			}
		}
		if clock.Sleep(e.ctx, e.clock, shopStep) != nil {
			return nil
		}
	}
	return nil
}

// servePage serves a handler on a free loopback port until stop is called.
func servePage(ctx context.Context, h http.Handler) (url string, stop func(), err error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("finding a port for the shop: %w", err)
	}
	site := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = site.Serve(l) // until Close
	}()
	return "http://" + l.Addr().String() + "/", func() {
		_ = site.Close() // it holds nothing that is kept
		<-ended
	}, nil
}
