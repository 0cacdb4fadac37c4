package house

import (
	"log"
	"os"
	"testing"
)

// TestMain runs the tests in the repository's top folder.
func TestMain(m *testing.M) {
	if err := os.Chdir("../.."); err != nil {
		log.Fatal(err)
	}
	m.Run()
}
