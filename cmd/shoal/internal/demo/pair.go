package demo

import (
	"time"

	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/server"
	"github.com/shoal-project/shoal/server/pairing"
)

// pair lets the helper's card go to the leader and the invitation back, as "shoal
// pair" does.
func (s *Stage) pair(a, b organisation, now time.Time) error {
	if s.sums == nil {
		return nil
	}
	helper, helperKey, err := card(a, now)
	if err != nil {
		return err
	}
	leader, leaderKey, err := card(b, now)
	if err != nil {
		return err
	}
	line, err := pairing.SignCard(helper, helperKey)
	if err != nil {
		return err
	}
	parsed, err := pairing.ParseCard(line)
	if err != nil {
		return err
	}
	ours, err := pairings(b)
	if err != nil {
		return err
	}
	theirs, err := pairings(a)
	if err != nil {
		return err
	}
	invitation, err := ours.Invite(parsed, leader, leaderKey, now, s.config.Rand)
	if err != nil {
		return err
	}
	c, err := server.Load(a.config)
	if err != nil {
		return err
	}
	key, err := server.PairingKey(c)
	if err != nil {
		return err
	}
	_, err = theirs.Accept(invitation, &helper, key, now)
	return err
}

func card(o organisation, now time.Time) (pairing.Card, task.IdentityKey, error) {
	c, err := server.Load(o.config)
	if err != nil {
		return pairing.Card{}, task.IdentityKey{}, err
	}
	return server.Card(c, now)
}

func pairings(o organisation) (*pairing.Book, error) {
	c, err := server.Load(o.config)
	if err != nil {
		return nil, err
	}
	return server.OpenPairings(c)
}
