package esa

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/metric/task"
)

func TestPrivateKeyText(t *testing.T) {
	for _, kem := range []KEM{X25519, P256, XWing} {
		w := newWorld(t, kem, X25519)
		k := w.private[0]
		text, err := k.Text()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParsePrivateKey("\n " + text + "\n")
		if err != nil {
			t.Fatal(err)
		}
		p, q := k.Public(), again.Public()
		if p.ID != q.ID || p.KEM != q.KEM || p.NotBefore != q.NotBefore || p.NotAfter != q.NotAfter || !bytes.Equal(p.Public, q.Public) {
			t.Errorf("%v: read as %v", p, q)
		}
		if text2, err := again.Text(); err != nil || text2 != text {
			t.Errorf("%v: another text: %v", kem, err)
		}
		// Damage anywhere is found, and the error never holds the secret.
		for i := range text {
			damaged := text[:i] + "A" + text[i+1:]
			if damaged == text {
				continue
			}
			_, err := ParsePrivateKey(damaged)
			if err == nil {
				t.Errorf("%v: character %d replaced, no error", kem, i)
			}
			if err != nil && strings.Contains(err.Error(), text[len(text)-12:]) {
				t.Errorf("%v: the error holds the text", kem)
			}
		}
		for _, s := range []string{"", "shoal-hpke-key:", text[1:], text + "A", text[:len(text)-1], "x" + text} {
			if _, err := ParsePrivateKey(s); err == nil {
				t.Errorf("%v: reads a text of %d characters", kem, len(s))
			}
		}
	}
}

// TestPrivateKeyIsRedacted covers secrets in logs and error messages.
func TestPrivateKeyIsRedacted(t *testing.T) {
	w := newWorld(t, X25519, X25519)
	k := w.private[0]
	secret, err := k.key.Secret()
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("key", slog.Any("key", k), slog.Any("keys", w.private))
	marshalled, err := json.Marshal(w.private)
	if err != nil {
		t.Fatal(err)
	}
	all := log.String() + string(marshalled) + k.String()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		all += fmt.Sprintf(verb, k) + fmt.Sprintf(verb, w.private) + fmt.Sprintf(verb, struct{ K *PrivateKey }{k})
	}
	for _, form := range []string{
		string(secret), fmt.Sprintf("%x", secret), fmt.Sprint(secret), fmt.Sprintf("%d", secret[:8]),
		base64.StdEncoding.EncodeToString(secret), base64.RawURLEncoding.EncodeToString(secret[3:]),
	} {
		if strings.Contains(all, form) {
			t.Errorf("a print of the key holds %q", form)
		}
	}
	if !strings.Contains(k.String(), k.Public().ID.String()) {
		t.Errorf("%v does not name the key", k)
	}
	if s := fmt.Sprint((*PrivateKey)(nil)); !strings.Contains(s, "none") {
		t.Errorf("nil prints as %s", s)
	}
}

func TestGenerateKey(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	for _, kem := range []KEM{X25519, P256, XWing} {
		a, err1 := GenerateKey(kem, now, now.Add(time.Hour), rand.NewChaCha8([32]byte{}))
		b, err2 := GenerateKey(kem, now, now.Add(time.Hour), rand.NewChaCha8([32]byte{}))
		c, err3 := GenerateKey(kem, now, now.Add(time.Hour), rand.NewChaCha8([32]byte{1}))
		if err1 != nil || err2 != nil || err3 != nil {
			t.Fatal(err1, err2, err3)
		}
		if a.public.ID != b.public.ID || a.public.ID == c.public.ID {
			t.Errorf("%v: keys %v, %v of one seed, %v of another", kem, a, b, c)
		}
		if a.public.ID != task.NewKeyID(uint16(kem), a.public.Public) {
			t.Errorf("%v: ID %v", kem, a.public.ID)
		}
	}
	if _, err := GenerateKey(X25519, now, now, bytes.NewReader(make([]byte, 31))); err == nil {
		t.Error("a key of 31 random bytes")
	}
	if _, err := GenerateKey(X25519, now, now.Add(-time.Second), rand.NewChaCha8([32]byte{})); err == nil {
		t.Error("a key that expires before it begins")
	}
	if _, err := GenerateKey(0x0021, now, now, rand.NewChaCha8([32]byte{})); err == nil {
		t.Error("a key of an unknown KEM")
	}
}

func TestXWingIsForTheOutermostLayerOnly(t *testing.T) {
	w := newWorld(t, XWing, X25519)
	if _, err := NewOpener(w.task, w.id, 1, w.private[0]); err == nil {
		t.Error("opener for an inner layer with a key of X-Wing")
	}
	if _, err := NewSealer(w.task, w.id, []task.Key{w.keys[0], w.keys[0]}); err == nil {
		t.Error("sealer for an inner layer with a key of X-Wing")
	}
	if n := LayerSize(w.task, 0, XWing) - LayerSize(w.task, 0, X25519); n != 1088 {
		t.Errorf("X-Wing adds %d bytes", n)
	}
}

func TestNewSealerRefusesBadKeys(t *testing.T) {
	w := newWorld(t, X25519, P256)
	for name, change := range map[string]func(k []task.Key) []task.Key{
		"too few":      func(k []task.Key) []task.Key { return k[:1] },
		"too many":     func(k []task.Key) []task.Key { return append(k, k[0]) },
		"unknown KEM":  func(k []task.Key) []task.Key { k[0].KEM = 0x0021; return k },
		"another KEM":  func(k []task.Key) []task.Key { k[0].KEM = uint16(P256); return k },
		"no point":     func(k []task.Key) []task.Key { k[1].Public = bytes.Repeat([]byte{4}, 65); return k },
		"short public": func(k []task.Key) []task.Key { k[0].Public = k[0].Public[1:]; return k },
	} {
		keys := change([]task.Key{w.private[0].Public(), w.private[1].Public()})
		if _, err := NewSealer(w.task, w.id, keys); err == nil {
			t.Errorf("%s: sealer made", name)
		}
	}
}

// TestChooseKeys covers invariant "no silent weakening": a hop without a usable
// key stops the report.
func TestChooseKeys(t *testing.T) {
	w := newWorld(t, XWing, P256)
	now := w.task.Start(testEpoch)
	old := w.private[1].Public()
	old.NotAfter = now.Unix() - 1
	x25519 := newWorld(t, X25519, X25519).keys
	configs := []*task.KeyConfig{{Keys: []task.Key{w.keys[0], x25519[0]}}, {Keys: []task.Key{old, w.keys[0], w.keys[1], x25519[1]}}}
	keys, err := ChooseKeys(w.task, configs, now)
	if err != nil || keys[0].ID != w.keys[0].ID || keys[1].ID != w.keys[1].ID {
		t.Errorf("%v, %v", keys, err)
	}
	configs[1].Keys = []task.Key{old, w.keys[0]}
	if _, err := ChooseKeys(w.task, configs, now); err == nil {
		t.Error("chosen though the analyzer has no usable key")
	}
	if _, err := ChooseKeys(w.task, configs[:1], now); err == nil {
		t.Error("chosen though a hop has no config")
	}
}

func FuzzPrivateKey(f *testing.F) {
	w := newWorld(f, X25519, P256)
	for _, k := range w.private {
		text, err := k.Text()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, s string) {
		k, err := ParsePrivateKey(s)
		if err != nil {
			return
		}
		text, err := k.Text()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParsePrivateKey(text)
		if err != nil || again.public.ID != k.public.ID {
			t.Errorf("%v reads back as %v, %v", k, again, err)
		}
	})
}
