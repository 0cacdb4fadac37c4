package discovery

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/net/html/charset"
)

// TestMeasuredPages measures which part of saved public pages passes when it is
// compared with itself. The pages are not part of the repository: SHOAL_PAGES
// names a directory of them. The halves are by the hash of the page.
func TestMeasuredPages(t *testing.T) {
	dir := os.Getenv("SHOAL_PAGES")
	if dir == "" {
		t.Skip("SHOAL_PAGES is not set")
	}
	r := newRules(t)
	u, err := ParseURL("https://pages.example.org/story")
	if err != nil {
		t.Fatal(err)
	}
	var halves [2][2]int
	reasons := map[Rule]int{}
	passwords := 0
	err = filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.Contains(name, ".html") {
			return err
		}
		body, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if z, err := gzip.NewReader(bytes.NewReader(body)); err == nil {
			if body, err = io.ReadAll(z); err != nil {
				return err
			}
		}
		half := sha256.Sum256(body)[0] & 1
		// An embedder decodes the character set of a page before it is signed.
		if !utf8.Valid(body) {
			coding, _, _ := charset.DetermineEncoding(body, "text/html")
			if body, err = coding.NewDecoder().Bytes(body); err != nil {
				return err
			}
		}
		sig, err := Sign(u, nil, body)
		if err != nil {
			return err
		}
		halves[half][1]++
		d := r.Compare(sig, sig, Strict)
		if d.Verdict == Public {
			halves[half][0]++
			if sig.Passwords > 0 {
				passwords++
			}
			return nil
		}
		reasons[d.Rule]++
		if os.Getenv("SHOAL_SHOW") != "" && half == 0 {
			t.Logf("%s: %s %q (text %d, passwords %d)", filepath.Base(name), d.Rule, d.Why().Found, sig.Text, sig.Passwords)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("tuned %.1f %% of %d, unseen %.1f %% of %d, with a password box %d, refused %v", share(halves[0]), halves[0][1], share(halves[1]), halves[1][1], passwords, reasons)
}
