package discovery

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMeasuredURLs measures which part of public addresses without a query passes.
// The sets are not part of the repository: SHOAL_URLS names a directory of files
// with an address a line. The halves are by the hash of the address; SHOAL_SHOW
// prints what is refused of the first.
func TestMeasuredURLs(t *testing.T) {
	dir := os.Getenv("SHOAL_URLS")
	if dir == "" {
		t.Skip("SHOAL_URLS is not set")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no sets of addresses in %s: %v", dir, err)
	}
	r, show := newRules(t), os.Getenv("SHOAL_SHOW")
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		var number [2]int
		var strict, lax [2][2]int
		reasons := map[Rule]int{}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			address := lines.Text()
			if strings.Contains(address, "?") {
				continue
			}
			half := sha256.Sum256([]byte(address))[0] & 1
			number[half]++
			for i, d := range []Decision{r.URL(address, Evidence{}), r.URL(address, Evidence{PublicLink: true})} {
				into := [2]*[2][2]int{&strict, &lax}[i]
				into[half][1]++
				if d.Verdict == Public {
					into[half][0]++
				} else if i == 0 && half == 0 {
					reasons[d.Rule]++
					if show != "" && (show == "all" || string(d.Rule) == show) {
						fmt.Printf("%s\t%s\t%s\n", d.Rule, address, d.Why().Found)
					}
				}
			}
		}
		_ = f.Close()
		t.Logf("%-24s tuned %d: %.1f / %.1f, unseen %d: %.1f / %.1f, strictly refused of the tuned half: %v", filepath.Base(name),
			number[0], share(strict[0]), share(lax[0]), number[1], share(strict[1]), share(lax[1]), reasons)
	}
}
