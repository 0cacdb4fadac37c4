package main

import (
	"fmt"

	"github.com/shoal-project/shoal/server"
)

// initCmd writes an organisation.
type initCmd struct {
	Dir    string   `arg:"" default:"." help:"The folder to write to (${default})."`
	Name   string   `required:"" help:"The organisation's name, for people."`
	Role   []string `required:"" enum:"shuffler,analyzer" help:"What it does: shuffler or analyzer. May be repeated, for different questions."`
	URL    string   `required:"" name:"url" help:"The address by which tasks name it, such as https://shuffler.example."`
	Listen string   `placeholder:"HOST:PORT" help:"Where it listens; otherwise :443, or the URL's port on loopback."`
	Owner  []string `placeholder:"KEY" help:"The public key of an owner whose questions it serves. May be repeated."`
}

// Run writes the files and says what comes next.
func (c *initCmd) Run(e *env) error {
	o := server.Organisation{Name: c.Name, URL: c.URL, Listen: c.Listen, Owners: c.Owner}
	for _, r := range c.Role {
		o.Roles = append(o.Roles, server.RoleName(r))
	}
	file, identity, err := server.Init(c.Dir, o, e.clock.Now(), nil)
	if err != nil {
		return setup(err)
	}
	fmt.Fprintf(e.stdout, `Wrote %s and the keys of %s.

Identity: %s

Give this identity and %s to the owners of questions, for the
parties of their metrics.yaml. When they have built a bundle, list it under
tasks.bundles, and their keys under tasks.owners. Then:

  shoal doctor --config %s
  shoal serve --config %s
`, file, c.Name, identity, c.URL, file, file)
	return nil
}
