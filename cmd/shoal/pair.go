package main

import (
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/shoal-project/shoal/internal/server"
	"github.com/shoal-project/shoal/internal/server/pairing"
)

// pairCmd lets two organisations come to share their secrets.
type pairCmd struct {
	Card   pairCardCmd   `cmd:"" help:"Print the card of this organisation: its names, URLs and public keys."`
	Invite pairInviteCmd `cmd:"" help:"Invite the organisation of a card, as the leader: print an invitation with the shared secrets."`
	Accept pairAcceptCmd `cmd:"" help:"Accept a leader's invitation, or the card of a collector."`
	List   pairListCmd   `cmd:"" help:"List the pairings, without their secrets."`
	Remove pairRemoveCmd `cmd:"" help:"Remove the pairings with an organisation."`
}

// Help is printed by "shoal pair --help".
func (*pairCmd) Help() string {
	return `The leader of an aggregate question shares secrets with its helper and its
collector. They are exchanged by two lines of text, which may go by mail:

  helper:     shoal pair card > helper.card          send it to the leader
  leader:     shoal pair invite helper.card > helper.invitation    send it back
  helper:     shoal pair accept helper.invitation

The same for a collector of another organisation, whose card the helper accepts,
too. A running server takes up a pairing by itself.

Nothing secret is in a card, and what is secret in an invitation is sealed to the
organisation that sent the card. The keys folders must be kept secret.`
}

type pairCardCmd struct {
	configFlag
}

// Run prints the card.
func (c *pairCardCmd) Run(e *env) error {
	config, err := c.load()
	if err != nil {
		return err
	}
	card, identity, err := server.Card(config, e.clock.Now())
	if err != nil {
		return setup(err)
	}
	line, err := pairing.SignCard(card, identity)
	if err != nil {
		return err
	}
	fmt.Fprintln(e.stdout, line)
	return nil
}

type pairInviteCmd struct {
	configFlag
	File string `arg:"" default:"-" help:"The file with the card; - for standard input (${default})."`
}

// Run makes an invitation.
func (c *pairInviteCmd) Run(e *env) error {
	config, err := c.load()
	if err != nil {
		return err
	}
	me, identity, err := server.Card(config, e.clock.Now())
	if err != nil {
		return setup(err)
	}
	text, err := readLine(c.File)
	if err != nil {
		return setup(err)
	}
	card, err := pairing.ParseCard(text)
	if err != nil {
		return setup(err)
	}
	pairings, err := server.OpenPairings(config)
	if err != nil {
		return setup(err)
	}
	line, err := pairings.Invite(card, me, identity, e.clock.Now(), rand.Reader)
	if err != nil {
		return setup(err)
	}
	fmt.Fprintf(e.stderr, "shoal: paired with %s, %s at %s\nshoal: identity %s: its tasks must name it so\n",
		card.Organisation, strings.Join(card.Roles, " and "), card.URL, card.Identity)
	fmt.Fprintln(e.stdout, line)
	return nil
}

type pairAcceptCmd struct {
	configFlag
	File string `arg:"" default:"-" help:"The file with the invitation or the card; - for standard input (${default})."`
}

// Run accepts an invitation or a card.
func (c *pairAcceptCmd) Run(e *env) error {
	config, err := c.load()
	if err != nil {
		return err
	}
	me, _, err := server.Card(config, e.clock.Now())
	if err != nil {
		return setup(err)
	}
	text, err := readLine(c.File)
	if err != nil {
		return setup(err)
	}
	key, err := server.PairingKey(config)
	if err != nil {
		return setup(err)
	}
	pairings, err := server.OpenPairings(config)
	if err != nil {
		return setup(err)
	}
	made, err := pairings.Accept(text, &me, key, e.clock.Now())
	if err != nil {
		return setup(err)
	}
	for _, p := range made {
		fmt.Fprintf(e.stdout, "Paired with %s, %s at %s\n  identity %s: its tasks must name it so\n", p.Organisation, p.Role, p.URL, p.Peer)
	}
	return nil
}

// maxLine bounds a card or an invitation.
const maxLine = 1 << 16

func readLine(name string) (string, error) {
	var in io.Reader = os.Stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return "", err
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, maxLine+1))
	return string(b), err
}

type pairListCmd struct {
	configFlag
}

// Run lists the pairings.
func (c *pairListCmd) Run(e *env) error {
	config, err := c.load()
	if err != nil {
		return err
	}
	pairings, err := server.OpenPairings(config)
	if err != nil {
		return setup(err)
	}
	list, err := pairings.List()
	if err != nil {
		return setup(err)
	}
	for _, p := range list {
		fmt.Fprintf(e.stdout, "%s %s: %s, %s, since %s\n", p.Role, p.Peer, p.Organisation, p.URL, time.Unix(p.Created, 0).UTC().Format(time.DateOnly))
	}
	return nil
}

type pairRemoveCmd struct {
	configFlag
	Identity string `arg:"" help:"The identity, as \"shoal pair list\" shows it."`
}

// Run forgets the pairings with an organisation.
func (c *pairRemoveCmd) Run(*env) error {
	config, err := c.load()
	if err != nil {
		return err
	}
	pairings, err := server.OpenPairings(config)
	if err != nil {
		return setup(err)
	}
	return setup(pairings.Remove(c.Identity))
}
