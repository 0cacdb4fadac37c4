package parties

import (
	"io"
	"time"

	"github.com/shoal-project/shoal/internal/server"
	"github.com/shoal-project/shoal/internal/server/pairing"
	"github.com/shoal-project/shoal/metric/task"
)

// pair lets the card of the helper a go to the leader b and the invitation back,
// as "shoal pair" does.
func pair(a, b organisation, now time.Time, random io.Reader) error {
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
	invitation, err := ours.Invite(parsed, leader, leaderKey, now, random)
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

func pairings(o organisation) (*pairing.File, error) {
	c, err := server.Load(o.config)
	if err != nil {
		return nil, err
	}
	return server.OpenPairings(c)
}
