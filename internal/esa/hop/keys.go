package hop

import (
	"fmt"
	"net/http"
	"time"

	"github.com/shoal-project/shoal/internal/esa"
)

// KeyConfigType is the media type of one signed key config.
const KeyConfigType = "application/shoal-key-config;v=1"

// MaxKeyConfig bounds the bytes of a signed key config that a hop accepts.
const MaxKeyConfig = 1 << 18

// KeysMaxAge is how long keys that were served may be kept without asking
// again.
const KeysMaxAge = 10 * time.Minute

// Keys are what a hop opens reports with, and what it announces about them.
type Keys struct {
	Private []*esa.PrivateKey // by which reports are opened; also older ones
	Config  []byte            // the signed key config that is served
}

// ServeKeys answers with a key config, or a list of them.
func ServeKeys(w http.ResponseWriter, mediaType string, body []byte) {
	if len(body) == 0 {
		Unavailable.Write(w)
		return
	}
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Cache-Control", fmt.Sprintf("max-age=%d", int(KeysMaxAge.Seconds())))
	w.Write(body) // the client has gone if this fails
}
