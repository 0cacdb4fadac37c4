package main

import (
	"fmt"

	"github.com/goccy/go-yaml"

	"github.com/shoal-project/shoal/internal/server"
)

// configFlag is the file that describes the organisation.
type configFlag struct {
	Config string `name:"config" short:"c" default:"shoal.yaml" placeholder:"FILE" help:"The organisation's configuration (${default})."`
}

func (f configFlag) load() (server.Config, error) {
	c, err := server.Load(f.Config)
	return c, setup(err)
}

// configCmd reads a configuration.
type configCmd struct {
	Check configCheckCmd `cmd:"" help:"Check a configuration and list its errors."`
	Print configPrintCmd `cmd:"" help:"Print a configuration with all defaults."`
}

// configFile is the configuration as an argument or, as with all other commands,
// by the flag.
type configFile struct {
	configFlag
	File string `arg:"" optional:"" help:"The configuration, instead of --config."`
}

func (f configFile) load() (string, server.Config, error) {
	if f.File != "" {
		f.Config = f.File
	}
	c, err := f.configFlag.load()
	return f.Config, c, err
}

type configCheckCmd struct{ configFile }

// Run confirms that the file is right, or fails with all that is wrong.
func (c *configCheckCmd) Run(e *env) error {
	file, config, err := c.load()
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "%s: ok: %s\n", file, config.Organisation)
	return nil
}

type configPrintCmd struct{ configFile }

// Run prints what is in force.
func (c *configPrintCmd) Run(e *env) error {
	_, config, err := c.load()
	if err != nil {
		return err
	}
	text, err := yaml.Marshal(config)
	if err != nil {
		return fmt.Errorf("printing config: %w", err)
	}
	_, err = e.stdout.Write(text)
	return err
}
