package console_test

import (
	"net/http"
	"os"
	"testing"

	"github.com/shoal-project/shoal/console"
	"github.com/shoal-project/shoal/internal/clock"
)

func TestPreview(t *testing.T) {
	if os.Getenv("PREV") == "" {
		t.Skip()
	}
	h, err := console.New(fullFixture(), console.Options{Clock: clock.NewVirtual(now)})
	if err != nil {
		t.Fatal(err)
	}
	t.Fatal(http.ListenAndServe("127.0.0.1:8597", h))
}
