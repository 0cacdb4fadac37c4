package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Scope is what a token allows.
type Scope string

// The scopes.
const (
	ScopeRead    Scope = "read"    // see tasks, batches, collections and keys
	ScopeTasks   Scope = "tasks"   // add and disable tasks
	ScopeExport  Scope = "export"  // read released tables
	ScopeCollect Scope = "collect" // ask for aggregates
	ScopeKeys    Scope = "keys"    // make new keys
)

// scopes lists all.
var scopes = []Scope{ScopeRead, ScopeTasks, ScopeExport, ScopeCollect, ScopeKeys}

// ParseScope reads the name of a scope.
func ParseScope(s string) (Scope, error) {
	if slices.Contains(scopes, Scope(s)) {
		return Scope(s), nil
	}
	names := make([]string, len(scopes))
	for i, known := range scopes {
		names[i] = string(known)
	}
	return "", fmt.Errorf("scope %q is not one of %s", s, strings.Join(names, ", "))
}

// A Token is an entry of the token file: a name, scopes, and the digest of
// the secret. The secret itself is shown once, when it is made.
type Token struct {
	Name    string  `json:"name"`
	Scopes  []Scope `json:"scopes"`
	Digest  string  `json:"sha256"`            // hex, of the whole secret text
	Expires int64   `json:"expires,omitempty"` // Unix seconds; 0 means never
}

// tokenPrefix makes a leaked token easy to find and to revoke.
const tokenPrefix = "shoal-token:"

// Tokens is the file of the management API's tokens. It is safe for concurrent
// use in one process; a running server sees what the command line changes.
type Tokens struct {
	name string

	mu     sync.Mutex
	stamp  time.Time // modification time of what is in tokens
	size   int64
	tokens []Token
}

// OpenTokens opens the token file of the organisation that c describes. A file
// that does not exist holds no tokens.
func OpenTokens(c Config) (*Tokens, error) {
	t := &Tokens{name: filepath.Join(c.Keys.Dir, "tokens.json")}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t, t.refresh()
}

// List returns all tokens, without their secrets.
func (t *Tokens) List() ([]Token, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.refresh(); err != nil {
		return nil, err
	}
	return slices.Clone(t.tokens), nil
}

// Create adds a token and returns its secret, which is not kept. The name must
// be new; expires may be zero for a token without an end.
func (t *Tokens) Create(rand io.Reader, name string, allowed []Scope, expires time.Time) (string, error) {
	if name == "" || len(name) > 64 {
		return "", errors.New("creating a token: the name must have 1 to 64 bytes")
	}
	if len(allowed) == 0 {
		return "", errors.New("creating a token: name at least one scope of read, tasks, export, collect, keys")
	}
	secret := make([]byte, 32)
	if _, err := io.ReadFull(rand, secret); err != nil {
		return "", fmt.Errorf("creating a token: %w", err)
	}
	text := tokenPrefix + base64.RawURLEncoding.EncodeToString(secret)
	digest := sha256.Sum256([]byte(text))
	added := Token{Name: name, Scopes: slices.Clone(allowed), Digest: hex.EncodeToString(digest[:])}
	if !expires.IsZero() {
		added.Expires = expires.Unix()
	}

	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.refresh(); err != nil {
		return "", err
	}
	if slices.ContainsFunc(t.tokens, func(k Token) bool { return k.Name == name }) {
		return "", fmt.Errorf("creating a token: one named %q exists", name)
	}
	if err := t.save(append(slices.Clone(t.tokens), added)); err != nil {
		return "", err
	}
	return text, nil
}

// Revoke removes the token of that name.
func (t *Tokens) Revoke(name string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.refresh(); err != nil {
		return err
	}
	left := slices.DeleteFunc(slices.Clone(t.tokens), func(k Token) bool { return k.Name == name })
	if len(left) == len(t.tokens) {
		return fmt.Errorf("revoking a token: no token named %q", name)
	}
	return t.save(left)
}

// errNoToken and errScope are why a token was not accepted.
var (
	errNoToken = errors.New("no valid token")
	errScope   = errors.New("token without the scope")
)

// check verifies that the secret is a token that is valid now and has the
// scope. It compares digests of all tokens in constant time: how long it takes
// reveals nothing of how close a guess came.
func (t *Tokens) check(secret string, scope Scope, now time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.refresh(); err != nil {
		return err
	}
	got := sha256.Sum256([]byte(secret))
	found := -1
	for i := range t.tokens {
		want, err := hex.DecodeString(t.tokens[i].Digest)
		if err == nil && subtle.ConstantTimeCompare(got[:], want) == 1 {
			found = i
		}
	}
	if found < 0 || !strings.HasPrefix(secret, tokenPrefix) {
		return errNoToken
	}
	token := t.tokens[found]
	if token.Expires != 0 && now.Unix() >= token.Expires {
		return errNoToken
	}
	if !slices.Contains(token.Scopes, scope) {
		return errScope
	}
	return nil
}

// refresh reads the file if it has changed. It is called with mu held.
func (t *Tokens) refresh() error {
	info, err := os.Stat(t.name)
	if errors.Is(err, fs.ErrNotExist) {
		t.tokens, t.stamp, t.size = nil, time.Time{}, 0
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading tokens: %w", err)
	}
	if info.ModTime().Equal(t.stamp) && info.Size() == t.size {
		return nil
	}
	if err := private(t.name); err != nil {
		return err
	}
	b, err := os.ReadFile(t.name)
	if err != nil {
		return fmt.Errorf("reading tokens: %w", err)
	}
	var tokens []Token
	if err := json.Unmarshal(b, &tokens); err != nil {
		return fmt.Errorf("reading tokens: %s: %w", t.name, err)
	}
	t.tokens, t.stamp, t.size = tokens, info.ModTime(), info.Size()
	return nil
}

// save writes the file. It is called with mu held.
func (t *Tokens) save(tokens []Token) error {
	b, err := json.MarshalIndent(tokens, "", "  ")
	if err != nil {
		return fmt.Errorf("writing tokens: %w", err)
	}
	if err := writePrivate(t.name, append(b, '\n')); err != nil {
		return fmt.Errorf("writing tokens: %w", err)
	}
	t.stamp, t.size = time.Time{}, 0 // read again at the next use
	return t.refresh()
}
