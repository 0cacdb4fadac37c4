package door

import (
	"io"
	"net/http"
	"time"
)

// Paced returns the body of a request, each part of which has to arrive within a pause
// from the one before, and all of them before an end.
func Paced(w http.ResponseWriter, body io.ReadCloser, pause time.Duration, end time.Time) io.ReadCloser {
	return &pacedBody{ReadCloser: body, control: http.NewResponseController(w), pause: pause, end: end}
}

// A pacedBody moves the deadline of a connection on as parts of a body arrive.
type pacedBody struct {
	io.ReadCloser
	control *http.ResponseController
	pause   time.Duration
	end     time.Time
}

// Read implements [io.Reader]. Connections that cannot have deadlines (in tests) go
// without.
func (b *pacedBody) Read(p []byte) (int, error) {
	by := time.Now().Add(b.pause)
	if b.end.Before(by) {
		by = b.end
	}
	_ = b.control.SetReadDeadline(by)
	return b.ReadCloser.Read(p)
}
