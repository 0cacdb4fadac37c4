package arc

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/shoal-project/shoal/internal/redact"
)

// TestPresentations makes and verifies presentations for limits of all shapes,
// each encoded and decoded, and counts the tags.
func TestPresentations(t *testing.T) {
	p := newParty(t)
	for _, limit := range []uint32{1, 2, 3, 4, 5, 6, 7, 8, 9, 100, MaxLimit} {
		c := newContext(t, "context", limit)
		seen := map[Tag]uint32{}
		for nonce := range min(limit, 9) {
			if nonce >= 7 { // the end of the range
				nonce = limit - 1 - (nonce - 7)
			}
			encoded := p.present(t, c, nonce, "binding").Bytes()
			if len(encoded) != PresentationSize(limit) {
				t.Fatalf("limit %d: %d bytes, want %d", limit, len(encoded), PresentationSize(limit))
			}
			q, err := ParsePresentation(encoded, limit)
			if err != nil {
				t.Fatalf("limit %d: %v", limit, err)
			}
			if !bytes.Equal(q.Bytes(), encoded) {
				t.Fatalf("limit %d: decoded and encoded, the presentation differs", limit)
			}
			tag, err := p.verifier.Verify(c, q, []byte("binding"))
			if err != nil {
				t.Fatalf("limit %d, nonce %d: %v", limit, nonce, err)
			}
			if other, twice := seen[tag]; twice {
				t.Fatalf("limit %d: nonces %d and %d have one tag", limit, nonce, other)
			}
			seen[tag] = nonce
		}
		again, err := p.verifier.Verify(c, p.present(t, c, 0, "another"), []byte("another"))
		if _, known := seen[again]; err != nil || !known {
			t.Errorf("limit %d: a nonce used again gives the tag %x, %v", limit, again, err)
		}
		if _, err := p.credential.Present(rand.Reader, c, limit, nil); !errors.Is(err, ErrLimit) {
			t.Errorf("limit %d: nonce %d: %v, want ErrLimit", limit, limit, err)
		}
	}
}

// TestSizes holds the sizes to the draft's formulas and the documented figures.
func TestSizes(t *testing.T) {
	for limit, want := range map[uint32]int{1: 260, 2: 486, 3: 615, 4: 615, 16: 873, 64: 1131, MaxLimit: 2421} {
		if got := PresentationSize(limit); got != want {
			t.Errorf("limit %d: %d bytes, want %d", limit, got, want)
		}
	}
	if RequestSize != 226 || ResponseSize != 454 || PublicKeySize != 99 || CredentialSize != 131 {
		t.Error("a size has changed")
	}
}

func TestLimits(t *testing.T) {
	for _, limit := range []uint32{0, MaxLimit + 1, 1<<32 - 1} {
		if _, err := NewContext(nil, limit); !errors.Is(err, ErrLimit) {
			t.Errorf("a context with limit %d: %v, want ErrLimit", limit, err)
		}
		if _, err := ParsePresentation(nil, limit); !errors.Is(err, ErrLimit) {
			t.Errorf("a presentation with limit %d: %v, want ErrLimit", limit, err)
		}
	}
}

// TestBases checks that the bits of a nonce, from the highest base down, reach
// exactly the nonces below the limit.
func TestBases(t *testing.T) {
	for limit := uint32(2); limit < 600; limit++ {
		bases := computeBases(limit)
		if len(bases) != rangeBits(limit) || bases[len(bases)-1] != 1 {
			t.Fatalf("limit %d has the bases %v", limit, bases)
		}
		sum := uint64(0)
		for _, base := range bases {
			sum += base
		}
		if sum != uint64(limit)-1 {
			t.Fatalf("limit %d has bases that add up to %d", limit, sum)
		}
		for nonce := range uint64(limit) {
			rest := nonce
			for _, base := range bases {
				if rest >= base {
					rest -= base
				}
			}
			if rest != 0 {
				t.Fatalf("limit %d: nonce %d leaves %d", limit, nonce, rest)
			}
		}
	}
}

