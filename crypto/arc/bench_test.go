package arc

import (
	"crypto/rand"
	"fmt"
	"testing"
)

// A party is an issuer and a client with a credential.
type party struct {
	key        *PrivateKey
	verifier   *Verifier
	credential *Credential
}

var requestContext = []byte("policy 1, period 7")

func newParty(t testing.TB) party {
	t.Helper()
	key, err := GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	secrets, request, err := NewRequest(rand.Reader, requestContext)
	if err != nil {
		t.Fatal(err)
	}
	response, err := key.Issue(rand.Reader, request)
	if err != nil {
		t.Fatal(err)
	}
	credential, err := secrets.Finalize(key.Public(), request, response)
	if err != nil {
		t.Fatal(err)
	}
	return party{key, key.Verifier(requestContext), credential}
}

func newContext(t testing.TB, data string, limit uint32) *Context {
	t.Helper()
	c, err := NewContext([]byte(data), limit)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (p party) present(t testing.TB, c *Context, nonce uint32, binding string) *Presentation {
	t.Helper()
	out, err := p.credential.Present(rand.Reader, c, nonce, []byte(binding))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// BenchmarkVerify decodes and verifies presentations in a context that is
// cached, as a server does.
func BenchmarkVerify(b *testing.B) {
	p := newParty(b)
	for _, limit := range []uint32{1, 2, 16, 64, 1024} {
		b.Run(fmt.Sprintf("N=%d", limit), func(b *testing.B) {
			c := newContext(b, "context", limit)
			encoded := p.present(b, c, limit-1, "binding").Bytes()
			b.ReportAllocs()
			defer reportCPU(b)()
			for b.Loop() {
				q, err := ParsePresentation(encoded, limit)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := p.verifier.Verify(c, q, []byte("binding")); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkPresent(b *testing.B) {
	p := newParty(b)
	for _, limit := range []uint32{1, 2, 16, 64} {
		b.Run(fmt.Sprintf("N=%d", limit), func(b *testing.B) {
			c := newContext(b, "context", limit)
			b.ReportAllocs()
			defer reportCPU(b)()
			for b.Loop() {
				p.present(b, c, limit-1, "binding")
			}
		})
	}
}

func BenchmarkIssue(b *testing.B) {
	p := newParty(b)
	secrets, request, err := NewRequest(rand.Reader, requestContext)
	if err != nil {
		b.Fatal(err)
	}
	response, err := p.key.Issue(rand.Reader, request)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("request", func(b *testing.B) {
		defer reportCPU(b)()
		for b.Loop() {
			if _, _, err := NewRequest(rand.Reader, requestContext); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("issue", func(b *testing.B) {
		defer reportCPU(b)()
		for b.Loop() {
			if _, err := p.key.Issue(rand.Reader, request); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("finalize", func(b *testing.B) {
		defer reportCPU(b)()
		for b.Loop() {
			if _, err := secrets.Finalize(p.key.Public(), request, response); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkContext(b *testing.B) {
	b.Run("new", func(b *testing.B) {
		defer reportCPU(b)()
		for b.Loop() {
			newContext(b, "context", 16)
		}
	})
	b.Run("cached", func(b *testing.B) {
		s := NewContexts(16)
		defer reportCPU(b)()
		for b.Loop() {
			if _, err := s.Get([]byte("context"), 16); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkScalarMult is what the others are compared with: one multiplication
// of a point in constant time.
func BenchmarkScalarMult(b *testing.B) {
	p := newParty(b)
	defer reportCPU(b)()
	for b.Loop() {
		p.credential.u.times(&p.key.x0)
	}
}
