package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/shoal-project/shoal/internal/problem"
	"github.com/shoal-project/shoal/internal/server"
)

// A manager speaks to the management API of the organisation's running server. It
// has a token for the length of one command; making one requires read access to
// the key folder.
type manager struct {
	base   string
	token  string
	revoke func() error
}

// errNotRunning is returned if no server answers.
var errNotRunning = errors.New("no server answers")

// manage returns a manager, or an error that matches errNotRunning.
func (f configFlag) manage(e *env, config server.Config, scopes ...server.Scope) (*manager, error) {
	if config.Ops.Listen == server.Off {
		return nil, fmt.Errorf("%w: ops.listen is off", errNotRunning)
	}
	m := &manager{base: "http://" + config.Ops.Listen}
	if host, _, err := net.SplitHostPort(config.Ops.Listen); err == nil && config.TLS.Enabled() && !net.ParseIP(host).IsLoopback() && host != "localhost" {
		m.base = "https://" + config.Ops.Listen
	}
	ctx, cancel := context.WithTimeout(e.ctx, 5*time.Second)
	defer cancel()
	if err := m.do(ctx, http.MethodGet, "/healthz", nil, nil); err != nil {
		return nil, fmt.Errorf("%w on ops.listen (%s): start it with \"shoal serve\"", errNotRunning, config.Ops.Listen)
	}
	tokens, err := server.OpenTokens(config)
	if err != nil {
		return nil, err
	}
	name := "command line " + rand.Text()
	if m.token, err = tokens.Create(rand.Reader, name, scopes, e.clock.Now().Add(10*time.Minute)); err != nil {
		return nil, err
	}
	m.revoke = func() error { return tokens.Revoke(name) }
	return m, nil
}

// close makes the token invalid.
func (m *manager) close() error { return m.revoke() }

// do sends a request and reads a JSON answer into out, if that is not nil.
func (m *manager) do(ctx context.Context, method, path string, body []byte, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, m.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+m.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		p, err := problem.Decode(b)
		if err != nil || p.Title == "" {
			return fmt.Errorf("HTTP %d from the server", resp.StatusCode)
		}
		if p.Detail == "" {
			return errors.New(p.Title)
		}
		return errors.New(p.Detail)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(b, out)
}
