package sqlite

import (
	"path/filepath"
	"testing"

	"github.com/shoal-project/shoal/internal/dap/helper"
	helpertest "github.com/shoal-project/shoal/internal/dap/helper/storetest"
)

func TestHelper(t *testing.T) {
	helpertest.Run(t, func(t *testing.T) helper.Store { return openHelper(t, filepath.Join(t.TempDir(), "helper.db")) })
}
