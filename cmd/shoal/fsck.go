package main

import (
	"fmt"

	"github.com/shoal-project/shoal/internal/server"
)

// fsckCmd checks what has been released.
type fsckCmd struct {
	configFlag
}

// Help is printed by "shoal fsck --help".
func (*fsckCmd) Help() string {
	return `Reads every released file through and compares its size and SHA-256 with the
manifest in the catalogue. It changes nothing and may run beside a server. Each
damaged file is a line on standard error; its epoch is left out of exports, queries
and pages until the file is restored, and the others are served. "shoal doctor" does
the same in brief: it looks whether the files are there and as long as they were.

Example:
  shoal fsck --config /etc/shoal/shoal.yaml`
}

// Run checks all files; one that is damaged is an error.
func (c *fsckCmd) Run(e *env) error {
	config, err := c.load()
	if err != nil {
		return err
	}
	files, damaged, err := server.Fsck(e.ctx, config)
	if err != nil {
		return setup(fmt.Errorf("checking released files: %w", err))
	}
	for _, d := range damaged {
		fmt.Fprintf(e.stderr, "shoal: %v\n", d)
	}
	fmt.Fprintf(e.stdout, "%d files checked, %d damaged\n", files, len(damaged))
	if len(damaged) > 0 {
		return fmt.Errorf("checking released files: %d of %d are damaged: restore them from a backup", len(damaged), files)
	}
	return nil
}
