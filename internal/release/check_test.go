package release_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/metric/task"
)

// TestDamagedFile: a file that was cut off, changed or removed costs its own epoch, by
// name; an export has all others. A Checker notices a file that changes afterwards.
func TestDamagedFile(t *testing.T) {
	columns := []release.Column{{Name: "n", Type: release.Integer}}
	for name, c := range map[string]struct {
		damage func(string) error
		brief  bool // found without reading
		want   string
	}{
		"cut off": {func(file string) error { return os.Truncate(file, 100) }, true, "has 100 bytes"},
		"removed": {os.Remove, true, "no such file"},
		"changed": {func(file string) error {
			b, err := os.ReadFile(file)
			b[len(b)/2] ^= 1
			return errors.Join(err, os.WriteFile(file, b, 0o600), os.Chtimes(file, time.Time{}, time.Unix(1, 0)))
		}, false, "its SHA-256 differs"},
	} {
		dir := t.TempDir()
		var all memory
		for e := range 3 {
			all = append(all, must(write(durable.OS(), filepath.Join(dir, string(rune('a'+e))), "m", task.Epoch(e), columns, release.Row{int64(e)})))
		}
		var checker release.Checker
		if whole, damaged := checker.Whole(all, "results"); len(whole) != 3 || damaged != nil {
			t.Fatalf("%s: before: %d whole, %v", name, len(whole), damaged)
		}
		if err := c.damage(filepath.Join(dir, "b", "results.parquet")); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		err := release.Export(t.Context(), all, &out, release.CSV, release.Query{Metric: "m"})
		partial, ok := errors.AsType[*release.Partial](err)
		if !ok || len(partial.Damaged) != 1 || partial.Damaged[0].Epoch != 1 || !strings.Contains(err.Error(), `epoch 1 of "m"`) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v", name, err)
		}
		if id := (task.ID{}).String(); out.String() != "n,task,version\n0,"+id+",1\n2,"+id+",1\n" {
			t.Errorf("%s: exported %q", name, out.String())
		}
		if whole, damaged := checker.Whole(all, "results"); len(whole) != 2 || len(damaged) != 1 {
			t.Errorf("%s: afterwards: %d whole, %v", name, len(whole), damaged)
		}
		files, damaged := release.CheckAll(all, release.Brief)
		if files != 3 || (len(damaged) == 1) != c.brief {
			t.Errorf("%s: in brief: %d files, %v", name, files, damaged)
		}
		if name == "removed" && !errors.Is(damaged[0], fs.ErrNotExist) {
			t.Errorf("%s: %v", name, damaged[0])
		}
	}
	err := release.Export(t.Context(), memory{}, new(bytes.Buffer), release.CSV, release.Query{Metric: "m"})
	if _, ok := errors.AsType[*release.Partial](err); ok || err == nil {
		t.Errorf("nothing released: %v", err)
	}
}
