package server

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/loss"
	"github.com/shoal-project/shoal/internal/store/sqlite"
	"github.com/shoal-project/shoal/metric/task"
)

// A Finding is the result of one check of [Doctor].
type Finding struct {
	Level  Level
	Check  string // what was looked at
	Detail string // what was found, and what to do
}

// A Level is the result of a check.
type Level string

// The levels.
const (
	OK      Level = "ok"
	Warning Level = "warning" // works now, or cannot be checked
	Failure Level = "failure" // must be fixed
)

// earliest is a time that any right clock has passed.
var earliest = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// skewLimit is how far a peer's clock may differ before Doctor reports it. HTTP
// dates count whole seconds.
const skewLimit = 30 * time.Second

// Doctor looks for what would keep an organisation from working: keys and
// their permissions, disk, tasks, ports, the other organisations, the clock. It
// changes nothing, and may run beside a server.
func Doctor(ctx context.Context, c Config, o Options) []Finding {
	if o.Client == nil {
		o.Client, _ = c.client() // what is wrong with its certificate is a finding of its own
	}
	d := &doctor{config: c, o: o.withDefaults()}
	d.clock()
	d.keys(ctx)
	d.disk()
	d.data(ctx)
	d.losses()
	d.results(ctx)
	d.ports(ctx)
	if d.running(ctx) {
		d.readiness(ctx)
		d.rotation(ctx)
	}
	d.tasks()
	d.peers(ctx)
	d.relays(ctx)
	return d.found
}

type doctor struct {
	config  Config
	o       Options
	served  []Task
	useless []string // what of the configuration serves nothing
	found   []Finding
}

func (d *doctor) say(l Level, check, format string, args ...any) {
	d.found = append(d.found, Finding{l, check, fmt.Sprintf(format, args...)})
}

// verdict reports that a check went well, or why not.
func (d *doctor) verdict(check string, err error, format string, args ...any) bool {
	if err != nil {
		d.say(Failure, check, "%v", err)
		return false
	}
	d.say(OK, check, format, args...)
	return true
}

func (d *doctor) clock() {
	now := d.o.Clock.Now()
	if now.Before(earliest) {
		d.say(Failure, "clock", "it reads %s, which is past: set it, or batches never close", now.Format(time.DateTime))
		return
	}
	d.say(OK, "clock", "%s UTC", now.UTC().Format(time.DateTime))
}

func (d *doctor) keys(ctx context.Context) {
	if !d.verdict("key folder", privateDir(d.config.Keys.Dir), "%s", d.config.Keys.Dir) {
		return
	}
	id, err := LoadIdentity(d.config.identityPath())
	if d.verdict("identity key", err, "%s", task.FormatPublic(id.Public())) {
		d.registry(id)
	}
	now := d.o.Clock.Now()
	for _, r := range d.config.Roles {
		if !onCrowdRoute(r) {
			continue
		}
		keys, err := newReportKeys(d.config, r, id, nil)
		if err == nil {
			err = keys.open()
		}
		if err != nil {
			d.say(Failure, r.String()+" keys", "%v", err)
			continue
		}
		reportRing(d, r, keys.ring, now)
	}
	d.aggregateKeys(ctx)
	tokens, err := OpenTokens(d.config)
	if err != nil {
		d.say(Failure, "tokens", "%v", err)
		return
	}
	list, err := tokens.List()
	d.verdict("tokens", err, "%d", len(list))
	d.tls()
}

func (d *doctor) tls() {
	switch {
	case d.config.TLS.CertFile != "":
		_, err := d.config.tlsConfig()
		d.verdict("certificate", err, "%s", d.config.TLS.CertFile)
	case d.config.BehindProxy:
		d.say(Warning, "certificate", "behind_proxy: the proxy's TLS cannot be checked from here")
	}
	d.clientCertificates()
}

// registry reads the tasks; tasks and peers are checked from it.
func (d *doctor) registry(id task.IdentityKey) {
	var collector ed25519.PublicKey
	if d.config.Has(task.Collector) {
		id, err := LoadIdentity(d.config.collectorIdentityPath())
		if d.verdict("collector identity key", err, "%s", task.FormatPublic(id.Public())) {
			collector = id.Public()
		}
	}
	r, err := newRegistry(d.config, id.Public(), collector)
	if err == nil {
		err = r.load(d.o.Clock.Now())
	}
	if err != nil {
		d.say(Failure, "tasks", "%v", err)
		return
	}
	d.served, d.useless = r.tasks, r.warnings()
}

