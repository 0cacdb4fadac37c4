package credential

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/shoal-project/shoal/metric/task"
)

// CallOut asks a service of the organisation by HTTP: its login, or its check of a
// device's attestation. It posts
//
//	{"admission": "…", "metric": "…", "period": 1764460800}
//
// with what the client shows in base64, and takes 200 with {"client": "…"}, 1 to 256
// bytes that name the client, of which one gets a credential of a policy and period.
// 401 and 403 refuse; all else is no answer.
type CallOut struct {
	URL    string
	Client *http.Client
}

// NewCallOut returns the gate of a service at a URL: https, or http on loopback.
func NewCallOut(url string, client *http.Client) (*CallOut, error) {
	if err := task.ValidURL(url); err != nil {
		return nil, fmt.Errorf("credential gate: %w", err)
	}
	return &CallOut{url, client}, nil
}

const (
	callOutTimeout = 10 * time.Second
	maxCallOut     = 4 << 10
	maxClientName  = 256
)

func (g *CallOut) admit(ctx context.Context, a *application, _ time.Time) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callOutTimeout)
	defer cancel()
	body, err := json.Marshal(struct {
		Admission []byte `json:"admission"`
		Metric    string `json:"metric"`
		Period    int64  `json:"period"`
	}{a.admission, a.slot.Metric, a.slot.Start})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.URL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := g.Client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking the gate: %w", err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized, http.StatusForbidden:
		return nil, fmt.Errorf("%w: HTTP %d", ErrRefused, resp.StatusCode)
	default:
		return nil, fmt.Errorf("asking the gate: HTTP %d", resp.StatusCode)
	}
	var answer struct {
		Client string `json:"client"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxCallOut)).Decode(&answer); err != nil {
		return nil, fmt.Errorf("asking the gate: %w", err)
	}
	if n := len(answer.Client); n < 1 || n > maxClientName {
		return nil, fmt.Errorf("asking the gate: a client of %d bytes, want 1 to %d", n, maxClientName)
	}
	return []byte(answer.Client), nil
}

func (*CallOut) announce(a *announcement) { a.gates |= gateCallOut }
