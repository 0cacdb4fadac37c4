package shoaltest_test

import (
	"fmt"
	"os"

	"github.com/shoal-project/shoal"
	"github.com/shoal-project/shoal/shoaltest"
)

// A testingT represents the *testing.T of an app's test.
type testingT struct{ cleanup []func() }

func (*testingT) Helper()                           {}
func (*testingT) Errorf(format string, args ...any) { fmt.Printf(format+"\n", args...) }
func (*testingT) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (t *testingT) Cleanup(f func())                { t.cleanup = append(t.cleanup, f) }

func Example() {
	t := new(testingT)
	bundle, err := os.ReadFile("../testdata/tasks.bundle")
	if err != nil {
		t.Fatalf("%v", err)
	}
	client, recorded := shoaltest.Open(t, shoal.Options{
		Bundle: bundle, Owner: "ed25519:iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w", Metrics: []string{"api_use"},
	})
	client.Record("api_use", map[string]any{"program": "cat", "apis": []string{"files"}}) // the app does this

	recorded.Assert("api_use", map[string]any{"program": "cat", "apis": []string{"files"}})
	recorded.Assert("api_use")
	// Output: metric api_use: recorded [map[apis:[files] program:cat]], want []; refused: []
}