func (d *doctor) tasks() {
	now := d.o.Clock.Now()
	for _, t := range d.served {
		check := "task " + t.Task.Metric
		if !t.Until.IsZero() {
			d.say(Warning, check, "as %s, withdrawn: no bundle names it, reports that it has taken are processed until %s", t.Role(), t.Until.UTC().Format(time.DateOnly))
			continue
		}
		left := time.Unix(t.Task.Expires, 0).Sub(now)
		if left <= 0 {
			d.say(OK, check, "as %s, ended", t.Role())
			continue
		}
		if left < 7*24*time.Hour {
			d.say(Warning, check, "it expires on %s", time.Unix(t.Task.Expires, 0).UTC().Format(time.DateOnly))
			continue
		}
		d.say(OK, check, "as %s, until %s", t.Role(), time.Unix(t.Task.Expires, 0).UTC().Format(time.DateOnly))
	}
	for _, why := range d.useless {
		d.say(Warning, "tasks", "%s", why)
	}
}

// data looks for stores and folders that the organisation has had and that are
// missing. Of a database it sees here only that it answers.
func (d *doctor) data(ctx context.Context) {
	i, err := openInstallation(d.config, false)
	if err != nil {
		d.say(Failure, "data", "%v", err)
		return
	}
	if len(i.known) == 0 {
		d.say(OK, "data", "nothing has been created yet")
		return
	}
	holdings := d.config.holdings(d.o.FS)
	defer d.stores(ctx, holdings)
	if _, err := i.check(holdings); err != nil {
		d.say(Failure, "data", "%v", err)
		return
	}
	d.say(OK, "data", "%d stores and folders are there", len(i.known))
}

// stores looks whether the databases are whole.
func (d *doctor) stores(ctx context.Context, all []holding) {
	for _, h := range all {
		if h.dir || h.path == "" {
			continue
		}
		if err := sqlite.Inspect(ctx, h.path, false); err != nil {
			d.say(Failure, "data", "%v: restore a backup", err)
		}
	}
}

// mostLosses is how many losses are findings of their own.
const mostLosses = 20

// losses lists what a server has lost and no operator has acknowledged.
func (d *doctor) losses() {
	st, err := loss.Read(durable.OS(), d.config.Data)
	if err != nil {
		d.say(Failure, "losses", "%v", err)
	}
	for i, l := range st.Open {
		if i == mostLosses {
			d.say(Failure, "losses", "and %d more places", len(st.Open)-mostLosses)
			break
		}
		d.say(Failure, "losses", "%s", describe(l))
	}
	switch {
	case len(st.Open) > 0:
		d.say(Warning, "losses", "when you know of them, run \"shoal doctor --acknowledge\"")
	case len(st.Acknowledged) > 0:
		d.say(OK, "losses", "%d are acknowledged", len(st.Acknowledged))
	case err == nil:
		d.say(OK, "losses", "none is known")
	}
}

// Acknowledge makes it durable that the operator knows of the losses that the
// organisation's server has found so far, and returns these. It may run beside a
// server.
func Acknowledge(c Config, now time.Time) ([]string, error) {
	st, err := loss.Read(durable.OS(), c.Data)
	if err != nil && len(st.Open) == 0 { // acknowledgements that cannot be read are written again
		return nil, fmt.Errorf("acknowledging losses: %w", err)
	}
	if len(st.Open) == 0 {
		return nil, nil
	}
	if err := loss.Acknowledge(durable.OS(), c.Data, st, now); err != nil {
		return nil, fmt.Errorf("acknowledging losses: %w", err)
	}
	var all []string
	for _, l := range st.Open {
		all = append(all, describe(l))
	}
	return all, nil
}

// describe is a loss as a line for people.
func describe(l loss.Loss) string {
	return fmt.Sprintf("%s, %s: %s, %d reports at least: %s", l.Role, l.Cause, l.Place, l.Reports, l.Detail)
}

func (d *doctor) disk() {
	dir := existing(d.config.Data)
	f, err := os.CreateTemp(dir, ".shoal-doctor-*")
	if err != nil {
		d.say(Failure, "data folder", "cannot write to %s: %v", dir, errors.Unwrap(err))
		return
	}
	err = errors.Join(f.Close(), os.Remove(f.Name()))
	d.verdict("data folder", err, "%s", d.config.Data)
	free, err := diskFree(dir)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		d.say(Warning, "disk space", "cannot be read on this system")
	case err != nil:
		d.say(Failure, "disk space", "%v", err)
	case free < leastFree:
		d.say(Failure, "disk space", "%d MiB free, want %s at least: reports would be turned away", free>>20, Size(leastFree))
	case free < 16*leastFree:
		d.say(Warning, "disk space", "%d MiB free", free>>20)
	default:
		d.say(OK, "disk space", "%d MiB free", free>>20)
	}
}

