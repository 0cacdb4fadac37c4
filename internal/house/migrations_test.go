package house

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/internal/golden"
)

// migrationSums lists the migrations that stores may have applied, as sha256sum
// prints them.
const migrationSums = "internal/house/testdata/migrations.sum"

// changedMigrations compares a list of digests with the migrations that are there.
func changedMigrations(sums string, there map[string][]byte) (wrong []string) {
	listed := map[string]string{}
	for line := range strings.Lines(sums) {
		sum, name, ok := strings.Cut(strings.TrimSpace(line), "  ")
		if !ok {
			wrong = append(wrong, fmt.Sprintf("line %q is not a digest and a name", line))
			continue
		}
		listed[name] = sum
	}
	for _, name := range slices.Sorted(maps.Keys(there)) {
		sum, ok := listed[name]
		switch {
		case !ok:
			wrong = append(wrong, fmt.Sprintf("%s is not listed: add %x", name, sha256.Sum256(there[name])))
		case sum != fmt.Sprintf("%x", sha256.Sum256(there[name])):
			wrong = append(wrong, name+" has changed: stores have applied it; write a new migration instead")
		}
		delete(listed, name)
	}
	for _, name := range slices.Sorted(maps.Keys(listed)) {
		wrong = append(wrong, name+" is gone or renumbered: stores have applied it")
	}
	return wrong
}

// TestMigrationsStay covers stores that have applied a migration which is then
// changed or renumbered: they would differ from new ones, or refuse to open. A new
// migration is listed in the same commit; -update does that, and changes no line.
func TestMigrationsStay(t *testing.T) {
	names, err := filepath.Glob("internal/store/*/migrations/*/*.sql")
	if err != nil || len(names) == 0 {
		t.Fatalf("%d migrations, %v", len(names), err)
	}
	there := map[string][]byte{}
	for _, name := range names {
		if there[filepath.ToSlash(name)], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	sums, err := os.ReadFile(migrationSums)
	if err != nil {
		t.Fatal(err)
	}
	if golden.Updating() {
		for _, name := range slices.Sorted(maps.Keys(there)) {
			if !strings.Contains(string(sums), "  "+name+"\n") {
				sums = fmt.Appendf(sums, "%x  %s\n", sha256.Sum256(there[name]), name)
			}
		}
		golden.Write(t, migrationSums, sums)
	}
	for _, w := range changedMigrations(string(sums), there) {
		t.Error(w)
	}
	old := slices.Sorted(maps.Keys(there))[0]
	body := there[old]
	there[old] = append(slices.Clone(body), '\n')
	if got := changedMigrations(string(sums), there); len(got) != 1 || !strings.Contains(got[0], "has changed") {
		t.Errorf("of a change the test sees %q", got)
	}
	delete(there, old)
	there["internal/store/x/migrations/y/999_new.sql"] = body
	if got := changedMigrations(string(sums), there); len(got) != 2 {
		t.Errorf("of a new number the test sees %q", got)
	}
}
