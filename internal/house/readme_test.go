package house

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/shoal-project/shoal"
)

const owner = "ed25519:iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w" // whose questions the app answers

// readme holds the README's example, so that it compiles.
func readme(ctx context.Context, dir string, bundle []byte) error {
	// README begins
	client, err := shoal.Open(ctx, shoal.Options{
		Bundle:  bundle, // go:embed tasks.bundle
		Owner:   owner,  // "ed25519:…": whose questions the app answers
		Metrics: []string{"api_use"},
		Dir:     dir,      // of the outbox
		Mode:    shoal.On, // the person's decision: Off, Local or On
	})
	if err != nil {
		return err
	}
	defer client.Close() // persists, never flushes
	client.Record("api_use", map[string]any{"program": "cat", "apis": []string{"files", "strings"}})
	// README ends
	return nil
}

func TestReadmeExample(t *testing.T) {
	bundle, err := os.ReadFile("testdata/tasks.bundle")
	if err != nil {
		t.Fatal(err)
	}
	if err := readme(t.Context(), t.TempDir(), bundle); err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("internal/house/readme_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(source), "// README begins\n")
	code, _, _ = strings.Cut(code, "\t// README ends")
	code = strings.ReplaceAll("\n"+code, "\n\t", "\n")

	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(page), "```go")
	block, _, _ = strings.Cut(block, "```")
	if block != code {
		t.Errorf("the README's example is not the one that compiles:\n%s\nwant\n%s", block, code)
	}
}
