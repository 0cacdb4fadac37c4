package dap_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/metric/task"
)

func identityKey(t testing.TB) task.IdentityKey {
	t.Helper()
	k, err := task.GenerateIdentityKey(bytes.NewReader(bytes.Repeat([]byte{5}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// What is signed, by hand: the domain, a zero, the role, the time, the list.
func TestConfigSignature(t *testing.T) {
	k := identityKey(t)
	until := time.Unix(0x0102030405, 999)
	list := []byte{0xaa, 0xbb}
	signed := []byte("shoal dap keys v1\x00\x03\x00\x00\x00\x01\x02\x03\x04\x05\xaa\xbb")
	raw := k.Sign("shoal dap keys v1", signed[len("shoal dap keys v1")+1:])
	want := strconv.FormatInt(0x0102030405, 10) + "." + base64.RawURLEncoding.EncodeToString(raw)
	if got := dap.SignConfigs(k, dap.Helper, list, until); got != want {
		t.Errorf("header %s, want %s", got, want)
	}
	got, err := dap.CheckConfigs(k.Public(), dap.Helper, list, want, until.Add(-time.Hour))
	if err != nil || got.Unix() != until.Unix() {
		t.Errorf("%v, %v", got, err)
	}
}

// No header but that of the party passes.
func FuzzCheckConfigs(f *testing.F) {
	k := identityKey(f)
	now := time.Unix(480_000*3600, 0)
	list := []byte("list")
	good := dap.SignConfigs(k, dap.Leader, list, now.Add(time.Hour))
	f.Add(good)
	f.Add("")
	f.Add("0" + good)
	f.Add(good + "=")
	f.Add("1.")
	f.Fuzz(func(t *testing.T, header string) {
		_, err := dap.CheckConfigs(k.Public(), dap.Leader, list, header, now)
		if err != nil && !errors.Is(err, dap.ErrKeySignature) {
			t.Fatalf("%v is not ErrKeySignature", err)
		}
		// Leading zeros and a plus of the time change nothing of what is signed.
		if seconds, rest, _ := bytes.Cut([]byte(header), []byte(".")); err == nil {
			n, _ := strconv.ParseInt(string(seconds), 10, 64)
			if strconv.FormatInt(n, 10)+"."+string(rest) != good {
				t.Fatalf("%q passes", header)
			}
		}
	})
}
