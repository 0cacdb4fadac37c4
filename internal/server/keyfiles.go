package server

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/metric/task"
)

// The files of the key folder.
const identityFile = "identity.key"

func (c Config) identityPath() string { return filepath.Join(c.Keys.Dir, identityFile) }

func (c Config) roleKeysPath(r task.Role) string {
	return filepath.Join(c.Keys.Dir, r.String()+".keys")
}

func (c Config) acmeDir() string { return filepath.Join(c.Keys.Dir, "acme") }

// private refuses a file with secrets that others than its owner may read or
// replace. On Windows access lists decide and nothing is checked.
func private(name string) error {
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is missing: write it with \"shoal init\", or restore it from a backup", name)
	}
	if err != nil {
		return err
	}
	if info.IsDir() {
		return fmt.Errorf("%s is a folder, want a file", name)
	}
	if runtime.GOOS == "windows" {
		return nil
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("%s is open to others (mode %04o): run \"chmod 600 %s\"", name, mode, name)
	}
	return nil
}

// privateDir refuses a folder that others may write to, since they could put
// another key in place.
func privateDir(name string) error {
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is missing: write the keys with \"shoal init\"", name)
	}
	if err != nil {
		return err
	}
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&0o022 != 0 {
		return fmt.Errorf("%s can be written by others (mode %04o): run \"chmod 700 %s\"", name, mode, name)
	}
	return nil
}

// writePrivate replaces a file that only its owner may read, durably.
func writePrivate(name string, b []byte) error {
	return durable.WriteFile(durable.OS(), name, b, 0o600)
}

// replacePrivate is writePrivate for a file that held secrets which must not
// remain: their bytes are overwritten after the new file has taken their place.
func replacePrivate(name string, b []byte) error {
	old, err := os.OpenFile(name, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return writePrivate(name, b)
	}
	if err != nil {
		return err
	}
	defer old.Close()
	info, err := old.Stat()
	if err != nil {
		return err
	}
	if err := writePrivate(name, b); err != nil {
		return err
	}
	if _, err := old.WriteAt(make([]byte, info.Size()), 0); err != nil {
		return fmt.Errorf("overwriting old keys: %w", err)
	}
	return old.Sync()
}

// LoadIdentity reads an identity key file, such as an organisation's or a
// question owner's, and refuses one that others may read.
func LoadIdentity(name string) (task.IdentityKey, error) {
	b, err := readPrivate(name, maxIdentityFile)
	if err != nil && b == nil {
		return task.IdentityKey{}, fmt.Errorf("reading identity key: %w", err)
	}
	// That it is no key comes first: the mode of another file does not matter here.
	key, parseErr := task.ParseIdentityKey(strings.TrimSpace(string(b)))
	if parseErr != nil {
		return task.IdentityKey{}, fmt.Errorf("reading identity key: %s is not an identity key file: %w", name, parseErr)
	}
	if err != nil {
		return task.IdentityKey{}, fmt.Errorf("reading identity key: %w", err)
	}
	return key, nil
}

// maxIdentityFile is more than the text of an identity key needs, in bytes.
const maxIdentityFile = 4 << 10

// readPrivate reads a file with secrets, of at most limit bytes. If others may
// read or replace it, it returns both its content and an error: so that a caller
// can distinguish the wrong file from the wrong mode.
func readPrivate(name string, limit int64) ([]byte, error) {
	unsafe := private(name)
	f, err := os.Open(name)
	if err != nil {
		return nil, cmp.Or(unsafe, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit))
	if err != nil {
		return nil, cmp.Or(unsafe, err)
	}
	return b, unsafe
}

// WriteIdentity writes an identity key to a file that does not exist yet.
func WriteIdentity(name string, key task.IdentityKey) error {
	if _, err := os.Lstat(name); err == nil {
		return fmt.Errorf("writing identity key: %s exists and is not overwritten", name)
	}
	if err := writePrivate(name, []byte(key.Secret()+"\n")); err != nil {
		return fmt.Errorf("writing identity key: %w", err)
	}
	return nil
}
