package atrest

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
)

func mustNew(t testing.TB, first Key, former ...Key) *Keys {
	t.Helper()
	ks, err := New(first, former...)
	if err != nil {
		t.Fatal(err)
	}
	return ks
}

// The vectors of the specification of XAES-256-GCM (c2sp.org/XAES-256-GCM).
func TestXAES(t *testing.T) {
	for _, v := range []struct {
		key     byte
		ad, out string
	}{
		{1, "", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"},
		{3, "c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"},
	} {
		ks := mustNew(t, Key(bytes.Repeat([]byte{v.key}, 32)))
		nonce := []byte("ABCDEFGHIJKLMNOPQRSTUVWX")
		out := ks.list[0].aead(nonce).Seal(nil, nonce[12:], []byte("XAES-256-GCM"), []byte(v.ad))
		if hex.EncodeToString(out) != v.out {
			t.Errorf("key %d: %x, want %s", v.key, out, v.out)
		}
	}
}

func TestSealAndOpen(t *testing.T) {
	a, b := Key{1}, Key{2}
	old, both, other := mustNew(t, a), mustNew(t, b, a), mustNew(t, Key{3})
	secret := []byte("a secret that stands out")
	sealed := old.Seal(secret, "kind", []byte("row"), []byte("column"))
	if len(sealed) != len(secret)+Overhead || bytes.Contains(sealed, secret[:8]) {
		t.Errorf("%q", sealed)
	}
	for what, ks := range map[string]*Keys{"the key": old, "a newer key before it": both} {
		if got, err := ks.Open(sealed, "kind", []byte("row"), []byte("column")); err != nil || !bytes.Equal(got, secret) {
			t.Errorf("%s: %q, %v", what, got, err)
		}
	}
	if old.Current(sealed) != true || both.Current(sealed) || other.Current(sealed) || old.Current(nil) {
		t.Error("Current names the wrong list")
	}
	if again := old.Seal(secret, "kind"); bytes.Equal(again[:header], sealed[:header]) {
		t.Error("two seals have one nonce")
	}
	for what, open := range map[string]func() ([]byte, error){
		"another key":    func() ([]byte, error) { return other.Open(sealed, "kind", []byte("row"), []byte("column")) },
		"another kind":   func() ([]byte, error) { return old.Open(sealed, "kinds", []byte("row"), []byte("column")) },
		"another row":    func() ([]byte, error) { return old.Open(sealed, "kind", []byte("rov"), []byte("column")) },
		"another split":  func() ([]byte, error) { return old.Open(sealed, "kind", []byte("rowc"), []byte("olumn")) },
		"fewer parts":    func() ([]byte, error) { return old.Open(sealed, "kind", []byte("rowcolumn")) },
		"an empty part":  func() ([]byte, error) { return old.Open(sealed, "kind", []byte("row"), []byte("column"), nil) },
		"kind moved":     func() ([]byte, error) { return old.Open(sealed, "", []byte("kind"), []byte("row"), []byte("column")) },
		"nothing sealed": func() ([]byte, error) { return old.Open(nil, "kind") },
	} {
		if got, err := open(); !errors.Is(err, ErrSealed) || got != nil {
			t.Errorf("%s: %q, %v, want ErrSealed", what, got, err)
		}
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		if _, err := old.Open(bad, "kind", []byte("row"), []byte("column")); !errors.Is(err, ErrSealed) {
			t.Errorf("byte %d flipped: %v", i, err)
		}
		if _, err := old.Open(sealed[:i], "kind", []byte("row"), []byte("column")); !errors.Is(err, ErrSealed) {
			t.Errorf("cut to %d bytes: %v", i, err)
		}
	}
}

func TestKeys(t *testing.T) {
	k, err := GenerateKey(rand.NewChaCha8([32]byte{}))
	if err != nil {
		t.Fatal(err)
	}
	if back, err := ParseKey(" " + k.Text() + "\n"); err != nil || back != k {
		t.Errorf("%v", err)
	}
	for _, text := range []string{"", k.Text()[1:], k.Text() + "A", k.Text()[:len(k.Text())-1], keyPrefix, strings.ToUpper(k.Text())} {
		if _, err := ParseKey(text); err == nil || len(text) > 20 && strings.Contains(err.Error(), text[len(keyPrefix):]) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := GenerateKey(strings.NewReader("short")); err == nil {
		t.Error("a key of little randomness")
	}
	if _, err := New(Key{}); err == nil {
		t.Error("a key of zeros was taken")
	}
	if _, err := New(k, Key{9}, k); err == nil {
		t.Error("a key stands twice")
	}
}

func TestKeysPrintRedacted(t *testing.T) {
	k := Key(bytes.Repeat([]byte{0xab}, 32))
	ks := mustNew(t, k)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", k, "keys", ks)
	text, err := json.Marshal(map[string]any{"k": k, "p": &k})
	if err != nil {
		t.Fatal(err)
	}
	all := fmt.Sprintf("%v %+v %#v %s %x %d %q", k, k, k, k, k, k, k) + fmt.Sprintf("%v %#v %x", ks, ks, *ks) + log.String() + string(text)
	for _, leak := range []string{"abab", "q6ur", "171 171", "171,171", "\xab"} {
		if strings.Contains(all, leak) {
			t.Errorf("%q is in %s", leak, all)
		}
	}
}

// FuzzOpen: nothing opens that was not sealed.
func FuzzOpen(f *testing.F) {
	ks, err := New(Key{1}, Key{2})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(ks.Seal([]byte("secret"), "kind"), "kinds")
	f.Add([]byte{1, 2, 3}, "")
	f.Fuzz(func(t *testing.T, sealed []byte, what string) {
		if what == "kind" {
			return
		}
		if _, err := ks.Open(sealed, what); !errors.Is(err, ErrSealed) {
			t.Fatalf("%v, want ErrSealed", err)
		}
	})
}