// TestForms checks that one credential serves both forms, and that they share
// no tags.
func TestForms(t *testing.T) {
	p := newParty(t)
	one, two := newContext(t, "context", 1), newContext(t, "context", 2)
	first, err := p.verifier.Verify(one, p.present(t, one, 0, ""), nil)
	if err != nil {
		t.Fatal(err)
	}
	second, err := p.verifier.Verify(two, p.present(t, two, 0, ""), nil)
	if err != nil {
		t.Fatal(err)
	}
	if first == second {
		t.Errorf("both forms give the tag %x", first)
	}
}

// TestIssueRepeats issues with the randomness of the request: a key that was read
// back gives the same answer, another request or key another one, in every
// element.
func TestIssueRepeats(t *testing.T) {
	p, other := newParty(t), newParty(t)
	secrets, request, err := NewRequest(rand.Reader, requestContext)
	if err != nil {
		t.Fatal(err)
	}
	_, second, err := NewRequest(rand.Reader, requestContext)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParsePrivateKey(p.key.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	issue := func(k *PrivateKey, q *Request) *Response {
		a, err := k.Issue(k.Randomness(q), q)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	first := issue(p.key, request)
	if !bytes.Equal(first.Bytes(), issue(again, request).Bytes()) {
		t.Error("equal requests got different answers")
	}
	for name, a := range map[string]*Response{"request": issue(p.key, second), "key": issue(other.key, request)} {
		for i, f := range a.fields() {
			if (*f.to).enc == (*first.fields()[i].to).enc {
				t.Errorf("another %s has the same %s", name, f.name)
			}
		}
		if a.proof.challenge == first.proof.challenge || a.proof.responses[4] == first.proof.responses[4] {
			t.Errorf("another %s has the same proof", name)
		}
	}
	if _, err := secrets.Finalize(p.key.Public(), request, first); err != nil {
		t.Error(err)
	}
}

// TestStored stores all that a client and an issuer keep, and goes on with what
// was read back.
func TestStored(t *testing.T) {
	key, err := GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	readKey, err := ParsePrivateKey(key.Bytes())
	if err != nil || !readKey.Equal(key) || !bytes.Equal(readKey.Public().Bytes(), key.Public().Bytes()) {
		t.Fatalf("private key: %v", err)
	}
	public, err := ParsePublicKey(key.Public().Bytes())
	if err != nil {
		t.Fatal(err)
	}
	secrets, request, err := NewRequest(rand.Reader, requestContext)
	if err != nil {
		t.Fatal(err)
	}
	readSecrets, err := ParseSecrets(secrets.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	response, err := readKey.Issue(rand.Reader, request)
	if err != nil {
		t.Fatal(err)
	}
	credential, err := readSecrets.Finalize(public, request, response)
	if err != nil {
		t.Fatal(err)
	}
	readCredential, err := ParseCredential(credential.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	c := newContext(t, "context", 2)
	p := party{key, key.Verifier(requestContext), readCredential}
	if _, err := p.verifier.Verify(c, p.present(t, c, 1, ""), nil); err != nil {
		t.Error(err)
	}
	if other := newParty(t); other.key.Equal(key) {
		t.Error("two keys are equal")
	}
	for name, parse := range map[string]func([]byte) error{
		"private key": func(b []byte) error { _, err := ParsePrivateKey(b); return err },
		"secrets":     func(b []byte) error { _, err := ParseSecrets(b); return err },
	} {
		if err := parse(make([]byte, PrivateKeySize)); !errors.Is(err, ErrEncoding) || !strings.Contains(err.Error(), "is zero") {
			t.Errorf("%s of zeros: %v", name, err)
		}
		if err := parse(bytes.Repeat([]byte{0xff}, PrivateKeySize)); !errors.Is(err, ErrEncoding) || !strings.Contains(err.Error(), "order") {
			t.Errorf("%s above the order: %v", name, err)
		}
	}
}

// TestConcurrent shares everything that is documented to be safe among
// goroutines; the race detector judges.
func TestConcurrent(t *testing.T) {
	p := newParty(t)
	contexts := NewContexts(1)
	_, request, err := NewRequest(rand.Reader, requestContext)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for i := range uint32(4) {
		group.Go(func() {
			c, err := contexts.Get([]byte("context"), 4+i%2)
			if err != nil {
				t.Error(err)
				return
			}
			q, err := p.credential.Present(rand.Reader, c, i, nil)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := p.verifier.Verify(c, q, nil); err != nil {
				t.Error(err)
			}
			if _, err := p.key.Issue(rand.Reader, request); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

func TestContexts(t *testing.T) {
	s := NewContexts(2)
	get := func(data string, limit uint32) *Context {
		c, err := s.Get([]byte(data), limit)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	a, b := get("a", 1), get("a", 2)
	if a == b || a.Limit() != 1 || b.Limit() != 2 {
		t.Error("limits share a context")
	}
	if get("a", 1) != a || get("a", 2) != b {
		t.Error("a context was computed twice")
	}
	get("c", 1)
	if len(s.byKey) != 2 || len(s.ring) != 2 {
		t.Errorf("%d contexts are kept, want 2", len(s.byKey))
	}
	if get("a", 2) != b {
		t.Error("the newer context was dropped")
	}
	if get("a", 1) == a {
		t.Error("the oldest context was kept")
	}
	if _, err := s.Get(nil, 0); !errors.Is(err, ErrLimit) {
		t.Errorf("limit 0: %v, want ErrLimit", err)
	}
	if _, err := NewContexts(0).Get(nil, 1); err != nil {
		t.Error(err)
	}
}

// TestRedacted prints secrets: nothing but the notice appears. Package redact
// tests all ways of printing.
func TestRedacted(t *testing.T) {
	p := newParty(t)
	secrets, _, err := NewRequest(rand.Reader, requestContext)
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]any{
		"key": p.key, "key value": *p.key, "verifier": p.verifier, "verifier value": *p.verifier,
		"credential": p.credential, "credential value": *p.credential, "secrets": secrets, "secrets value": *secrets,
	} {
		if got := fmt.Sprintf("%v%+v%#v", v, v, v); got != strings.Repeat(redact.Notice, 3) {
			t.Errorf("%s prints as %s", name, got)
		}
		if b, err := json.Marshal(v); err != nil || string(b) != `"`+redact.Notice+`"` {
			t.Errorf("%s as JSON: %s, %v", name, b, err)
		}
		if v, ok := v.(slog.LogValuer); !ok || v.LogValue().String() != redact.Notice {
			t.Errorf("%s is logged in another way", name)
		}
	}
}

// TestTagBefore: a client knows the tag of a presentation before it makes it.
func TestTagBefore(t *testing.T) {
	key, err := GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	secrets, request, err := NewRequest(rand.Reader, []byte("policy"))
	if err != nil {
		t.Fatal(err)
	}
	response, err := key.Issue(rand.Reader, request)
	if err != nil {
		t.Fatal(err)
	}
	cr, err := secrets.Finalize(key.Public(), request, response)
	if err != nil {
		t.Fatal(err)
	}
	for _, limit := range []uint32{1, 2, 16} {
		c, err := NewContext([]byte("context"), limit)
		if err != nil {
			t.Fatal(err)
		}
		for nonce := range limit {
			p, err := cr.Present(rand.Reader, c, nonce, []byte("report"))
			if err != nil {
				t.Fatal(err)
			}
			want, err := key.Verifier([]byte("policy")).Verify(c, p, []byte("report"))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := cr.Tag(c, nonce); err != nil || got != want {
				t.Errorf("limit %d, nonce %d: tag %x, %v, want %x", limit, nonce, got, err, want)
			}
		}
		if _, err := cr.Tag(c, limit); err == nil {
			t.Errorf("limit %d: a tag for a nonce that is no nonce", limit)
		}
	}
}
