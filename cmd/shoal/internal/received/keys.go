package received

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/atrest"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/dap/tasks"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/store/sqlite"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/ohttp"

	crand "crypto/rand"
)

// A keyring is what one party can open with, and what others must not have.
type keyring struct {
	gateway []*ohttp.PrivateKey
	layers  map[task.Role][]*esa.PrivateKey
	shares  map[dap.Role]*dapkey.Ring
	secrets [][]byte // keys and tokens, as bytes; texts as they are written
}

// readKeys reads the keys of an organisation's folder.
func readKeys(ctx context.Context, dir string, c clock.Clock) (*keyring, error) {
	k := &keyring{layers: map[task.Role][]*esa.PrivateKey{}, shares: map[dap.Role]*dapkey.Ring{}}
	lines, err := keyLines(filepath.Join(dir, "keys"))
	if err != nil {
		return nil, err
	}
	for file, all := range lines {
		for _, line := range all {
			if err := k.add(file, line); err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
		}
	}
	for _, role := range []dap.Role{dap.Leader, dap.Helper} {
		if err := k.addShares(ctx, dir, role, lines[role.String()+".storage.keys"], c); err != nil {
			return nil, fmt.Errorf("keys of the %v: %w", role, err)
		}
	}
	return k, nil
}

// keyLines returns the lines of the files of a folder that are no comments.
func keyLines(dir string) (map[string][]string, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	lines := map[string][]string{}
	for _, f := range files {
		if f.IsDir() {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			return nil, err
		}
		if strings.HasSuffix(f.Name(), ".json") {
			lines[f.Name()] = []string{string(b)}
			continue
		}
		for line := range strings.Lines(string(b)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				lines[f.Name()] = append(lines[f.Name()], line)
			}
		}
	}
	return lines, nil
}

// keyText is a private key as the files have it: the kind, and base64url.
var keyText = regexp.MustCompile(`^shoal-([a-z-]+)-key:([A-Za-z0-9_-]+)`) //nolint:gochecknoglobals // a table

// add takes one line of a file, or a whole file of JSON.
func (k *keyring) add(file, line string) error {
	if strings.HasSuffix(file, ".json") {
		return k.addTokens(line)
	}
	found := keyText.FindStringSubmatch(line)
	if found == nil {
		return nil
	}
	b, err := base64.RawURLEncoding.DecodeString(found[2])
	if err != nil {
		return err
	}
	if found[1] == "hpke" { // the secret is before a checksum of 4 bytes
		if len(b) < 36 {
			return fmt.Errorf("an HPKE key of %d bytes", len(b))
		}
		b = b[len(b)-36 : len(b)-4]
	}
	k.secrets = append(k.secrets, b)
	text := strings.Fields(line)[0]
	switch name, _ := strings.CutSuffix(file, ".keys"); name {
	case "gateway":
		key, err := ohttp.ParsePrivateKey(text)
		if err != nil {
			return err
		}
		k.gateway = append(k.gateway, key)
	case task.Shuffler.String(), task.Analyzer.String():
		key, err := esa.ParsePrivateKey(text)
		if err != nil {
			return err
		}
		role := task.Shuffler
		if name == task.Analyzer.String() {
			role = task.Analyzer
		}
		k.layers[role] = append(k.layers[role], key)
	}
	return nil
}

// addTokens takes the secrets of pairings.
func (k *keyring) addTokens(text string) error {
	var pairings []map[string]any
	if err := json.Unmarshal([]byte(text), &pairings); err != nil {
		return nil //nolint:nilerr // another file, which has no secrets
	}
	for _, p := range pairings {
		for name, v := range p {
			s, ok := v.(string)
			switch {
			case !ok || s == "":
			case name == "seed":
				b, err := base64.StdEncoding.DecodeString(s)
				if err != nil {
					return err
				}
				k.secrets = append(k.secrets, b)
			case strings.Contains(name, "token") || name == "former":
				k.secrets = append(k.secrets, []byte(s))
			}
		}
	}
	return nil
}

// addShares takes the keys to which shares are sealed, from a copy of the store.
func (k *keyring) addShares(ctx context.Context, dir string, role dap.Role, storage []string, c clock.Clock) error {
	name := filepath.Join(dir, "data", role.String()+".db")
	if _, err := os.Stat(name); len(storage) == 0 || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var keys []atrest.Key
	for _, line := range storage {
		key, err := atrest.ParseKey(line)
		if err != nil {
			return err
		}
		keys = append(keys, key)
	}
	sealed, err := atrest.New(keys[0], keys[1:]...)
	if err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "shoal-received-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	copied := filepath.Join(scratch, "store.db")
	if err := sqlite.Snapshot(ctx, name, copied); err != nil {
		return err
	}
	store, err := openStore(ctx, copied, role)
	if err != nil {
		return err
	}
	defer store.Close()
	registry, err := tasks.Open(ctx, store, tasks.Config{Role: role, Keys: sealed, Clock: c, Rand: crand.Reader})
	if err != nil {
		return err
	}
	k.shares[role] = registry.Keyring()
	for held := range registry.Keyring().All() {
		text, err := held.Key.Text()
		if err == nil {
			err = k.add("", text)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

type taskStore interface {
	tasks.Store
	Close() error
}

func openStore(ctx context.Context, name string, role dap.Role) (taskStore, error) {
	if role == dap.Leader {
		return sqlite.OpenLeader(ctx, name)
	}
	return sqlite.OpenHelper(ctx, name)
}
