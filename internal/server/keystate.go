package server

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/shoal-project/shoal/internal/keyring"
	"github.com/shoal-project/shoal/metric/task"
)

// keys lists the keys of all roles that open reports or aggregates.
func (s *Server) keys() []keyView {
	now := s.o.Clock.Now()
	views := []keyView{}
	for _, r := range rolesOf[keyHolder](s) {
		views = append(views, r.Keys(now)...)
	}
	return views
}

// reportRing says of the keys in a file whether they are announced.
func reportRing[K any](d *doctor, r task.Role, ring *keyring.Ring[K], now time.Time) {
	valid, all := len(ring.Offered(now)), len(ring.Keys())
	if valid == 0 {
		d.say(Warning, r.String()+" keys", "none is valid now; the server makes one when it starts")
		return
	}
	d.say(OK, r.String()+" keys", "%d valid, %d kept for what is not finished", valid, all-valid)
}

// collectorKeys checks the collector's key file.
func (d *doctor) collectorKeys() {
	identity, err := LoadIdentity(d.config.collectorIdentityPath())
	if err != nil {
		d.say(Failure, "collector keys", "%v", err)
		return
	}
	keys, err := newCollectorKeys(d.config, identity, nil)
	if err == nil {
		err = keys.open()
	}
	if err != nil {
		d.say(Failure, "collector keys", "%v", err)
		return
	}
	reportRing(d, task.Collector, keys.ring, d.o.Clock.Now())
}

const keyGauge = "shoal_" + keyFigure

// rotation asks the running server for how long each role has keys to announce. Keys
// that rotate last for longer than the overlap; the server is given a few of its ticks.
func (d *doctor) rotation(ctx context.Context) {
	resp, body, err := d.fetch(ctx, "http://"+d.config.Ops.Listen+"/metrics")
	if err != nil || resp.StatusCode != http.StatusOK {
		d.say(Warning, "key rotation", "the server does not answer at /metrics of ops.listen")
		return
	}
	left := map[string]time.Duration{} // by the word of a role
	for line := range strings.Lines(string(body)) {
		var role string
		var seconds float64
		if _, err := fmt.Sscanf(line, keyGauge+"{role=%q} %g", &role, &seconds); err == nil {
			left[role] = time.Duration(seconds * float64(time.Second))
		}
	}
	for _, r := range d.config.rotates() {
		check := r.String() + " key rotation"
		got, ok := left[r.String()]
		switch least := d.config.Keys.Overlap.D() - 3*d.config.Batches.Tick.D(); {
		case !ok:
			d.say(Failure, check, "the server has no gauge %s for the role", keyGauge)
		case got < least:
			d.say(Failure, check, "keys do not rotate: the last one ends in %s, less than keys.overlap (%s); the log says why", got.Round(time.Second), d.config.Keys.Overlap)
		default:
			d.say(OK, check, "there are keys for %s more", got.Round(time.Second))
		}
	}
}

// collectorPeer asks another organisation's collector for its keys. One that does not
// announce them is known by its card.
func (d *doctor) collectorPeer(ctx context.Context, name string, p task.Party) {
	signed, err := keyring.NewPeers(keyring.Direct(d.o.Client), d.o.Clock).Get(ctx, p)
	if err != nil {
		d.say(Warning, name, "does not announce its keys, shares for it are sealed to the last one that is known: %v", unwrapNet(err))
		return
	}
	d.say(OK, name, "%d keys, announced until %s", len(signed.Config.Keys), time.Unix(signed.Config.NotAfter, 0).UTC().Format(time.DateTime))
}
