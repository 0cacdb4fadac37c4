package main

import (
	"crypto/rand"
	"fmt"

	"github.com/shoal-project/shoal/internal/credential"
	"github.com/shoal-project/shoal/internal/server"
)

// credentialCmd is about credentials by which each client counts once.
type credentialCmd struct {
	Invite inviteCmd `cmd:"" help:"Create invitation codes, of which each gets one credential of each metric, party and period."`
}

type inviteCmd struct {
	Key     string `default:"owner.key" help:"The identity key that signs; issuers list its public half in credentials.invitations (${default})."`
	Count   int    `default:"1" help:"How many (${default})."`
	Expires string `default:"365d" help:"For how long they can be used (${default})."`
}

// maxInvitations bounds what one call makes.
const maxInvitations = 1_000_000

// Run prints a code a line. They are not stored anywhere.
func (c *inviteCmd) Run(e *env) error {
	if c.Count < 1 || c.Count > maxInvitations {
		return setup(fmt.Errorf("--count: %d is not in 1 to %d", c.Count, maxInvitations))
	}
	d, err := server.ParseDuration(c.Expires)
	if err != nil {
		return setup(fmt.Errorf("--expires: %w", err))
	}
	key, err := server.LoadIdentity(c.Key)
	if err != nil {
		return setup(err)
	}
	for range c.Count {
		code, err := credential.Invite(key, e.clock.Now().Add(d.D()), rand.Reader)
		if err != nil {
			return err
		}
		fmt.Fprintln(e.stdout, code)
	}
	return nil
}
