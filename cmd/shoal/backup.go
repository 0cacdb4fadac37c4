package main

import (
	"fmt"
	"time"

	"github.com/shoal-project/shoal/internal/server"
)

// backupCmd copies what an organisation needs to go on after a loss.
type backupCmd struct {
	configFlag
	Dir string `arg:"" type:"path" help:"The folder to write; it must not exist."`
}

// Help is printed by "shoal backup --help".
func (*backupCmd) Help() string {
	return `Runs beside the server. In the folder are the configuration and the files that it
names, all keys, pairings and tokens, the tasks, and what has been released. It holds
secrets: encrypt it, and keep it where the keys may be.

Not in it are reports that wait, and what a leader or helper knows of reports that
counted: put back, they would count twice. That is true of PostgreSQL, too: of its
database tasks and keys are in the backup, and no pg_dump is needed.`
}

// Run writes the backup.
func (c *backupCmd) Run(e *env) error {
	config, err := c.load()
	if err != nil {
		return err
	}
	p := newProgress(e.stderr)
	defer p.clear()
	info, err := server.Backup(e.ctx, config, c.Config, c.Dir, e.clock.Now(), p.show)
	p.clear()
	if err != nil {
		return setup(err)
	}
	bytes := int64(0)
	for _, f := range info.Files {
		bytes += f.Bytes
	}
	fmt.Fprintf(e.stdout, "Wrote %s: %d files, %d bytes of %s.\nIt holds secret keys: encrypt it. Try it: shoal restore %s NEW-FOLDER on a machine that serves nothing.\n",
		c.Dir, len(info.Files), bytes, info.Organisation, c.Dir)
	return nil
}

// restoreCmd puts an organisation back.
type restoreCmd struct {
	Backup string `arg:"" type:"path" help:"The folder that shoal backup has written."`
	To     string `arg:"" type:"path" help:"The organisation's folder; it must not exist, or be empty."`
}

// Help is printed by "shoal restore --help".
func (*restoreCmd) Help() string {
	return `Every file is checked against its digest first; a damaged backup restores nothing.
Paths that the configuration gives in full are where they were; all others are in the
new folder.

What happened after the backup is forgotten, and nothing counts twice for it: a leader
or helper counts no report from before now any more, a shuffler begins without
batches. Never run the restored organisation beside the old one.`
}

// Run restores.
func (c *restoreCmd) Run(e *env) error {
	p := newProgress(e.stderr)
	defer p.clear()
	name, remarks, err := server.Restore(e.ctx, c.Backup, c.To, e.clock.Now(), p.show)
	p.clear()
	if err != nil {
		return setup(err)
	}
	fmt.Fprintf(e.stdout, "Restored %s at %s.\n", name, e.clock.Now().UTC().Format(time.RFC3339))
	for _, r := range remarks {
		fmt.Fprintf(e.stdout, "  %s\n", r)
	}
	fmt.Fprintf(e.stdout, "Next: shoal doctor --config %s, then shoal serve --config %s\n", name, name)
	return nil
}
