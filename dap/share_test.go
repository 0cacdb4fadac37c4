package dap_test

import (
	"bytes"
	"crypto/ecdh"
	stdhpke "crypto/hpke"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/golden"
	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/vdaf"
)

func TestShares(t *testing.T) {
	for _, v := range variants() {
		for _, kem := range kems() {
			for _, role := range []dap.Role{dap.Leader, dap.Helper} {
				t.Run(fmt.Sprintf("%v/%#x/%v", v, kem, role), func(t *testing.T) { testShares(t, v, kem, role) })
			}
		}
	}
}

func testShares(t *testing.T, v *dap.Variant, kem uint16, role dap.Role) {
	tsk, key := newTask(t, v, configuration()), newKey(t, 9, kem)
	md, public := metadata(), []byte{1, 2, 3}
	want := dap.PlaintextInputShare{PrivateExtensions: []byte{0, 9, 0, 0}, Payload: []byte("share")}
	sealed, err := tsk.SealInputShare(key.Config(), role, &md, public, &want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := tsk.OpenInputShare(key, role, &dap.ReportShare{Metadata: md, PublicShare: public, InputShare: sealed})
	if err != nil || !equal(got.Payload, want.Payload) || !equal(got.PrivateExtensions, want.PrivateExtensions) {
		t.Errorf("opened %v, %v", got, err)
	}

	job := dap.CollectionJobReq{Query: dap.NextBatchQuery()}
	aggregate, err := tsk.SealAggregateShare(key.Config(), role, &job, []byte("sum"))
	if err != nil {
		t.Fatal(err)
	}
	sum, err := tsk.OpenAggregateShare(key, role, &job, &aggregate)
	if err != nil || string(sum) != "sum" {
		t.Errorf("opened %q, %v", sum, err)
	}
}

// TestShareBytes opens shares by the standard library alone, with info and AAD
// written down from «Client Behavior» and «Aggregate Share Encryption».
func TestShareBytes(t *testing.T) {
	for _, v := range variants() {
		tag := map[string]string{"dap-18": "dap-18", "dap-19": "dap-19", "janus": "dap-18"}[v.String()]
		config := configuration()
		encoded := mustEncode(t, v, &config)
		id := taskID(0x80)
		tsk, err := dap.NewTask(v, id, encoded)
		if err != nil {
			t.Fatal(err)
		}
		secret := upTo(7, 32)
		private, err := stdhpke.DHKEM(ecdh.X25519()).NewPrivateKey(secret)
		if err != nil {
			t.Fatal(err)
		}
		to := dap.HpkeConfig{ID: 3, KEM: 0x20, KDF: 1, AEAD: 1, PublicKey: private.PublicKey().Bytes()}
		open := func(m dap.HpkeCiphertext, info, aad []byte) []byte {
			t.Helper()
			r, err := stdhpke.NewRecipient(m.Enc, private, stdhpke.HKDFSHA256(), stdhpke.AES128GCM(), info)
			if err != nil {
				t.Fatal(err)
			}
			plaintext, err := r.Open(aad, m.Payload)
			if err != nil {
				t.Fatalf("%v: %v", v, err)
			}
			return plaintext
		}

		md := metadata()
		bound := append(id[:], encoded...)
		m, err := tsk.SealInputShare(to, dap.Helper, &md, []byte{0xaa}, &dap.PlaintextInputShare{Payload: []byte{5}})
		if err != nil {
			t.Fatal(err)
		}
		inputAAD := unhex(t, id10+"0102030405060708"+"0005123400 01ff"+"00000001aa")
		plaintext := open(m, append([]byte(tag+" input share"), 1, 3), append(bytes.Clone(bound), inputAAD...))
		if want := unhex(t, "0000 00000001 05"); !equal(plaintext, want) {
			t.Errorf("plaintext %x, want %x", plaintext, want)
		}

		m, err = tsk.SealAggregateShare(to, dap.Leader, &dap.CollectionJobReq{Query: dap.NextBatchQuery()}, []byte{6})
		if err != nil {
			t.Fatal(err)
		}
		plaintext = open(m, append([]byte(tag+" aggregate share"), 2, 0), append(bytes.Clone(bound), unhex(t, "020000 00000000 0000")...))
		if want := []byte{6}; !equal(plaintext, want) {
			t.Errorf("plaintext %x, want %x", plaintext, want)
		}
		if want := tag + string(id[:]); string(tsk.Context()) != want {
			t.Errorf("VDAF context %x, want %x", tsk.Context(), want)
		}
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestGoldenSealed opens what an earlier version sealed: sealing draws
// randomness, so its output cannot be compared.
func TestGoldenSealed(t *testing.T) {
	for _, v := range variants() {
		for _, kem := range kems() {
			file := filepath.Join("testdata", "sealed", fmt.Sprintf("%v-%04x.hex", v, kem))
			tsk, key, md := newTask(t, v, configuration()), newKey(t, 9, kem), metadata()
			if golden.Updating() {
				m, err := tsk.SealInputShare(key.Config(), dap.Leader, &md, nil, &dap.PlaintextInputShare{Payload: []byte("golden")})
				if err != nil {
					t.Fatal(err)
				}
				golden.Write(t, file, []byte(hex.EncodeToString(mustEncode(t, v, &m))+"\n"))
			}
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := dap.ReportShare{Metadata: md}
			if err := dap.NewCodec(v).Decode(&s.InputShare, unhex(t, strings.TrimSpace(string(b)))); err != nil {
				t.Fatal(err)
			}
			share, err := tsk.OpenInputShare(key, dap.Leader, &s)
			if err != nil || string(share.Payload) != "golden" {
				t.Errorf("%s: %v, %v", file, share, err)
			}
		}
	}
}

// Threat: a share that was made for another task, role, report, variant or with
// other public data must not open, so that shares cannot be moved.
func TestInputShareIsBound(t *testing.T) {
	v := dap.DAP18()
	tsk, key, md := newTask(t, v, configuration()), newKey(t, 9, task.KEMX25519), metadata()
	sealed, err := tsk.SealInputShare(key.Config(), dap.Leader, &md, []byte{1}, &dap.PlaintextInputShare{Payload: []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	slash := configuration()
	slash.Leader = "https://a.example"
	later, err := dap.NewTask(dap.DAP19(), tsk.ID(), tsk.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	otherID, err := dap.NewTask(v, taskID(1), tsk.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	good := dap.ReportShare{Metadata: md, PublicShare: []byte{1}, InputShare: sealed}
	tests := []struct {
		name   string
		task   *dap.Task
		role   dap.Role
		key    dap.Opener
		change func(*dap.ReportShare)
		want   dap.ReportError
	}{
		{"nothing changed", tsk, dap.Leader, key, func(*dap.ReportShare) {}, 0},
		{"helper", tsk, dap.Helper, key, func(*dap.ReportShare) {}, dap.DecryptError},
		{"a role without shares", tsk, dap.Collector, key, func(*dap.ReportShare) {}, dap.DecryptError},
		{"a slash less in the URL", newTask(t, v, slash), dap.Leader, key, func(*dap.ReportShare) {}, dap.DecryptError},
		{"another variant", later, dap.Leader, key, func(*dap.ReportShare) {}, dap.DecryptError},
		{"another task ID", otherID, dap.Leader, key, func(*dap.ReportShare) {}, dap.DecryptError},
		{"report ID", tsk, dap.Leader, key, func(s *dap.ReportShare) { s.Metadata.ID[0]++ }, dap.DecryptError},
		{"time", tsk, dap.Leader, key, func(s *dap.ReportShare) { s.Metadata.Time++ }, dap.DecryptError},
		{"extensions", tsk, dap.Leader, key, func(s *dap.ReportShare) { s.Metadata.PublicExtensions = nil }, dap.DecryptError},
		{"public share", tsk, dap.Leader, key, func(s *dap.ReportShare) { s.PublicShare = []byte{2} }, dap.DecryptError},
		{"payload", tsk, dap.Leader, key, func(s *dap.ReportShare) { s.InputShare.Payload = flip(s.InputShare.Payload) }, dap.DecryptError},
		{"encapsulated key", tsk, dap.Leader, key, func(s *dap.ReportShare) { s.InputShare.Enc = flip(s.InputShare.Enc) }, dap.DecryptError},
		{"encapsulated key of another length", tsk, dap.Leader, key, func(s *dap.ReportShare) { s.InputShare.Enc = []byte{1} }, dap.DecryptError},
		{"another key of the same ID", tsk, dap.Leader, newKey(t, 9, task.KEMP256), func(*dap.ReportShare) {}, dap.DecryptError},
		{"a key of another ID", tsk, dap.Leader, newKey(t, 8, task.KEMX25519), func(*dap.ReportShare) {}, dap.DecryptError},
		{"no key", tsk, dap.Leader, nil, func(*dap.ReportShare) {}, dap.DecryptError},
		{"a key of another ID in draft-19", later, dap.Leader, newKey(t, 8, task.KEMX25519), func(*dap.ReportShare) {}, dap.UnknownConfig},
		{"no key in draft-19", later, dap.Leader, nil, func(*dap.ReportShare) {}, dap.UnknownConfig},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := good
			tt.change(&s)
			_, err := tt.task.OpenInputShare(tt.key, tt.role, &s)
			got, _ := errors.AsType[dap.ReportError](err)
			if got != tt.want || (err == nil) != (tt.want == 0) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func flip(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)-1] ^= 1
	return b
}

// A client that seals what is no share gets its own report refused.
func TestSealedNonsense(t *testing.T) {
	tsk, md := newTask(t, dap.DAP18(), configuration()), metadata()
	private, err := stdhpke.DHKEM(ecdh.X25519()).NewPrivateKey(upTo(7, 32))
	if err != nil {
		t.Fatal(err)
	}
	config := dap.HpkeConfig{ID: 3, KEM: 0x20, KDF: 1, AEAD: 1, PublicKey: private.PublicKey().Bytes()}
	key, err := dapkey.New(config, upTo(7, 32))
	if err != nil {
		t.Fatal(err)
	}
	aad, err := tsk.InputShareAAD(&md, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, plaintext := range []string{"", "\x00\x00\x00\x00\x00\x00", "\x00\x00\x00\x00\x00\x01xx"} {
		enc, sender, err := stdhpke.NewSender(private.PublicKey(), stdhpke.HKDFSHA256(), stdhpke.AES128GCM(), []byte("dap-18 input share\x01\x02"))
		if err != nil {
			t.Fatal(err)
		}
		payload, err := sender.Seal(aad, []byte(plaintext))
		if err != nil {
			t.Fatal(err)
		}
		s := dap.ReportShare{Metadata: md, InputShare: dap.HpkeCiphertext{ConfigID: 3, Enc: enc, Payload: payload}}
		if _, err := tsk.OpenInputShare(key, dap.Leader, &s); !errors.Is(err, dap.InvalidMessage) {
			t.Errorf("%q is opened: %v, want invalid_message", plaintext, err)
		}
	}
}

// Threat: the aggregate of one query must not pass for that of another.
func TestAggregateShareIsBound(t *testing.T) {
	tsk, key := newTask(t, dap.DAP18(), configuration()), newKey(t, 9, task.KEMX25519)
	job := dap.CollectionJobReq{Query: dap.IntervalQuery(dap.Interval{Start: 1, Duration: 2})}
	sealed, err := tsk.SealAggregateShare(key.Config(), dap.Helper, &job, []byte("sum"))
	if err != nil {
		t.Fatal(err)
	}
	wider := dap.CollectionJobReq{Query: dap.IntervalQuery(dap.Interval{Start: 1, Duration: 3})}
	if _, err := tsk.OpenAggregateShare(key, dap.Helper, &wider, &sealed); err == nil {
		t.Error("opened for another query")
	}
	if _, err := tsk.OpenAggregateShare(key, dap.Leader, &job, &sealed); err == nil {
		t.Error("opened as the leader's")
	}
	if _, err := tsk.OpenAggregateShare(newKey(t, 8, task.KEMX25519), dap.Helper, &job, &sealed); err == nil {
		t.Error("opened with another key")
	}
	for _, role := range []dap.Role{dap.Collector, dap.Client} {
		if _, err := tsk.SealAggregateShare(key.Config(), role, &job, nil); err == nil {
			t.Errorf("sealed as the %v", role)
		}
		md := metadata()
		if _, err := tsk.SealInputShare(key.Config(), role, &md, nil, &dap.PlaintextInputShare{Payload: []byte{1}}); err == nil {
			t.Errorf("sealed to the %v", role)
		}
	}
}

func TestChoose(t *testing.T) {
	good := newKey(t, 1, task.KEMX25519).Config()
	p256 := newKey(t, 2, task.KEMP256).Config()
	chacha := good
	chacha.ID, chacha.KDF, chacha.AEAD = 3, dap.KDFHKDFSHA512, dap.AEADChaCha20Poly1305
	bad := []dap.HpkeConfig{
		{ID: 10, KEM: 0x21, KDF: 1, AEAD: 1, PublicKey: good.PublicKey},      // DHKEM(X448)
		{ID: 11, KEM: 0x20, KDF: 1, AEAD: 0xffff, PublicKey: good.PublicKey}, // export only
		{ID: 12, KEM: 0x20, KDF: 9, AEAD: 1, PublicKey: good.PublicKey},
		{ID: 13, KEM: 0x20, KDF: 1, AEAD: 1, PublicKey: good.PublicKey[1:]},
		{ID: 14, KEM: 0x20, KDF: 1, AEAD: 1, PublicKey: make([]byte, 32)}, // the point of order one
		{ID: 15, KEM: 0x10, KDF: 1, AEAD: 1, PublicKey: make([]byte, 65)},
	}
	for _, want := range []dap.HpkeConfig{good, p256, chacha} {
		got, err := append(dap.HpkeConfigList(bad), want, good).Choose()
		if err != nil || got.ID != want.ID {
			t.Errorf("chose %d (%v), want %d", got.ID, err, want.ID)
		}
	}
	if _, err := dap.HpkeConfigList(bad).Choose(); !errors.Is(err, dap.ErrUnsupported) {
		t.Errorf("%v, want ErrUnsupported", err)
	}
	for _, c := range bad {
		if err := c.Validate(); !errors.Is(err, dap.ErrUnsupported) {
			t.Errorf("configuration %d: %v, want ErrUnsupported", c.ID, err)
		}
	}
}

func TestPrivateKeyText(t *testing.T) {
	for _, kem := range kems() {
		key := newKey(t, 200, kem)
		text, err := key.Text()
		if err != nil {
			t.Fatal(err)
		}
		again, err := dapkey.Parse(" " + text + "\n")
		if err != nil {
			t.Fatal(err)
		}
		if a, b := mustEncode(t, dap.DAP18(), ptr(key.Config())), mustEncode(t, dap.DAP18(), ptr(again.Config())); !equal(a, b) {
			t.Errorf("KEM %#x: public half %x, want %x", kem, b, a)
		}
		for _, bad := range []string{"", text[1:], text[:len(text)-2], strings.ToUpper(text), text + "AAAA"} {
			_, err := dapkey.Parse(bad)
			if err == nil {
				t.Errorf("KEM %#x: %q is accepted", kem, bad)
			} else if len(bad) > 40 && strings.Contains(err.Error(), bad[40:]) {
				t.Errorf("KEM %#x: the error repeats the secret", kem)
			}
		}
	}
	if _, err := dapkey.New(newKey(t, 1, task.KEMX25519).Config(), upTo(1, 32)); err == nil {
		t.Error("a secret of another key is accepted")
	}
	if _, err := dapkey.Generate(1, 0x21, &detRand{}); !errors.Is(err, dap.ErrUnsupported) {
		t.Errorf("%v, want ErrUnsupported", err)
	}
	if _, err := dapkey.Generate(1, hpke.X25519, strings.NewReader("short")); err == nil {
		t.Error("a key of 5 random bytes is made")
	}
}

func ptr[T any](v T) *T { return &v }

// Threat: a secret in a log.
func TestPrivateKeyIsRedacted(t *testing.T) {
	key := newKey(t, 5, task.KEMX25519)
	text, err := key.Text()
	if err != nil {
		t.Fatal(err)
	}
	secret := text[len(text)-20:]
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", slog.Any("key", key))
	marshalled, _ := key.MarshalText()
	for _, s := range []string{
		fmt.Sprint(key), fmt.Sprintf("%+v %#v %x %q %d %s", key, key, key, key, key, key),
		fmt.Sprintf("%v", struct{ K *dapkey.PrivateKey }{key}), log.String(), string(marshalled), fmt.Sprint((*dapkey.PrivateKey)(nil)),
	} {
		if strings.Contains(s, secret) || !strings.Contains(s, "HPKE key") {
			t.Errorf("printed as %q", s)
		}
	}
}

func TestDeriveVerifyKey(t *testing.T) {
	seed := upTo(1, 32)
	a, err := dap.DeriveVerifyKey(seed, taskID(1))
	if err != nil {
		t.Fatal(err)
	}
	// Computed with HMAC alone: extract with the salt "verify_key", then one
	// block of expand with the task ID and the counter 1 (RFC 5869).
	if want := vdaf.VerifyKey(hkdfByHand(seed, "verify_key", upTo(1, 32))); *a != want {
		t.Error("not the key of HKDF")
	}
	b, err := dap.DeriveVerifyKey(seed, taskID(2))
	if err != nil || *a == *b {
		t.Errorf("two tasks have one key (%v)", err)
	}
	if _, err := dap.DeriveVerifyKey(seed[1:], taskID(1)); err == nil {
		t.Error("a seed of 31 bytes is accepted")
	}
}
