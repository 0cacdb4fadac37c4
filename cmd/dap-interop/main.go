// Command dap-interop plays one party of DAP for tests between implementations:
// it serves the test API of package internal/dap/interop on one address.
//
//	dap-interop client     --listen 127.0.0.1:8081 --variant dap-18
//	dap-interop collector  --listen 127.0.0.1:8082
//	dap-interop aggregator --listen 127.0.0.1:8083 --dir /tmp/leader
//
// It prints the address on which it listens, and serves until it is interrupted.
//
//	dap-interop matrix --only 'janus-*'
//
// runs trials between parties: every pairing of ours and, where its programs are
// given, of Janus', in twelve settings. It prints a table and fails if a trial has
// failed. scripts/janus gives it a database and a network of its own.
//
// It is for tests: anyone with access to it can add tasks and upload reports.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/sync/errgroup"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/interop"
	"github.com/shoal-project/shoal/internal/store/sqlite"
)

// commands is the command line: a part to play, and how.
type commands struct {
	Listen  string `default:"127.0.0.1:8080" help:"Address to listen on (${default})."`
	Variant string `default:"dap-18" enum:"dap-18,dap-19,janus" help:"Variant of the protocol: ${enum} (${default})."`

	Client     struct{}      `cmd:"" help:"Play the client."`
	Collector  struct{}      `cmd:"" help:"Play the collector."`
	Aggregator aggregatorCmd `cmd:"" help:"Play leader or helper, as each task says."`
	Matrix     matrixCmd     `cmd:"" help:"Run our parties against each other and, where its programs are given, against those of Janus, in the variant janus."`
}

type aggregatorCmd struct {
	Dir   string `required:"" placeholder:"DIR" help:"Where reports and databases go; made if missing."`
	Async bool   `help:"As helper, answer aggregation jobs later."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintf(os.Stderr, "dap-interop: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var line commands
	exited := false
	parser, err := kong.New(&line, kong.Name("dap-interop"), kong.Description("Play one party of DAP in tests between implementations."),
		kong.Writers(stdout, stderr), kong.Exit(func(int) { exited = true }))
	if err != nil {
		return err
	}
	parsed, err := parser.Parse(args)
	if exited {
		return nil
	}
	if err != nil {
		return err
	}
	v, err := dap.ParseVariant(line.Variant)
	if err != nil {
		return err
	}
	switch parsed.Command() {
	case "client":
		return serve(ctx, line.Listen, interop.NewClient(v, nil), stdout)
	case "collector":
		return serve(ctx, line.Listen, interop.NewCollector(v, nil), stdout)
	case "matrix":
		return line.Matrix.run(ctx, stdout, stderr)
	default:
		return line.Aggregator.run(ctx, v, line.Listen, stdout, stderr)
	}
}

func (c *aggregatorCmd) run(ctx context.Context, v *dap.Variant, listen string, stdout, stderr io.Writer) (err error) {
	a, closer, err := c.open(ctx, v)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closer()) }()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		err := a.Run(ctx, func(err error) { fmt.Fprintf(stderr, "dap-interop: %v\n", err) })
		if errors.Is(err, context.Canceled) {
			return nil
		}
		return err
	})
	g.Go(func() error { return serve(ctx, listen, a.Handler(), stdout) })
	return g.Wait()
}

// open returns the aggregator, and what closes it and its databases.
func (c *aggregatorCmd) open(ctx context.Context, v *dap.Variant) (*interop.Aggregator, func() error, error) {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, nil, err
	}
	leader, err := sqlite.OpenLeader(ctx, filepath.Join(c.Dir, "leader.db"))
	if err != nil {
		return nil, nil, err
	}
	helper, err := sqlite.OpenHelper(ctx, filepath.Join(c.Dir, "helper.db"))
	if err != nil {
		return nil, nil, errors.Join(err, leader.Close())
	}
	a, err := interop.NewAggregator(ctx, v, interop.Stores{Leader: leader, Helper: helper}, c.Dir, c.Async)
	if err != nil {
		return nil, nil, errors.Join(err, helper.Close(), leader.Close())
	}
	closer := func() error { //nolint:contextcheck // Close has no context: the claim is given up after that of the process has ended
		return errors.Join(a.Close(), helper.Close(), leader.Close())
	}
	return a, closer, nil
}

// serve serves until ctx is done.
func serve(ctx context.Context, listen string, h http.Handler, stdout io.Writer) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "http://%s/\n", l.Addr())
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return s.Close()
	}
}
