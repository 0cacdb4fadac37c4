package hpke_test

import (
	"encoding/hex"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/internal/hpke"
)

func TestStoredText(t *testing.T) {
	for _, kem := range kems() {
		for _, want := range []hpke.Stored{
			{Use: hpke.ForReports, ID: []byte("12345678"), Suites: []hpke.Suite{hpke.DefaultSuite()}, NotBefore: 1_700_000_000, NotAfter: 1_800_000_000},
			{Use: hpke.ForDAP, ID: []byte{0}, Suites: []hpke.Suite{{KDF: 3, AEAD: 3}}},
			{Use: hpke.ForRequests, ID: make([]byte, 255), Suites: suites()},
		} {
			want.Key = generate(t, kem, 6)
			text, err := want.Text()
			if err != nil {
				t.Fatal(err)
			}
			got, err := hpke.Parse(" "+text+"\n", want.Use)
			if err != nil {
				t.Fatal(err)
			}
			if !got.Key.Equal(want.Key) || got.Use != want.Use || !slices.Equal(got.ID, want.ID) || !reflect.DeepEqual(got.Suites, want.Suites) || got.NotBefore != want.NotBefore || got.NotAfter != want.NotAfter {
				t.Errorf("%v, use %d: reads back as another key", kem, want.Use)
			}
			for use := range hpke.Use(5) {
				if _, err := hpke.Parse(text, use); use != want.Use && err == nil {
					t.Errorf("a key of use %d is read as one of use %d", want.Use, use)
				}
			}
			damage(t, text, want.Use)
		}
	}
	long := hpke.Stored{Key: generate(t, hpke.X25519, 1), ID: make([]byte, 256)}
	many := hpke.Stored{Key: generate(t, hpke.X25519, 1), Suites: make([]hpke.Suite, 17)}
	for _, s := range []*hpke.Stored{&long, &many} {
		if text, err := s.Text(); err == nil {
			t.Errorf("written as %d bytes", len(text))
		}
	}
}

// damage requires that each damaged character of a text is noticed, and that no error
// holds the text. A checksum of 32 bits fits by chance once in 4e9.
func damage(t *testing.T, text string, use hpke.Use) {
	t.Helper()
	for i := range text {
		for _, bad := range []string{text[:i] + string(text[i]^1) + text[i+1:], text[:i], text[:i] + text[i+1:]} {
			if strings.TrimSpace(bad) == text {
				continue
			}
			_, err := hpke.Parse(bad, use)
			if err == nil {
				t.Fatalf("character %d of %d damaged: no error", i, len(text))
			}
			if strings.Contains(err.Error(), text[len(text)-24:len(text)-8]) {
				t.Fatalf("character %d damaged: the error holds the text: %v", i, err)
			}
		}
	}
	if _, err := hpke.Parse(text+"A", use); err == nil {
		t.Error("a longer text is read")
	}
}

// Keys that earlier versions wrote are read: one of each form and mechanism, made by
// their code.
func TestOldTexts(t *testing.T) {
	b, err := os.ReadFile("testdata/old.keys")
	if err != nil {
		t.Fatal(err)
	}
	uses := map[string]hpke.Use{"report": hpke.ForReports, "dap": hpke.ForDAP, "gateway": hpke.ForRequests}
	seen := map[string]int{}
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		// use, KEM, ID, suites, validity, last bytes of the public key, text
		f := strings.Fields(line)
		if len(f) != 7 {
			t.Fatalf("%d fields: %s", len(f), line)
		}
		use := uses[f[0]]
		s, err := hpke.Parse(f[6], use)
		if err != nil {
			t.Errorf("%s %s: %v", f[0], f[1], err)
			continue
		}
		public := s.Key.Public()
		if got := []string{s.Key.KEM().Name(), hex.EncodeToString(s.ID), hex.EncodeToString(public[len(public)-8:])}; !slices.Equal(got, []string{f[1], f[2], f[5]}) {
			t.Errorf("%s: read as %v, want %v", f[0], got, f[1:])
		}
		var suites []string
		for _, x := range s.Suites {
			suites = append(suites, hex.EncodeToString([]byte{byte(x.KDF), byte(x.AEAD)}))
		}
		if got := strings.Join(suites, ","); got != f[3] {
			t.Errorf("%s: suites %s, want %s", f[0], got, f[3])
		}
		if limited := s.NotAfter != 0 && s.NotAfter > s.NotBefore; limited != (f[4] == "limited") {
			t.Errorf("%s: valid from %d to %d, want %s", f[0], s.NotBefore, s.NotAfter, f[4])
		}
		seen[f[0]+" "+f[1]]++
		// What is read is written in the present form.
		text, err := s.Text()
		if err != nil || !strings.HasPrefix(text, "shoal-hpke-key:") {
			t.Fatalf("%s: written as %.20s, %v", f[0], text, err)
		}
		if again, err := hpke.Parse(text, use); err != nil || !again.Key.Equal(s.Key) || !slices.Equal(again.ID, s.ID) || again.NotAfter != s.NotAfter {
			t.Errorf("%s: reads back as another key, %v", f[0], err)
		}
	}
	for _, want := range []string{"report x25519", "report p256", "report xwing", "dap x25519", "dap p256", "dap xwing", "gateway x25519", "gateway xwing"} {
		if seen[want] == 0 {
			t.Errorf("no old key: %s", want)
		}
	}
}

func FuzzParse(f *testing.F) {
	b, err := os.ReadFile("testdata/old.keys")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if i := strings.Index(line, "shoal-"); i >= 0 && line[0] != '#' {
			f.Add(strings.TrimSpace(line[i:]))
		}
	}
	stored := hpke.Stored{Use: hpke.ForDAP, Key: generate(f, hpke.X25519, 1), ID: []byte{1}, Suites: suites()}
	text, err := stored.Text()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add("shoal-hpke-key:")
	f.Fuzz(func(t *testing.T, s string) {
		for use := range hpke.Use(4) {
			k, err := hpke.Parse(s, use)
			if err != nil {
				continue
			}
			text, err := k.Text()
			if err != nil {
				t.Fatal(err)
			}
			again, err := hpke.Parse(text, use)
			if err != nil || !again.Key.Equal(k.Key) {
				t.Errorf("reads back as another key: %v", err)
			}
		}
	})
}
