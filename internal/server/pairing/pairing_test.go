package pairing_test

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/server/pairing"
	"github.com/shoal-project/shoal/metric/task"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A side is one organisation.
type side struct {
	card     pairing.Card
	identity task.IdentityKey
	key      pairing.Key
	pairings *pairing.File
	file     string
}

func newSide(t testing.TB, name string, roles ...string) *side {
	t.Helper()
	s := &side{identity: must(task.GenerateIdentityKey(rand.Reader)), key: must(pairing.GenerateKey(rand.Reader))}
	s.file = filepath.Join(t.TempDir(), "pairings.json")
	s.pairings = must(pairing.OpenFile(s.file))
	s.card = pairing.Card{
		Version: 1, Organisation: name, URL: "https://" + name + ".example", Identity: task.FormatPublic(s.identity.Public()),
		Roles: roles, Key: must(s.key.Public()), Created: noon.Unix(),
	}
	for _, r := range roles {
		if r == "collector" {
			s.collect(noon)
		}
	}
	return s
}

// collect gives the side a collector's identity and keys.
func (s *side) collect(now time.Time) {
	identity := must(task.GenerateIdentityKey(rand.Reader))
	public := make([]byte, 32)
	_, _ = rand.Read(public)
	end := now.AddDate(10, 0, 0)
	config := &task.KeyConfig{
		Role: task.Collector, Identity: identity.Public(), NotBefore: now.Unix(), NotAfter: end.Unix(),
		Keys: []task.Key{task.NewKey(task.KEMX25519, public, now, end)},
	}
	s.card.SetCollector(identity)
	s.card.CollectorKeys = must(task.SignKeyConfig(config, identity))
}

// line is the side's card as others get it.
func (s *side) line() string { return must(pairing.SignCard(s.card, s.identity)) }

func (s *side) parsed() *pairing.Card { return must(pairing.ParseCard(s.line())) }

func (s *side) find(t *testing.T, identity, role string) pairing.Pairing {
	t.Helper()
	p, ok, err := s.pairings.Find(identity, role)
	if err != nil || !ok {
		t.Fatalf("%s knows no %s %s (%v)", s.card.Organisation, role, identity, err)
	}
	return p
}

