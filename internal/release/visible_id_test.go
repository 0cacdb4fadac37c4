package release_test

import (
	"strings"
	"testing"

	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/metric/task"
)

// TestIDsAreNotEscaped: an ID that begins with a minus stays what files are joined by;
// what merely resembles one is escaped.
func TestIDsAreNotEscaped(t *testing.T) {
	id := task.ID{0xfb, 0xe1}.String()
	if id[0] != '-' || release.Spreadsheet(id) != id {
		t.Errorf("task %s is written as %s", id, release.Spreadsheet(id))
	}
	for _, s := range []string{id[:42], id + "A", "-1+2", "-" + strings.Repeat("+", 42), id[:20] + "\n" + id[20:], id[:42] + "\n"} {
		if got := release.Spreadsheet(s); got[0] != '\'' || strings.Contains(got, "\n") {
			t.Errorf("%q is written as %q", s, got)
		}
	}
}
