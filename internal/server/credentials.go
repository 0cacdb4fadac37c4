package server

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/shoal-project/shoal/internal/credential"
	"github.com/shoal-project/shoal/internal/relay"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/ohttp/witness"
)

// CredentialsConfig says who gets credentials for tasks that require them.
type CredentialsConfig struct {
	Invitations []string `yaml:"invitations"`
	Work        int      `yaml:"work"`
	CallOut     string   `yaml:"call_out"`
}

func (c CredentialsConfig) gated() bool {
	return len(c.Invitations) > 0 || c.Work != 0 || c.CallOut != ""
}

// issues reports whether a role issues credentials.
func issues(r task.Role) bool {
	switch r {
	case task.Shuffler, task.Analyzer, task.Randomness, task.Leader, task.Helper:
		return true
	}
	return false
}

// validateCredentials checks the gates.
func (c Config) validateCredentials() error {
	g := c.Credentials
	if g.gated() && !slices.ContainsFunc(c.Roles, issues) {
		return errors.New("credentials: only shuffler, analyzer, randomness, leader and helper issue credentials")
	}
	for _, key := range g.Invitations {
		if _, err := task.ParsePublic(key); err != nil {
			return fmt.Errorf("credentials.invitations: %w", err)
		}
	}
	if g.CallOut != "" {
		if _, err := credential.NewCallOut(g.CallOut, nil); err != nil {
			return fmt.Errorf("credentials.call_out: %w", err)
		}
	}
	return allOf(
		failed{g.Work < 0 || g.Work > credential.MaxWork, fmt.Errorf("credentials.work: %d is not in 0 to %d", g.Work, credential.MaxWork)},
		failed{g.CallOut != "" && len(g.Invitations) > 0, errors.New("credentials: either invitations or call_out, since clients show one of them")},
	)
}

// checkParty refuses tasks whose credentials no client could get from a party.
func (c CredentialsConfig) checkParty(t *task.Task, p task.Party) error {
	if len(t.Presentations(p)) > 0 && !c.gated() {
		return errors.New("it requires credentials, and no gate says who gets one; set credentials.invitations, credentials.work or credentials.call_out")
	}
	return nil
}

// gateList returns the gates of the configuration, which is valid.
func (s *Server) gateList() ([]credential.Gate, error) {
	var all []credential.Gate
	c := s.config.Credentials
	if c.Work > 0 {
		all = append(all, credential.Work(c.Work))
	}
	if len(c.Invitations) > 0 {
		var keys []ed25519.PublicKey
		for _, text := range c.Invitations {
			key, err := task.ParsePublic(text)
			if err != nil {
				return nil, err
			}
			keys = append(keys, key)
		}
		all = append(all, credential.Invitations(keys))
	}
	if c.CallOut != "" {
		g, err := credential.NewCallOut(c.CallOut, s.o.Client)
		if err != nil {
			return nil, err
		}
		all = append(all, g)
	}
	return all, nil
}

// newIssuer returns the issuer of a role, nil if no task of it requires credentials. What
// it keeps is in the role's folder, which no backup has.
func (s *Server) newIssuer(role task.Role, dir string, tasks []*task.Task) (*credential.Issuer, error) {
	asks := func(t *task.Task) bool {
		return slices.ContainsFunc(t.Parties(), func(p task.Party) bool { return p.Role == role && len(t.Presentations(p)) > 0 })
	}
	name := "credentials of the " + role.String()
	if !slices.ContainsFunc(tasks, asks) {
		s.states(name, nil)
		return nil, nil
	}
	gates, err := s.gateList()
	if err != nil {
		return nil, err
	}
	issuer, err := credential.NewIssuer(credential.IssuerConfig{
		FS: s.o.FS, Dir: filepath.Join(dir, "credentials"), Role: role, Party: s.identity.Public(), Tasks: tasks,
		Gates: gates, Sign: s.announceCredential, Witnessed: s.witnessedCredential, Clock: s.o.Clock, Rand: s.o.Rand,
	})
	if err == nil {
		s.states(name, issuerSlots{issuer})
	}
	return issuer, err
}

// credentialRoutes are the resources of the issuer of a role. Keys come through a relay like
// all that clients fetch, requests by the target that relays bound.
func credentialRoutes(role task.Role) []publicRoute {
	path := "/tasks/{task}/credentials/" + role.String() + "/{start}"
	return []publicRoute{
		{name: "credential_keys", pattern: "GET " + path, admit: forKeys, limit: shortExchange, clients: true, relayed: true},
		{name: "credentials", pattern: "POST " + path, admit: forKeys, limit: shortExchange, stores: true, issues: true, relayed: true},
	}
}

// witnessedCredential returns the key of a slot with the signature of the task's relay.
func (s *Server) witnessedCredential(t *task.Task, slot credential.Slot) []byte {
	return s.witnessed.Get(relay.CredentialSlot(t, slot))
}

// issuerSlots implements [slotStater].
type issuerSlots struct{ issuer *credential.Issuer }

// StateSlot implements [slotStater].
func (i issuerSlots) StateSlot(_ context.Context, s witness.Slot) ([]byte, error) {
	b, err := i.issuer.Statement(s.Purpose, s.Start)
	if errors.Is(err, credential.ErrPeriod) {
		return nil, witness.ErrUnknown
	}
	return b, err
}

// RelayedSlots implements [slotStater].
func (i issuerSlots) RelayedSlots() []relay.Slot {
	var all []relay.Slot
	for _, r := range i.issuer.Relayed() {
		all = append(all, relay.CredentialSlot(r.Task, r.Slot))
	}
	return all
}

// announceCredential signs the key of a slot as a key statement, which a witness can
// sign, too.
func (s *Server) announceCredential(slot credential.Slot, announcement []byte) ([]byte, error) {
	return witness.Statement{
		Slot: witness.Slot{Party: slot.Party, Purpose: slot.Purpose(), Start: slot.Start},
		End:  slot.End, Keys: announcement,
	}.Sign(s.identity)
}
