package main

import (
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/shoal-project/shoal/internal/server"
)

// tokenCmd manages the tokens of the management API.
type tokenCmd struct {
	Create tokenCreateCmd `cmd:"" help:"Create a token and print it once."`
	List   tokenListCmd   `cmd:"" help:"List the tokens, without their secrets."`
	Revoke tokenRevokeCmd `cmd:"" help:"Revoke a token."`
}

type tokenCreateCmd struct {
	configFlag
	Name    string   `arg:"" help:"A name to know it by."`
	Scope   []string `required:"" help:"What it allows: read, tasks, export, collect or keys; docs/guide/operator.md says what each is for. May be repeated."`
	Expires string   `default:"90d" help:"For how long, such as 90d; never for no end (${default})."`
}

// Run makes a token. A running server accepts it at once.
func (c *tokenCreateCmd) Run(e *env) error {
	tokens, err := openTokens(c.configFlag)
	if err != nil {
		return err
	}
	var scopes []server.Scope
	for _, name := range c.Scope {
		s, err := server.ParseScope(name)
		if err != nil {
			return setup(err)
		}
		scopes = append(scopes, s)
	}
	var end time.Time
	if c.Expires != "never" {
		d, err := server.ParseDuration(c.Expires)
		if err != nil {
			return setup(fmt.Errorf("--expires: %w", err))
		}
		end = e.clock.Now().Add(d.D())
	}
	secret, err := tokens.Create(rand.Reader, c.Name, scopes, end)
	if err != nil {
		return setup(err)
	}
	fmt.Fprintln(e.stdout, secret)
	return nil
}

type tokenListCmd struct {
	configFlag
}

// Run lists names, scopes and ends.
func (c *tokenListCmd) Run(e *env) error {
	tokens, err := openTokens(c.configFlag)
	if err != nil {
		return err
	}
	list, err := tokens.List()
	if err != nil {
		return setup(err)
	}
	for _, t := range list {
		var scopes []string
		for _, s := range t.Scopes {
			scopes = append(scopes, string(s))
		}
		end := "no end"
		if t.Expires != 0 {
			end = "until " + time.Unix(t.Expires, 0).UTC().Format(time.DateOnly)
		}
		fmt.Fprintf(e.stdout, "%s: %s, %s\n", t.Name, strings.Join(scopes, " "), end)
	}
	return nil
}

type tokenRevokeCmd struct {
	configFlag
	Name string `arg:"" help:"The token's name."`
}

// Run removes a token. A running server refuses it at once.
func (c *tokenRevokeCmd) Run(*env) error {
	tokens, err := openTokens(c.configFlag)
	if err != nil {
		return err
	}
	return setup(tokens.Revoke(c.Name))
}

func openTokens(f configFlag) (*server.Tokens, error) {
	config, err := f.load()
	if err != nil {
		return nil, err
	}
	tokens, err := server.OpenTokens(config)
	return tokens, setup(err)
}
