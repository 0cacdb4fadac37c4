package storetest_test

import (
	"testing"

	"github.com/shoal-project/shoal/internal/dap/helper"
	"github.com/shoal-project/shoal/internal/dap/helper/storetest"
)

func TestModel(t *testing.T) {
	storetest.Run(t, func(*testing.T) helper.Store { return storetest.NewModel() })
}