// existing returns the nearest folder on the way up that exists.
func existing(dir string) string {
	for {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

func (d *doctor) ports(ctx context.Context) {
	for _, l := range []struct{ key, at string }{
		{"listen", d.config.Listen}, {"ops.listen", d.config.Ops.Listen}, {"console.listen", d.config.Console.Listen},
	} {
		if l.at == Off {
			continue
		}
		listener, err := d.o.Listen("tcp", l.at)
		switch {
		case err == nil:
			listener.Close()
			d.say(OK, l.key, "%s is free", l.at)
		case errors.Is(err, syscall.EADDRINUSE) && d.running(ctx):
			d.say(OK, l.key, "%s is in use; this organisation's server answers", l.at)
		case errors.Is(err, syscall.EADDRINUSE):
			d.say(Failure, l.key, "%s is in use by another program", l.at)
		default:
			d.say(Failure, l.key, "%v", err)
		}
	}
}

// running reports whether a Shoal server answers on the ops listener.
func (d *doctor) running(ctx context.Context) bool {
	if d.config.Ops.Listen == Off || !isLoopbackAddr(d.config.Ops.Listen) {
		return false
	}
	resp, _, err := d.fetch(ctx, "http://"+d.config.Ops.Listen+"/healthz")
	return err == nil && resp.StatusCode == http.StatusOK
}

// readiness asks the running server why it cannot do its work now. Losses are findings
// of their own.
func (d *doctor) readiness(ctx context.Context) {
	resp, body, err := d.fetch(ctx, "http://"+d.config.Ops.Listen+"/readyz")
	if err != nil {
		d.say(Warning, "readiness", "the server does not answer at /readyz of ops.listen: %v", unwrapNet(err))
		return
	}
	var state struct{ Reasons []string }
	if err := json.Unmarshal(body, &state); err != nil {
		d.say(Warning, "readiness", "HTTP %d at /readyz of ops.listen, which is not an answer of shoal: %v", resp.StatusCode, err)
		return
	}
	if resp.StatusCode == http.StatusOK {
		d.say(OK, "readiness", "the server is ready")
	}
	for _, why := range state.Reasons {
		if strings.Contains(why, "see shoal doctor") {
			d.say(Warning, "readiness", "not ready because of losses")
			continue
		}
		d.say(Failure, "readiness", "%s", why)
	}
}

// peers asks the other organisations of the tasks for their keys.
func (d *doctor) peers(ctx context.Context) {
	asked := map[string]bool{}
	for _, t := range d.served {
		for i, p := range t.Task.Hops {
			name := p.Role.String() + " " + p.URL
			if i == t.Hop || asked[name] || p.Role == task.Collector {
				continue
			}
			asked[name] = true
			if t.Task.Method == task.Aggregate {
				d.aggregator(ctx, name, p)
				continue
			}
			d.peer(ctx, name, p)
		}
	}
}

func (d *doctor) peer(ctx context.Context, name string, p task.Party) {
	resp, body, err := d.fetch(ctx, p.URL+"/keys/"+p.Role.String())
	switch {
	case err != nil:
		d.say(Failure, name, "cannot be reached: %v", unwrapNet(err))
		return
	case resp.StatusCode != http.StatusOK:
		d.say(Failure, name, "HTTP %d to a request for its keys: is it a shoal server of that role?", resp.StatusCode)
		return
	}
	now := d.o.Clock.Now()
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil && at.Sub(now).Abs() > skewLimit {
		d.say(Warning, name, "its clock and this one differ by %s: one of them is wrong", at.Sub(now).Abs().Round(time.Second))
	}
	c, err := task.OpenKeyConfig(body, p.Identity, p.Role, now)
	if err != nil {
		d.say(Failure, name, "its keys are not accepted: %v", err)
		return
	}
	d.say(OK, name, "%d keys, announced until %s", len(c.Keys), time.Unix(c.NotAfter, 0).UTC().Format(time.DateTime))
}

func (d *doctor) fetch(ctx context.Context, url string) (*http.Response, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, nil, err
	}
	resp, err := d.o.Client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp, body, err
}

// unwrapNet leaves the cause of a network error: the request's line is known.
func unwrapNet(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return err
}

// Await waits until a server of this configuration answers on its listener for
// operations, or ctx ends.
func Await(ctx context.Context, c Config, o Options) error {
	d := &doctor{config: c, o: o.withDefaults()}
	for !d.running(ctx) {
		if clock.Sleep(ctx, clock.System(), 50*time.Millisecond) != nil {
			return fmt.Errorf("waiting for the server: nothing answers on ops.listen (%s)", c.Ops.Listen)
		}
	}
	return nil
}
