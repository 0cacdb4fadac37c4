package house

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestSystemdUnit lets systemd check the unit of docs/guide/operator.md, where it is
// installed: the text has no line that systemd does not know.
func TestSystemdUnit(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	text, err := os.ReadFile(filepath.Join("docs", "guide", "operator.md"))
	if err != nil {
		t.Fatal(err)
	}
	var unit []string
	for line := range strings.Lines(string(text)) {
		line, indented := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "    ")
		if line == "[Unit]" || len(unit) > 0 && indented {
			unit = append(unit, line)
		} else if len(unit) > 0 {
			break
		}
	}
	const binary = "/usr/local/bin/shoal"
	joined := strings.Join(unit, "\n") + "\n"
	if !strings.Contains(joined, "ExecStart="+binary+" serve ") || !strings.Contains(joined, "WantedBy=") {
		t.Fatalf("the unit in docs/guide/operator.md is not whole:\n%s", joined)
	}
	self, err := os.Executable() // in place of the program, which need not be installed
	if err != nil {
		t.Fatal(err)
	}
	verify := func(text string) string {
		name := filepath.Join(t.TempDir(), "shoal.service")
		if err := os.WriteFile(name, []byte(strings.ReplaceAll(text, binary, self)), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", "--recursive-errors=no", name).CombinedOutput()
		said := strings.TrimSpace(string(out))
		if err != nil && said == "" {
			said = err.Error()
		}
		return said
	}
	if said := verify(joined); said != "" {
		t.Errorf("systemd-analyze verify:\n%s\n%s", said, joined)
	}
	if said := verify(strings.Replace(joined, "UMask=", "UMasc=", 1)); !strings.Contains(said, "UMasc") {
		t.Errorf("a wrong line is not found: %q", said)
	}
}
