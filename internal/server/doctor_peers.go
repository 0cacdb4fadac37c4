package server

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/store/postgres"
	"github.com/shoal-project/shoal/metric/task"
)

// aggregateKeys checks the key files of the aggregate route, and whether every
// task has the pairings that it needs.
func (d *doctor) aggregateKeys(ctx context.Context) {
	c := d.config
	if !c.aggregates() {
		return
	}
	for _, r := range []task.Role{task.Leader, task.Helper} {
		if c.Has(r) {
			_, err := readStorageKeys(c, r)
			d.verdict(r.String()+" storage keys", err, "%s", c.storageKeysPath(r))
		}
	}
	if c.Has(task.Collector) {
		d.collectorKeys()
	}
	d.database(ctx)
	_, err := PairingKey(c)
	d.verdict("pairing key", err, "%s", c.pairingKeyPath())
	pairings, err := OpenPairings(c)
	if err != nil {
		d.say(Failure, "pairings", "%v", err)
		return
	}
	list, err := pairings.List()
	if !d.verdict("pairings", err, "%d", len(list)) {
		return
	}
	asked := map[string]bool{}
	for _, t := range d.served {
		if t.Task.Method != task.Aggregate {
			continue
		}
		for i, p := range t.Task.Hops {
			if i == t.Hop || !needed(t.Role(), p.Role) {
				continue
			}
			known, ok, _ := pairings.Find(task.FormatPublic(p.Identity), p.Role.String())
			switch {
			case d.own(p):
			case !ok:
				d.say(Warning, "task "+t.Task.Metric, "as %s: %s", t.Role(), waitsFor(p))
			case p.Role == task.Collector && !asked[known.URL]:
				asked[known.URL] = true
				p.URL = cmp.Or(p.URL, known.URL)
				d.collectorPeer(ctx, "collector "+p.URL, p)
			}
		}
	}
}

// database checks that the database of a leader or helper can be used, and warns
// of what blocks it.
func (d *doctor) database(ctx context.Context) {
	if d.config.Aggregates.Postgres == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	version, warnings, err := postgres.Check(ctx, d.config.Aggregates.Postgres)
	d.verdict("database", err, "PostgreSQL %s", version)
	for _, w := range warnings {
		d.say(Warning, "database", "%s", w)
	}
}

// own reports whether a party is the collector of this organisation, with which
// the server pairs its roles when it starts.
func (d *doctor) own(p task.Party) bool {
	if p.URL == d.config.URL {
		return true
	}
	if p.Role != task.Collector || !d.config.Has(task.Collector) {
		return false
	}
	id, err := LoadIdentity(d.config.collectorIdentityPath())
	return err == nil && p.Identity.Equal(id.Public())
}

// needed reports whether a role of the aggregate route must be paired with
// another one.
func needed(role, peer task.Role) bool { return role != task.Collector || peer == task.Leader }

// aggregator asks a leader or a helper for its HPKE configurations.
func (d *doctor) aggregator(ctx context.Context, name string, p task.Party) {
	resp, body, err := d.fetch(ctx, dap.Resolve(p.URL, dap.HpkeConfigPath))
	switch {
	case err != nil:
		d.say(Failure, name, "cannot be reached: %v", unwrapNet(err))
		return
	case resp.StatusCode != http.StatusOK:
		d.say(Failure, name, "HTTP %d to a request for its keys: is it a server of that role?", resp.StatusCode)
		return
	}
	now := d.o.Clock.Now()
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil && at.Sub(now).Abs() > skewLimit {
		d.say(Warning, name, "its clock and this one differ by %s: one of them is wrong", at.Sub(now).Abs().Round(time.Second))
	}
	role := dap.Leader
	if p.Role == task.Helper {
		role = dap.Helper
	}
	until, err := dap.CheckConfigs(p.Identity, role, body, resp.Header.Get(dap.KeySignatureHeader), now)
	if err != nil {
		d.say(Failure, name, "its keys are not accepted: %v", err)
		return
	}
	var list dap.HpkeConfigList
	if err := dap.NewCodec(dap.DAP18()).Decode(&list, body); err != nil {
		d.say(Failure, name, "its keys are not accepted: %v", err)
		return
	}
	d.say(OK, name, "%d keys, announced until %s", len(list), until.UTC().Format(time.DateTime))
}
