package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/interop"
)

// janusFlags locate the programs of Janus. They are built elsewhere: nothing
// of Janus is part of this project.
type janusFlags struct {
	Interop    string `env:"JANUS_INTEROP" placeholder:"FILE" help:"Janus' program janus_interop, with client, collector and aggregator of the test API (${env})."`
	Aggregator string `env:"JANUS_AGGREGATOR" placeholder:"FILE" help:"Janus' program janus_aggregator, of the same version (${env})."`
	Schema     string `env:"JANUS_SCHEMA" placeholder:"FILE" help:"The SQL file that creates the schema of that version (${env})."`
	Postgres   string `env:"SHOAL_TEST_POSTGRES" placeholder:"DSN" help:"A PostgreSQL server on a Unix socket with pgcrypto and btree_gist, in which databases are made and removed (${env}); scripts/postgres starts one."`
	Logs       string `env:"JANUS_LOGS" placeholder:"DIR" help:"Where the programs' output goes; else it is lost (${env})."`
	Exposed    bool   `help:"Run Janus although this machine has other interfaces than loopback: its client and collector listen on all of them."`
}

func (f *janusFlags) given() bool { return f.Interop != "" || f.Aggregator != "" || f.Schema != "" }

// validate reports what is missing.
func (f *janusFlags) validate() error {
	for name, value := range map[string]string{
		"JANUS_INTEROP": f.Interop, "JANUS_AGGREGATOR": f.Aggregator, "JANUS_SCHEMA": f.Schema, "SHOAL_TEST_POSTGRES": f.Postgres,
	} {
		if value == "" {
			return fmt.Errorf("%s is missing: the programs of Janus need it", name)
		}
	}
	if f.Exposed {
		return nil
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, i := range interfaces {
		if i.Flags&net.FlagLoopback == 0 && i.Flags&net.FlagUp != 0 {
			return fmt.Errorf("interface %s is up: Janus' client and collector listen on all interfaces: start scripts/janus, which has a network of its own, or allow it with --janus-exposed", i.Name)
		}
	}
	return nil
}

// A janus is the programs of Janus: client, collector, and two aggregators with a
// database each.
type janus struct {
	flags  *janusFlags
	dir    string
	helper string // connection string of the helper's database
}

// datastoreKey seals what Janus stores: 16 bytes in base64url.
const datastoreKey = "c2hvYWwtaW50ZXJvcC10cw"

// startJanus starts the programs and waits until they are ready.
func (m *matrix) startJanus(ctx context.Context, dir string) error {
	j := &janus{flags: &m.cmd.Janus, dir: dir}
	if err := j.flags.validate(); err != nil {
		return err
	}
	m.janus = j
	for _, part := range []string{"client", "collector"} {
		port, err := freePort()
		if err != nil {
			return err
		}
		if err := m.startProgram(ctx, j, "janus-"+part, j.flags.Interop, "janus_interop", "janus_interop_"+part, "--port", port); err != nil {
			return err
		}
		m.parties["janus "+part] = interop.Party{API: "http://127.0.0.1:" + port}
	}
	for _, role := range []dap.Role{dap.Leader, dap.Helper} {
		if err := m.startAggregator(ctx, j, role); err != nil {
			return fmt.Errorf("Janus as %v: %w", role, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for _, part := range []string{"client", "collector", "leader", "helper"} {
		if err := interop.Ready(ctx, m.parties["janus "+part].API); err != nil {
			return fmt.Errorf("Janus' %s: %w", part, err)
		}
	}
	return nil
}

// A program is one process of a Janus aggregator, with what its configuration has
// beside the database. %s is replaced by an address.
type program struct{ name, config string }

const (
	serverConfig = "listen_address: %s\nmax_upload_batch_size: 100\nmax_upload_batch_write_delay_ms: 50\nbatch_aggregation_shard_count: 4\nkey_rotator: null\n"
	driverConfig = "job_discovery_interval_s: 1\nmax_concurrent_job_workers: 4\nworker_lease_clock_skew_allowance_s: 1\nworker_lease_duration_s: 30\n" +
		"maximum_attempts_before_failure: 5\nbatch_aggregation_shard_count: 4\n"
	creatorConfig = "batch_aggregation_shard_count: 4\ntasks_update_frequency_s: 1\naggregation_job_creation_interval_s: 1\nmin_aggregation_job_size: 1\nmax_aggregation_job_size: 100\n"
)

// programs are the processes of a role.
func programs(role dap.Role) []program {
	aggregation := program{"aggregation_job_driver", driverConfig + "task_counter_shard_count: 4\n"}
	if role == dap.Helper {
		return []program{aggregation} // for jobs that are answered later
	}
	return []program{
		aggregation,
		{"aggregation_job_creator", creatorConfig},
		{"collection_job_driver", driverConfig + "min_collection_job_retry_delay_s: 1\nmax_collection_job_retry_delay_s: 1\ncollection_job_retry_delay_exponential_factor: 1.0\n"},
	}
}

// startAggregator starts Janus as leader or helper, with a recorder before it.
func (m *matrix) startAggregator(ctx context.Context, j *janus, role dap.Role) error {
	dsn, at, err := m.database(ctx, j, role)
	if err != nil {
		return err
	}
	if role == dap.Helper {
		j.helper = dsn
	}
	start := func(file, multicall, name, config string) error {
		health, err := freePort()
		if err != nil {
			return err
		}
		text := fmt.Sprintf("database:\n  url: %q\n  check_schema_version: false\n  connection_pool_max_size: 12\nhealth_check_listen_address: 127.0.0.1:%s\n%s", at, health, config)
		full := fmt.Sprintf("janus-%v-%s", role, name)
		path := filepath.Join(j.dir, full+".yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
		return m.startProgram(ctx, j, full, file, multicall, name, "--config-file", path)
	}
	server, err := freePort()
	if err != nil {
		return err
	}
	api, err := freePort()
	if err != nil {
		return err
	}
	if err := start(j.flags.Interop, "janus_interop", "janus_interop_aggregator", "listen_address: 127.0.0.1:"+api+"\naggregator_address: 127.0.0.1:"+server+"\nhealth_check_peers: []\n"); err != nil {
		return err
	}
	base := "http://127.0.0.1:" + api
	ready, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := interop.Ready(ready, base); err != nil { // makes the HPKE key, which the server reads at its start
		return err
	}
	if err := start(j.flags.Aggregator, "janus_aggregator", "aggregator", fmt.Sprintf(serverConfig, "127.0.0.1:"+server)); err != nil {
		return err
	}
	if err := served(ready, base+"/"+dap.HpkeConfigPath); err != nil {
		return err
	}
	for _, p := range programs(role) {
		if err := start(j.flags.Aggregator, "janus_aggregator", p.name, p.config); err != nil {
			return err
		}
	}
	return m.record("janus "+role.String(), role, base, "/")
}

// served waits until a resource is there.
func served(ctx context.Context, at string) error {
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = fmt.Errorf("HTTP %d", resp.StatusCode)
		}
		if clock.Sleep(ctx, clock.System(), 100*time.Millisecond) != nil {
			return fmt.Errorf("%s is not served: %w", at, err)
		}
	}
}

// database makes a database with Janus' schema. It returns its connection string
// and its URL.
func (m *matrix) database(ctx context.Context, j *janus, role dap.Role) (dsn, at string, err error) {
	config, err := pgx.ParseConfig(j.flags.Postgres)
	if err != nil {
		return "", "", fmt.Errorf("SHOAL_TEST_POSTGRES: %w", err)
	}
	name := fmt.Sprintf("janus_%v_%d", role, os.Getpid())
	if err := execute(ctx, j.flags.Postgres, "CREATE DATABASE "+name); err != nil {
		return "", "", err
	}
	m.closers = append(m.closers, func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		return execute(ctx, j.flags.Postgres, "DROP DATABASE "+name+" WITH (FORCE)")
	})
	schema, err := os.ReadFile(j.flags.Schema)
	if err != nil {
		return "", "", err
	}
	dsn = j.flags.Postgres + " dbname=" + name
	if err := execute(ctx, dsn, string(schema)); err != nil {
		return "", "", fmt.Errorf("%s: %w", j.flags.Schema, err)
	}
	if !filepath.IsAbs(config.Host) {
		return "", "", fmt.Errorf("SHOAL_TEST_POSTGRES: host %q, want the folder of a Unix socket", config.Host)
	}
	return dsn, fmt.Sprintf("postgres://%s@%s/%s", url.PathEscape(config.User), url.QueryEscape(config.Host), name), nil
}

// execute runs SQL on a connection of its own.
func execute(ctx context.Context, dsn, sql string, args ...any) (err error) {
	c, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close(context.WithoutCancel(ctx))) }()
	if len(args) == 0 {
		_, err = c.PgConn().Exec(ctx, sql).ReadAll()
		return err
	}
	_, err = c.Exec(ctx, sql, args...)
	return err
}

