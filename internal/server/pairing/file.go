package pairing

import (
	"encoding/json"

	"github.com/shoal-project/shoal/internal/dap/auth"
)

// stored is a pairing in the file, where alone its tokens are text.
type stored struct {
	Peer           string   `json:"peer"`
	Role           string   `json:"role"`
	Organisation   string   `json:"organisation"`
	URL            string   `json:"url"`
	Created        int64    `json:"created"`
	Seed           []byte   `json:"seed,omitempty"`
	Token          string   `json:"token,omitempty"`
	Former         string   `json:"former,omitempty"`
	Older          []string `json:"older,omitempty"`
	CollectorToken string   `json:"collector_token,omitempty"`
	Keys           []byte   `json:"keys,omitempty"`
}

// encode returns the text of the file.
func encode(list []Pairing) ([]byte, error) {
	all := make([]stored, len(list))
	for i, p := range list {
		all[i] = stored{
			Peer: p.Peer, Role: p.Role, Organisation: p.Organisation, URL: p.URL, Created: p.Created, Seed: p.Seed, Keys: p.Keys,
			Token: p.Token.Reveal(), Former: p.Former.Reveal(), CollectorToken: p.CollectorToken.Reveal(),
		}
		for _, t := range p.Older {
			all[i].Older = append(all[i].Older, t.Reveal())
		}
	}
	return json.MarshalIndent(all, "", "  ")
}

// decode is the inverse of encode. Its errors hold nothing of the text.
func decode(text []byte) ([]Pairing, error) {
	var all []stored
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, err
	}
	list := make([]Pairing, len(all))
	for i, s := range all {
		p := &list[i]
		*p = Pairing{Peer: s.Peer, Role: s.Role, Organisation: s.Organisation, URL: s.URL, Created: s.Created, Seed: s.Seed, Keys: s.Keys}
		for _, f := range []struct {
			to   *auth.Token
			text string
		}{{&p.Token, s.Token}, {&p.Former, s.Former}, {&p.CollectorToken, s.CollectorToken}} {
			var err error
			if *f.to, err = parseToken(f.text); err != nil {
				return nil, err
			}
		}
		for _, text := range s.Older {
			t, err := parseToken(text)
			if err != nil {
				return nil, err
			}
			p.Older = append(p.Older, t)
		}
	}
	return list, nil
}

// parseToken parses the text of a token; without a text there is not one.
func parseToken(text string) (auth.Token, error) {
	if text == "" {
		return auth.Token{}, nil
	}
	return auth.ParseToken(text)
}
