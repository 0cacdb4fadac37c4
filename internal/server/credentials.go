package server

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/shoal-project/shoal/internal/credential"
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

// validateCredentials checks the gates.
func (c Config) validateCredentials() error {
	g := c.Credentials
	if g.gated() && !c.Has(task.Shuffler) {
		return errors.New("credentials: only a shuffler issues credentials")
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

// checkHop refuses tasks whose credentials no client could get.
func (c CredentialsConfig) checkHop(t *task.Task, hop int) error {
	if len(t.Presentations(t.Hops[hop])) > 0 && !c.gated() {
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
	requiring := 0
	for _, t := range tasks {
		if t.Protection.CredentialEpochs > 0 {
			requiring++
		}
	}
	if requiring == 0 {
		return nil, nil
	}
	gates, err := s.gateList()
	if err != nil {
		return nil, err
	}
	return credential.NewIssuer(credential.IssuerConfig{
		FS: s.o.FS, Dir: filepath.Join(dir, "credentials"), Role: role, Party: s.identity.Public(), Tasks: tasks,
		Gates: gates, Sign: s.announceCredential, Clock: s.o.Clock, Rand: s.o.Rand,
	})
}

// announceCredential signs the key of a slot as a key statement, which a witness can
// sign, too.
func (s *Server) announceCredential(slot credential.Slot, announcement []byte) ([]byte, error) {
	return witness.Statement{
		Slot: witness.Slot{Party: slot.Party, Purpose: slot.Purpose(), Start: slot.Start},
		End:  slot.End, Keys: announcement,
	}.Sign(s.identity)
}
