package simulation

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/shoal-project/shoal/internal/dap/leader"
	"github.com/shoal-project/shoal/internal/durable/crashfs"
)

// impostor starts a second process with a node's name and a folder of its own, as
// an operator does by mistake, or a scheduler that believes the first one dead. It
// may be refused, and must not take or destroy what the first one has.
func (w *world) impostor() error {
	if !w.setting.Claims {
		return nil
	}
	w.stats.Impostors++
	n := w.leaders[w.random.IntN(len(w.leaders))]
	second := &leaderNode{process: n.process, shared: n.shared, disk: crashfs.New(w.random.Uint64())}
	second.client = &http.Client{Transport: &wire{w.net, second}}
	second.link = &link{world: w, peers: func() {}}
	if err := second.start(w.ctx); err != nil {
		w.note("  refused: %v", err)
		return nil
	}
	w.note("  has the name")
	w.disturbed++
	_ = w.work(second)
	if w.random.IntN(2) == 0 {
		_ = second.leader.Close()
	}
	second.link.dead = true
	return nil
}

// loseDisk destroys the disk of a node, with the reports on it that no other node
// has.
func (w *world) loseDisk() error {
	if !w.setting.LoseDisk || w.lostDisk || len(w.leaders) < 2 {
		return nil
	}
	w.lostDisk = true
	n := w.leaders[w.random.IntN(len(w.leaders))]
	w.note("  %v", n)
	n.link.dead = true
	n.disk = crashfs.New(w.random.Uint64())
	n.lost = true
	for _, r := range w.reports {
		if delete(r.holders, n.name); len(r.holders) == 0 {
			r.gone = true
		}
	}
	return nil
}

// dropLost gives a lost node up, as an operator does, once its lease has lapsed.
func (w *world) dropLost(n *leaderNode) error {
	d, err := n.shared.DropNode(w.ctx, n.name, w.clock.Now())
	if errors.Is(err, leader.ErrHeld) {
		w.note("  %v cannot be dropped yet: %v", n, err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("dropping %v: %w", n, err)
	}
	w.note("  %v is dropped: %+v", n, d)
	n.lost = false
	w.stats.Dropped++
	drops, err := n.shared.Drops(w.ctx)
	if err != nil {
		return err
	}
	if len(drops) == 0 || drops[len(drops)-1].Node != n.name {
		w.breaks("what was given up with %v is not recorded: %+v", n, drops)
	}
	return nil
}