// answerLater makes Janus as helper answer the aggregation jobs of a task later: its
// test API has no word for that.
func (j *janus) answerLater(ctx context.Context, id dap.TaskID) error {
	return execute(ctx, j.helper, "UPDATE tasks SET aggregation_mode = 'ASYNCHRONOUS' WHERE task_id = $1", id[:])
}

// startProgram starts a process, which ends with the matrix. The programs choose
// what they are by their own name and their first argument.
func (m *matrix) startProgram(ctx context.Context, j *janus, name, file, multicall string, args ...string) error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // closers end it
	cmd := exec.CommandContext(ctx, file, args...)
	cmd.Args[0] = multicall
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "DATASTORE_KEYS=" + datastoreKey, "RUST_LOG=warn"}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	var log *os.File
	if j.flags.Logs != "" {
		var err error
		if log, err = os.Create(filepath.Join(j.flags.Logs, name+".log")); err != nil {
			cancel()
			return err
		}
		cmd.Stdout, cmd.Stderr = log, log
	}
	if err := cmd.Start(); err != nil {
		cancel()
		return fmt.Errorf("%s: %w", name, err)
	}
	done := make(chan error, 1)
	go func() {
		err := cmd.Wait()
		if ctx.Err() == nil {
			fmt.Fprintf(m.stderr, "dap-interop: %s has ended: %v\n", strings.TrimPrefix(name, "janus-"), err)
		}
		done <- err
	}()
	m.closers = append(m.closers, func() error {
		cancel()
		<-done // its exit status only shows that it was ended
		if log != nil {
			return log.Close()
		}
		return nil
	})
	return nil
}

// freePort returns a port of the loopback interface without a listener.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, errors.Join(err, l.Close())
}
