package server

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// findings runs Doctor and returns its findings by check.
func findings(w *world, o *org) map[string]Finding {
	all := map[string]Finding{}
	for _, f := range Doctor(w.t.Context(), o.config(), Options{Clock: w.clock}) {
		all[f.Check] = f
	}
	return all
}

func TestDoctor(t *testing.T) {
	w := newWorld(t)
	peer := "analyzer http://" + w.b.address

	found := findings(w, w.a)
	for check, want := range map[string]Level{
		"clock": OK, "key folder": OK, "identity key": OK, "shuffler keys": OK, "tokens": OK,
		"data folder": OK, "listen": OK, "task fruit": OK, peer: Failure,
	} {
		if found[check].Level != want {
			t.Errorf("%s: %+v, want %s", check, found[check], want)
		}
	}

	w.b.start()
	w.a.start()
	found = findings(w, w.a)
	if found[peer].Level != OK || !strings.Contains(found[peer].Detail, "1 keys") {
		t.Errorf("a peer that answers: %+v", found[peer])
	}
	if found["listen"].Level != Failure { // the ops listener has another port here, so it cannot be asked
		t.Errorf("a port in use: %+v", found["listen"])
	}

	// The peer's answer bears the real time, this clock is the test's.
	differ := func(f Finding) bool { return f.Level == Warning && strings.Contains(f.Detail, "clock") }
	if !slices.ContainsFunc(Doctor(t.Context(), w.a.config(), Options{Clock: w.clock}), differ) {
		t.Error("clocks that differ are not noticed")
	}

	w.clock.Set(time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC))
	if f := findings(w, w.a)["clock"]; f.Level != Failure {
		t.Errorf("a clock in the past: %+v", f)
	}
	must(t, os.Chmod(w.a.config().identityPath(), 0o644))
	if f := findings(w, w.a)["identity key"]; f.Level != Failure || !strings.Contains(f.Detail, "chmod 600") {
		t.Errorf("an open key: %+v", f)
	}
}
