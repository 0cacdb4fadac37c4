package credential_test

import (
	"testing"

	"github.com/shoal-project/shoal/internal/credential"
	"github.com/shoal-project/shoal/internal/credential/storetest"
	"github.com/shoal-project/shoal/internal/durable"
)

func TestFiles(t *testing.T) {
	fs := durable.Mem()
	open := func() credential.Store {
		s, err := credential.OpenFiles(fs, "issuer")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	storetest.Run(t, open(), open)
}
