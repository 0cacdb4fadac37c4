package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestGuideIsTried: every command of the guide for two organisations is one that
// testdata/two-organisations.txtar runs. The script has other folders and
// addresses, and puts "exec" in front.
func TestGuideIsTried(t *testing.T) {
	guide, err := os.ReadFile("../../docs/guide/two-organisations.md")
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile("testdata/two-organisations.txtar")
	if err != nil {
		t.Fatal(err)
	}
	tried := map[string]bool{}
	for line := range strings.Lines(string(script)) {
		if rest, ok := strings.CutPrefix(line, "exec shoal "); ok {
			tried[plainCommand(rest)] = true
		} else if at := strings.Index(line, " shoal "); at > 0 && strings.HasPrefix(line, "eventually ") {
			tried[plainCommand(line[at+len(" shoal "):])] = true
		}
	}
	commands := 0
	for line := range strings.Lines(string(guide)) {
		rest, ok := strings.CutPrefix(line, "    shoal ")
		if !ok {
			continue
		}
		commands++
		if !tried[plainCommand(rest)] {
			t.Errorf("the script does not run %q", plainCommand(rest))
		}
	}
	if commands < 15 {
		t.Errorf("the guide has %d commands only", commands)
	}
}

var (
	where  = regexp.MustCompile(` --config \S+| > \S+| &\w+&|^(init) [ab] `)
	things = regexp.MustCompile(`https?://\S+|\$OWNER|ed25519:\S+`)
)

// plainCommand is a command without folders, addresses and keys.
func plainCommand(line string) string {
	line = strings.TrimSpace(line)
	line = where.ReplaceAllStringFunc(line, func(m string) string {
		if strings.HasPrefix(m, "init") {
			return "init "
		}
		return ""
	})
	return things.ReplaceAllString(line, "X")
}
