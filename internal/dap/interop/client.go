package interop

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/dap/client"
)

// NewClient returns the test API of a client. It reaches aggregators by rt, nil
// for a transport of its own.
func NewClient(v *dap.Variant, rt http.RoundTripper) http.Handler {
	type upload struct {
		taskObject
		Measurement json.RawMessage `json:"measurement"`
		Time        *int64          `json:"time"` // Unix seconds
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /internal/test/ready", ready)
	mux.HandleFunc("POST /internal/test/upload", serve(func(r *http.Request, in upload) (any, error) {
		t, s, err := in.task(v)
		if err != nil {
			return nil, err
		}
		m, err := s.measure(in.Measurement)
		if err != nil {
			return nil, err
		}
		at := time.Now()
		if in.Time != nil {
			at = time.Unix(*in.Time, 0)
		}
		if err := client.New(t, client.Options{Transport: rt}).Upload(r.Context(), m, at); err != nil {
			return nil, err
		}
		return success(), nil
	}))
	return mux
}