func invite(t testing.TB, from, to *side, now time.Time) string {
	t.Helper()
	line, err := from.pairings.Invite(to.parsed(), from.card, from.identity, now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return line
}

func accept(t *testing.T, s *side, line string) {
	t.Helper()
	if _, err := s.pairings.Accept(line, &s.card, s.key, noon); err != nil {
		t.Fatal(err)
	}
}

// TestTwoOrganisations: one card there, one invitation back, and both sides have
// the same secrets; the helper also knows the keys of the collector next to the
// leader. The files are private, and nothing secret is on the way.
func TestTwoOrganisations(t *testing.T) {
	a, b := newSide(t, "a", "leader", "collector"), newSide(t, "b", "helper")
	for range 2 { // the second time changes nothing
		if err := a.pairings.PairSelf(a.parsed(), noon, rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	line := invite(t, a, b, noon)
	accept(t, b, line)

	theirs, ours := a.find(t, b.card.Identity, "helper"), b.find(t, a.card.Identity, "leader")
	if len(ours.Seed) != 32 || string(ours.Seed) != string(theirs.Seed) || ours.Token.IsZero() || !ours.Token.Equal(theirs.Token) {
		t.Error("the two sides have different secrets")
	}
	if keys := b.find(t, a.card.Collector, "collector").Keys; string(keys) != string(a.card.CollectorKeys) {
		t.Error("the helper does not know the collector's keys")
	}
	self := a.find(t, a.card.Collector, "collector")
	if self.Token.IsZero() || !a.find(t, a.card.Identity, "leader").CollectorToken.Equal(self.Token) {
		t.Error("leader and collector of one organisation share no token")
	}
	if strings.Contains(line, ours.Token.Reveal()) || strings.Contains(fmt.Sprintf("%v %+v %#v", ours, ours, ours), ours.Token.Reveal()) {
		t.Error("a secret shows")
	}
	if info := must(os.Stat(b.file)); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %o", info.Mode().Perm())
	}
	again := must(pairing.OpenFile(b.file))
	if list := must(again.List()); len(list) != 2 {
		t.Errorf("%d pairings are in the file, want 2", len(list))
	}
}

// TestThreeOrganisations: leader, helper and collector apart.
func TestThreeOrganisations(t *testing.T) {
	a, b, c := newSide(t, "a", "leader"), newSide(t, "b", "helper"), newSide(t, "c", "collector")
	accept(t, b, invite(t, a, b, noon))
	accept(t, b, c.line())
	accept(t, c, invite(t, a, c, noon))
	if token := c.find(t, a.card.Identity, "leader").CollectorToken; token.IsZero() || !token.Equal(a.find(t, c.card.Collector, "collector").Token) {
		t.Error("leader and collector share no token")
	}
	if p := c.find(t, a.card.Identity, "leader"); len(p.Seed) > 0 || !p.Token.IsZero() {
		t.Error("the collector has the helper's secrets")
	}
	if p := b.find(t, c.card.Collector, "collector"); !p.Token.IsZero() {
		t.Error("the helper has the collector's token")
	}
}

// TestAgain: a second invitation brings new tokens, keeps the seed, and leaves the
// token before it valid; an older one is refused after it.
func TestAgain(t *testing.T) {
	a, b := newSide(t, "a", "leader"), newSide(t, "b", "helper")
	first := invite(t, a, b, noon)
	accept(t, b, first)
	before := b.find(t, a.card.Identity, "leader")
	second := invite(t, a, b, noon.Add(time.Hour))
	accept(t, b, second)
	accept(t, b, second)
	after := b.find(t, a.card.Identity, "leader")
	if string(before.Seed) != string(after.Seed) || before.Token.Equal(after.Token) || !after.Former.Equal(before.Token) {
		t.Error("want the same seed, and another token with the one before it kept")
	}
	if _, err := b.pairings.Accept(first, &b.card, b.key, noon); err == nil || !strings.Contains(err.Error(), "newer invitation") {
		t.Errorf("an old invitation: %v", err)
	}
	if err := b.pairings.Remove(a.card.Identity); err != nil {
		t.Fatal(err)
	}
	if _, ok, _ := b.pairings.Find(a.card.Identity, "leader"); ok {
		t.Error("a pairing that was removed is there")
	}
}

// TestFormerTokens: a leader knows the tokens before the present one, the oldest
// first, as far as the helper may know no later one; a helper the last one.
func TestFormerTokens(t *testing.T) {
	a, b := newSide(t, "a", "leader"), newSide(t, "b", "helper")
	var tokens []string
	for i := range 7 {
		line := invite(t, a, b, noon.Add(time.Duration(i)*time.Hour))
		if i < 2 {
			accept(t, b, line)
		}
		p := a.find(t, b.card.Identity, "helper")
		former := p.FormerTokens()
		if len(former) != min(i, 4) {
			t.Fatalf("%d former tokens after %d invitations", len(former), i+1)
		}
		for k, token := range former {
			if token.Reveal() != tokens[len(tokens)-len(former)+k] {
				t.Errorf("after %d invitations the former token %d is another", i+1, k)
			}
		}
		tokens = append(tokens, p.Token.Reveal())
	}
	p := b.find(t, a.card.Identity, "leader")
	if former := p.FormerTokens(); len(former) != 1 || former[0].Reveal() != tokens[0] || p.Token.Reveal() != tokens[1] || len(p.Older) != 0 {
		t.Errorf("the helper knows %d former tokens, want the first", len(former))
	}
}

// TestRefused: what is not for us, not from its stated sender, or not whole, is refused.
func TestRefused(t *testing.T) {
	a, b, other := newSide(t, "a", "leader"), newSide(t, "b", "helper"), newSide(t, "other", "helper")
	c := newSide(t, "c", "collector")
	line := invite(t, a, b, noon)
	late := newSide(t, "late", "collector")
	late.collect(noon.AddDate(-20, 0, 0))
	stolen := b.card // somebody else's identity
	stolen.Key = other.card.Key
	if _, err := pairing.SignCard(stolen, other.identity); err == nil {
		t.Error("a card was signed by another key than its identity's")
	}
	for name, tt := range map[string]struct {
		to   *side
		line string
		want string
	}{
		"for another":     {other, line, "it is for " + b.card.Identity},
		"changed":         {b, line[:len(line)-30] + "AAAA" + line[len(line)-26:], "changed on the way"},
		"cut off":         {b, line[:60], "damaged"},
		"nonsense":        {b, "hello", "want one line"},
		"empty":           {b, "", "want one line"},
		"a helper's card": {b, other.line(), "must answer any other with an invitation"},
		"expired keys":    {b, late.line(), "the collector's keys"},
		"another role":    {c, invite(t, a, newLike(c, "helper"), noon), "another role"},
	} {
		if _, err := tt.to.pairings.Accept(tt.line, &tt.to.card, tt.to.key, noon); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q in it", name, err, tt.want)
		}
		if list := must(tt.to.pairings.List()); len(list) > 0 {
			t.Errorf("%s: something was kept", name)
		}
	}
	b.key = must(pairing.GenerateKey(rand.Reader))
	if _, err := b.pairings.Accept(line, &b.card, b.key, noon); err == nil || !strings.Contains(err.Error(), "another card") {
		t.Errorf("with another key: %v", err)
	}
	if _, err := b.pairings.Invite(a.parsed(), b.card, b.identity, noon, rand.Reader); err == nil {
		t.Error("a helper invited")
	}
	if _, err := a.pairings.Invite(a.parsed(), a.card, a.identity, noon, rand.Reader); err == nil {
		t.Error("an organisation invited itself")
	}
}

// TestBorrowedCollector: a card that names somebody else's collector, whose keys
// are public, has no valid signature of it and brings no token.
func TestBorrowedCollector(t *testing.T) {
	c, thief := newSide(t, "c", "collector"), newSide(t, "thief", "collector")
	thief.card.Collector, thief.card.CollectorKeys = c.card.Collector, c.card.CollectorKeys
	for name, proof := range map[string][]byte{"none": nil, "their own": thief.card.CollectorProof, "the other's": c.card.CollectorProof} {
		thief.card.CollectorProof = proof
		if _, err := pairing.SignCard(thief.card, thief.identity); err == nil || !strings.Contains(err.Error(), "has not signed") {
			t.Errorf("proof %s: %v", name, err)
		}
	}
}

// newLike is a side with another role and the same identity.
func newLike(s *side, role string) *side {
	like := *s
	like.card.Roles, like.card.Collector, like.card.CollectorKeys, like.card.CollectorProof = []string{role}, "", nil, nil
	return &like
}

func TestOpenToOthers(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pairings.json")
	if err := os.WriteFile(name, []byte("[]"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := pairing.OpenFile(name); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a file that others can read: %v", err)
	}
}

func TestKeyText(t *testing.T) {
	k := must(pairing.GenerateKey(rand.Reader))
	again := must(pairing.ParseKey(k.Text() + "\n"))
	if string(must(again.Public())) != string(must(k.Public())) {
		t.Error("the key is not read back")
	}
	if s := fmt.Sprintf("%v %s %+v %#v %x", k, k, k, k, k); strings.Contains(s, k.Text()[20:]) || !strings.Contains(s, "redacted") {
		t.Errorf("it prints %s", s)
	}
	for _, bad := range []string{"", "shoal-pairing-key:", k.Text()[:40], k.Text() + "A"} {
		if _, err := pairing.ParseKey(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func Example() {
	dir, err := os.MkdirTemp("", "pairing")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	identity := must(task.GenerateIdentityKey(rand.Reader))
	key := must(pairing.GenerateKey(rand.Reader))
	card := pairing.Card{Organisation: "Helping Hands", URL: "https://helper.example", Identity: task.FormatPublic(identity.Public()), Roles: []string{"helper"}, Key: must(key.Public())}
	line := must(pairing.SignCard(card, identity)) // goes to the leader
	fmt.Println(must(pairing.ParseCard(line)).Organisation)
	// Output: Helping Hands
}

// FuzzAccept: no line makes it panic, and only what the leader has made is kept.
func FuzzAccept(f *testing.F) {
	a, b := newSide(f, "a", "leader"), newSide(f, "b", "helper")
	line := invite(f, a, b, noon)
	f.Add(line)
	f.Add(b.line())
	f.Add(a.line())
	f.Add("shoal-invitation:")
	f.Fuzz(func(t *testing.T, text string) {
		pairings := must(pairing.OpenFile(filepath.Join(t.TempDir(), "pairings.json")))
		made, err := pairings.Accept(text, &b.card, b.key, noon)
		if err == nil && strings.TrimSpace(text) != line {
			t.Errorf("accepted %q: %v", text, made)
		}
	})
}
