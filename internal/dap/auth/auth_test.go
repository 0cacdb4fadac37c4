package auth

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
)

func newToken(t testing.TB, seed byte) Token {
	t.Helper()
	token, err := NewToken(rand.NewChaCha8([32]byte{seed}))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestAllowed(t *testing.T) {
	a, b := newToken(t, 1), newToken(t, 2)
	hashes := []Hash{b.Hash(), a.Hash()}
	bearer := func(v ...string) http.Header { return http.Header{"Authorization": v} }
	for what, tt := range map[string]struct {
		h    http.Header
		want bool
	}{
		"nothing":                 {http.Header{}, false},
		"bearer":                  {bearer("Bearer " + a.Reveal()), true},
		"the other":               {bearer("Bearer " + b.Reveal()), true},
		"scheme in small letters": {bearer("bearer " + a.Reveal()), true},
		"two spaces":              {bearer("Bearer  " + a.Reveal()), true},
		"no scheme":               {bearer(a.Reveal()), false},
		"another scheme":          {bearer("Basic " + a.Reveal()), false},
		"DAP-Auth-Token":          {http.Header{"Dap-Auth-Token": {a.Reveal()}}, true},
		"both":                    {http.Header{"Dap-Auth-Token": {a.Reveal()}, "Authorization": {"Bearer " + a.Reveal()}}, true},
		"both, not equal":         {http.Header{"Dap-Auth-Token": {a.Reveal()}, "Authorization": {"Bearer " + b.Reveal()}}, false},
		"twice":                   {bearer("Bearer "+a.Reveal(), "Bearer "+a.Reveal()), true},
		"three times":             {bearer("Bearer "+a.Reveal(), "Bearer "+a.Reveal(), "Bearer "+a.Reveal()), false},
		"beside another scheme":   {bearer("Basic eA==", "Bearer "+a.Reveal()), true},
		"unknown":                 {bearer("Bearer " + newToken(t, 3).Reveal()), false},
		"cut":                     {bearer("Bearer " + a.Reveal()[1:]), false},
		"empty":                   {bearer("Bearer "), false},
		"not a token":             {bearer("Bearer a b"), false},
	} {
		if got := Allowed(tt.h, hashes); got != tt.want {
			t.Errorf("%s: %t", what, got)
		}
		if Allowed(tt.h, nil) {
			t.Errorf("%s: allowed where nobody is", what)
		}
	}
	for _, set := range []func(Token, http.Header){Token.SetBearer, Token.SetDAP} {
		h := make(http.Header)
		set(a, h)
		if got, ok := From(h); !ok || !got.Equal(a) {
			t.Errorf("%v does not come back", h)
		}
	}
	if (Token{}).Matches([]Hash{Token{}.Hash()}) {
		t.Error("no token matches")
	}
}

func TestParseToken(t *testing.T) {
	for _, text := range []string{"a", "AZaz09-._~+/", "abc==", strings.Repeat("x", 512), newToken(t, 1).Reveal()} {
		if token, err := ParseToken(text); err != nil || token.Reveal() != text {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{"", "=", "a=b", "a b", "a\n", "ä", "a,b", strings.Repeat("x", 513)} {
		if _, err := ParseToken(text); err == nil {
			t.Errorf("%q is a token", text)
		} else if len(text) > 2 && strings.Contains(err.Error(), text) {
			t.Errorf("the error tells the token: %v", err)
		}
	}
	if _, err := NewToken(strings.NewReader("short")); err == nil {
		t.Error("a token of little randomness")
	}
	if newToken(t, 1).Equal(newToken(t, 2)) || len(newToken(t, 1).Reveal()) != 43 {
		t.Error("tokens are not 32 random bytes")
	}
}

func TestHashText(t *testing.T) {
	h := newToken(t, 1).Hash()
	b, err := json.Marshal([]Hash{h})
	if err != nil {
		t.Fatal(err)
	}
	var back []Hash
	if err := json.Unmarshal(b, &back); err != nil || len(back) != 1 || back[0] != h {
		t.Errorf("%s: %v", b, err)
	}
	for _, text := range []string{"", h.String()[1:], h.String() + "A", strings.Repeat("=", 43)} {
		if err := new(Hash).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is a hash", text)
		}
	}
}

func TestTokensPrintRedacted(t *testing.T) {
	a := newToken(t, 1)
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "token", a, "list", []Token{a})
	j, err := json.Marshal(map[string]any{"t": a})
	if err != nil {
		t.Fatal(err)
	}
	all := fmt.Sprintf("%v %+v %#v %s %q %x", a, a, a, a, a, struct{ T Token }{a}) + log.String() + string(j)
	if strings.Contains(all, a.Reveal()) || strings.Contains(all, fmt.Sprintf("%x", a.Reveal())) {
		t.Errorf("the token is in %s", all)
	}
}

// FuzzFrom: a request has a token that can be sent again, or none.
func FuzzFrom(f *testing.F) {
	f.Add("Bearer abc", "abc")
	f.Add("bearer  abc==", "")
	f.Fuzz(func(t *testing.T, authorization, own string) {
		h := http.Header{"Authorization": {authorization}}
		if own != "" {
			h.Set(Header, own)
		}
		token, ok := From(h)
		if ok == token.IsZero() {
			t.Fatal("a token of nothing")
		}
		if !ok {
			return
		}
		if own != "" && token.Reveal() != own {
			t.Fatalf("%q, where DAP-Auth-Token has %q", token.Reveal(), own)
		}
		again := make(http.Header)
		token.SetBearer(again)
		if !Allowed(again, []Hash{token.Hash()}) {
			t.Fatalf("%q is not taken again", token.Reveal())
		}
	})
}
