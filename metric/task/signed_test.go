package task_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/golden"
	"github.com/shoal-project/shoal/metric/task"
)

var owners = []ed25519.PublicKey{identity("someone else").Public(), identity("owner").Public()}

func signed(t testing.TB) *task.Signed {
	s, err := task.Sign(sample(), identity("owner"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSigned(t *testing.T) {
	s := signed(t)
	for _, name := range []string{"analyzer", "shuffler", "analyzer"} {
		if err := s.AddSignature(identity(name)); err != nil {
			t.Fatal(err)
		}
	}
	var by []string
	for _, sig := range s.Signatures {
		by = append(by, task.FormatPublic(sig.By))
	}
	want := []string{task.FormatPublic(identity("owner").Public()), task.FormatPublic(identity("shuffler").Public()), task.FormatPublic(identity("analyzer").Public())}
	if !reflect.DeepEqual(by, want) {
		t.Errorf("signed by %v, want %v", by, want)
	}
	b, err := s.Encode()
	golden.Equal(t, "testdata/signed.bin", must(t, b, err))
	back, err := task.ParseSigned(b)
	if !reflect.DeepEqual(must(t, back, err), s) {
		t.Error("parsed something else")
	}
	tk, id, err := back.Open(owners)
	wantID, err2 := sample().ID()
	if !reflect.DeepEqual(must(t, tk, err), sample()) || id != must(t, wantID, err2) {
		t.Error("opened something else")
	}
}

// TestSignedRefuses covers the threat of a task that its owner never signed, or
// that carries a signature of a party that never signed it.
func TestSignedRefuses(t *testing.T) {
	if _, err := task.Sign(sample(), identity("shuffler")); err == nil {
		t.Error("signed with another's key")
	}
	if err := signed(t).AddSignature(identity("stranger")); err == nil {
		t.Error("a stranger signed")
	}
	if _, _, err := signed(t).Open(owners[:1]); !errors.Is(err, task.ErrNotAccepted) {
		t.Errorf("a foreign owner gave %v", err)
	}
	full := func() *task.Signed {
		s := signed(t)
		for _, name := range []string{"shuffler", "analyzer"} {
			if err := s.AddSignature(identity(name)); err != nil {
				t.Fatal(err)
			}
		}
		return s
	}
	stranger := identity("stranger")
	for name, f := range map[string]func(s *task.Signed){
		"no signature":       func(s *task.Signed) { s.Signatures = nil },
		"no owner":           func(s *task.Signed) { s.Signatures = s.Signatures[1:] },
		"twice":              func(s *task.Signed) { s.Signatures = append(s.Signatures, s.Signatures[2]) },
		"owner twice":        func(s *task.Signed) { s.Signatures[1] = s.Signatures[0] },
		"out of order":       func(s *task.Signed) { s.Signatures[1], s.Signatures[2] = s.Signatures[2], s.Signatures[1] },
		"flipped":            func(s *task.Signed) { s.Signatures[0].Sig[9] ^= 1 },
		"party flipped":      func(s *task.Signed) { s.Signatures[2].Sig[9] ^= 1 },
		"short":              func(s *task.Signed) { s.Signatures[0].Sig = s.Signatures[0].Sig[:63] },
		"task changed":       func(s *task.Signed) { s.Bytes[40] ^= 1 },
		"short key":          func(s *task.Signed) { s.Signatures[1].By = s.Signatures[1].By[:31] },
		"stranger":           func(s *task.Signed) { s.Signatures[1] = sign(stranger, task.TaskDomain, s.Bytes) },
		"other domain":       func(s *task.Signed) { s.Signatures[0] = sign(identity("owner"), task.BatchDomain, s.Bytes) },
		"owner is not first": func(s *task.Signed) { s.Signatures[0] = sign(stranger, task.TaskDomain, s.Bytes) },
	} {
		s := full()
		f(s)
		if _, _, err := s.Open(owners); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

func sign(k task.IdentityKey, d task.Domain, b []byte) task.Signature {
	return task.Signature{By: k.Public(), Sig: k.Sign(d, b)}
}

func TestBundle(t *testing.T) {
	second := fields()
	second.Metric = "second"
	s2, err := task.Sign(second, identity("owner"))
	b := task.Bundle{Tasks: []*task.Signed{signed(t), must(t, s2, err)}}
	enc, err := b.Encode()
	golden.Equal(t, "testdata/bundle.bin", must(t, enc, err))
	back, err := task.ParseBundle(enc)
	opened, err2 := must(t, back, err).Open(owners)
	if len(must(t, opened, err2)) != 2 || opened[1].Task.Metric != "second" || opened[0].Signed != back.Tasks[0] {
		t.Errorf("opened %v", opened)
	}
	if id, err := opened[1].Task.ID(); must(t, id, err) != opened[1].ID {
		t.Error("wrong ID")
	}
	if _, err := back.Open(nil); !errors.Is(err, task.ErrNotAccepted) {
		t.Errorf("opened for nobody: %v", err)
	}
	twice := task.Bundle{Tasks: []*task.Signed{signed(t), signed(t)}}
	if _, err := twice.Open(owners); err == nil || !strings.Contains(err.Error(), "stands twice") {
		t.Errorf("one metric twice: %v", err)
	}
	for _, bad := range [][]byte{nil, []byte("#!/bin/sh"), enc[:len(enc)-1], append(enc, 1)} {
		if _, err := task.ParseBundle(bad); err == nil {
			t.Errorf("parsed %d bytes", len(bad))
		}
	}
	if empty, err := task.ParseBundle(enc[:16]); len(must(t, empty, err).Tasks) != 0 {
		t.Error("an empty bundle holds tasks")
	}
}

func TestIdentityKey(t *testing.T) {
	k := identity("owner")
	back, err := task.ParseIdentityKey(k.Secret() + "\n")
	if !bytes.Equal(must(t, back, err).Public(), k.Public()) {
		t.Error("another key came back")
	}
	pub, err := task.ParsePublic(task.FormatPublic(k.Public()))
	if !bytes.Equal(must(t, pub, err), k.Public()) {
		t.Error("another public key came back")
	}
	for _, s := range []string{"", "ed25519:", task.FormatPublic(k.Public())[1:], task.FormatPublic(k.Public()) + "A", k.Secret()} {
		if _, err := task.ParsePublic(s); err == nil {
			t.Errorf("%q passes", s)
		}
	}
	for _, s := range []string{"", "shoal-identity-key:", k.Secret()[:30], k.Secret() + "A", task.FormatPublic(k.Public())} {
		_, err := task.ParseIdentityKey(s)
		if err == nil || len(s) > 25 && strings.Contains(err.Error(), s[20:]) {
			t.Errorf("%q: %v", s, err)
		}
	}
	if _, err := task.GenerateIdentityKey(strings.NewReader("short")); err == nil {
		t.Error("a key from 5 bytes")
	}
	var zero task.IdentityKey
	if zero.Public() != nil || zero.Sign(task.TaskDomain, nil) != nil || zero.Secret() != "" {
		t.Error("the zero key does something")
	}
}

// TestIdentityKeyIsRedacted covers the threat of a private key in a log.
func TestIdentityKeyIsRedacted(t *testing.T) {
	k := identity("owner")
	seed := strings.TrimPrefix(k.Secret(), "shoal-identity-key:")
	js, err := json.Marshal(map[string]any{"key": k})
	must(t, js, err)
	for _, s := range []string{
		fmt.Sprint(k), fmt.Sprintf("%v %+v %#v %s %x %d", k, k, k, k, k, k), fmt.Sprintf("%+v", struct{ K task.IdentityKey }{k}), string(js), k.LogValue().String(),
	} {
		if strings.Contains(s, seed) || !strings.Contains(s, "ed25519:") {
			t.Errorf("prints %q", s)
		}
	}
}

func TestKeyConfig(t *testing.T) {
	c := keyConfig("shuffler", task.Shuffler)
	b, err := task.SignKeyConfig(c, identity("shuffler"))
	golden.Equal(t, "testdata/keyconfig.bin", must(t, b, err))
	now := start.Add(time.Hour)
	back, err := task.OpenKeyConfig(b, identity("shuffler").Public(), task.Shuffler, now)
	if !reflect.DeepEqual(must(t, back, err), c) {
		t.Errorf("opened %+v\nwant %+v", back, c)
	}
	kems := func(at time.Time) (out []uint16) {
		for _, k := range back.Current(at) {
			out = append(out, k.KEM)
		}
		return out
	}
	if got := kems(now); !reflect.DeepEqual(got, []uint16{task.KEMP256, task.KEMX25519}) {
		t.Errorf("current keys %x: an unknown mechanism is to be passed over", got)
	}
	if got := kems(now.AddDate(0, 0, 1)); !reflect.DeepEqual(got, []uint16{task.KEMX25519}) {
		t.Errorf("current keys a day later %x", got)
	}
	if got := kems(start.Add(-time.Second)); got != nil {
		t.Errorf("current keys too early %x", got)
	}
}

// TestKeyConfigRefuses covers the threat of a client that seals to a key that
// its party did not announce, or announced for another role or time.
func TestKeyConfigRefuses(t *testing.T) {
	k := identity("shuffler")
	b, err := task.SignKeyConfig(keyConfig("shuffler", task.Shuffler), k)
	must(t, b, err)
	now := start.Add(time.Hour)
	open := func(b []byte, id ed25519.PublicKey, role task.Role, at time.Time) error {
		_, err := task.OpenKeyConfig(b, id, role, at)
		return err
	}
	for name, err := range map[string]error{
		"another identity": open(b, identity("owner").Public(), task.Shuffler, now),
		"another role":     open(b, k.Public(), task.Analyzer, now),
		"too early":        open(b, k.Public(), task.Shuffler, start.Add(-time.Second)),
		"too late":         open(b, k.Public(), task.Shuffler, start.AddDate(0, 0, 3)),
		"no identity":      open(b, nil, task.Shuffler, now),
		"longer":           open(append(bytes.Clone(b), 0), k.Public(), task.Shuffler, now),
	} {
		if err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 4
		if open(bad, k.Public(), task.Shuffler, now) == nil {
			t.Errorf("byte %d flipped: opened", i)
		}
		if open(b[:i], k.Public(), task.Shuffler, now) == nil {
			t.Errorf("opened %d bytes", i)
		}
	}
	for want, f := range map[string]func(*task.KeyConfig){
		"must be empty":      func(c *task.KeyConfig) { c.Evidence = [][]byte{{1}} },
		"log proof must be":  func(c *task.KeyConfig) { c.LogProof = []byte{1} },
		"no X25519 key":      func(c *task.KeyConfig) { c.Keys = c.Keys[:2] },
		"not the digest":     func(c *task.KeyConfig) { c.Keys[0].ID[0]++ },
		"stands twice":       func(c *task.KeyConfig) { c.Keys = append(c.Keys, c.Keys[0]) },
		"33 keys":            func(c *task.KeyConfig) { c.Keys = make([]task.Key, 33) },
		"want 65":            func(c *task.KeyConfig) { c.Keys[1].Public = c.Keys[1].Public[1:] },
		"public key has 0":   func(c *task.KeyConfig) { c.Keys[0].Public = nil },
		"key 1: valid from":  func(c *task.KeyConfig) { c.Keys[0].NotBefore = c.Keys[0].NotAfter + 1 },
		"config: valid from": func(c *task.KeyConfig) { c.NotBefore = -1 },
		"unknown role":       func(c *task.KeyConfig) { c.Role = 0 },
		"the key at hand":    func(c *task.KeyConfig) { c.Identity = c.Identity[1:] },
	} {
		c := keyConfig("shuffler", task.Shuffler)
		f(c)
		if _, err := task.SignKeyConfig(c, k); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

// TestKeyConfigWithEvidence holds that a party that offers what this version
// cannot check is refused in those words, not taken at its word.
func TestKeyConfigWithEvidence(t *testing.T) {
	k := identity("shuffler")
	c := keyConfig("shuffler", task.Shuffler)
	body, err := c.Bytes()
	at := len(must(t, body, err)) - 20
	withProof := append(append(bytes.Clone(body[:at]), 0, 0, 0, 1, 9), body[at+4:]...)
	b := append([]byte{byte(len(withProof) >> 8), byte(len(withProof))}, withProof...)
	b = append(b, k.Sign(task.KeyConfigDomain, withProof)...)
	if _, err := task.OpenKeyConfig(b, k.Public(), task.Shuffler, start); err == nil || !strings.Contains(err.Error(), "must be empty") {
		t.Errorf("got %v", err)
	}
}

func TestKeyConfigList(t *testing.T) {
	var l task.KeyConfigList
	for i, name := range []string{"shuffler", "analyzer"} {
		b, err := task.SignKeyConfig(keyConfig(name, task.Role(i+1)), identity(name))
		l = append(l, must(t, b, err))
	}
	b, err := l.Encode()
	golden.Equal(t, "testdata/keyconfigs.bin", must(t, b, err))
	back, err := task.ParseKeyConfigList(b)
	now := start.Add(time.Minute)
	configs, err2 := must(t, back, err).Open(sample(), now)
	if len(must(t, configs, err2)) != 2 || configs[1].Role != task.Analyzer {
		t.Errorf("opened %v", configs)
	}
	back[0], back[1] = back[1], back[0]
	if _, err := back.Open(sample(), now); err == nil || !strings.Contains(err.Error(), "hop 1") {
		t.Errorf("exchanged: %v", err)
	}
	if _, err := back[:1].Open(sample(), now); err == nil {
		t.Error("opened with a hop missing")
	}
	for _, bad := range [][]byte{nil, {2}, b[:len(b)-1], append(bytes.Clone(b), 0), bytes.Repeat([]byte{1, 0, 0}, 20)} {
		if _, err := task.ParseKeyConfigList(bad); err == nil {
			t.Errorf("parsed %x", bad)
		}
	}
	if _, err := make(task.KeyConfigList, 9).Encode(); err == nil {
		t.Error("encoded 9 configs")
	}
}

func FuzzParseSigned(f *testing.F) {
	b, err := signed(f).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := task.ParseSigned(b)
		if err != nil {
			return
		}
		if again, err := s.Encode(); !bytes.Equal(must(t, again, err), b) {
			t.Errorf("%x is not its own encoding", b)
		}
		if tk, _, err := s.Open(owners); err == nil && !reflect.DeepEqual(tk, sample()) {
			t.Error("opened a task that was never signed")
		}
	})
}

func FuzzParseBundle(f *testing.F) {
	b, err := (&task.Bundle{Tasks: []*task.Signed{signed(f)}}).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := task.ParseBundle(b)
		if err != nil {
			return
		}
		if again, err := x.Encode(); !bytes.Equal(must(t, again, err), b) {
			t.Errorf("%x is not its own encoding", b)
		}
	})
}

// FuzzOpenKeyConfig signs whatever it is given, so that the parser behind the
// signature is reached.
func FuzzOpenKeyConfig(f *testing.F) {
	body, err := keyConfig("shuffler", task.Shuffler).Bytes()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	k := identity("shuffler")
	f.Fuzz(func(t *testing.T, body []byte) {
		b := append([]byte{byte(len(body) >> 8), byte(len(body))}, body...)
		b = append(b, k.Sign(task.KeyConfigDomain, body)...)
		c, err := task.OpenKeyConfig(b, k.Public(), task.Shuffler, start)
		if err != nil {
			return
		}
		if again, err := c.Bytes(); !bytes.Equal(must(t, again, err), body) {
			t.Errorf("%x is not its own encoding", body)
		}
		c.Current(start)
	})
}

func FuzzParseKeyConfigList(f *testing.F) {
	f.Add([]byte{1, 0, 0, 2, 7, 7})
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := task.ParseKeyConfigList(b)
		if err != nil {
			return
		}
		if again, err := l.Encode(); !bytes.Equal(must(t, again, err), b) {
			t.Errorf("%x is not its own encoding", b)
		}
	})
}
