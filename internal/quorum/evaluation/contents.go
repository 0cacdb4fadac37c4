package evaluation

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/shoal-project/shoal/crypto/voprf"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/metric/task"
)

// contents is what the file holds.
type contents struct {
	Version int      `json:"version"`
	Epochs  []*state `json:"epochs"`
}

const contentsVersion = 1

// A state is what a client knows of one task and epoch.
type state struct {
	Task    task.ID    `json:"task"`
	Epoch   task.Epoch `json:"epoch"`
	Forget  int64      `json:"forget"`           // Unix seconds
	Public  []byte     `json:"public,omitempty"` // the party's key, from the first answer on
	Times   []int64    `json:"times"`            // of requests that are not settled, Unix milliseconds
	Pending *pending   `json:"pending,omitempty"`
	Outputs []output   `json:"outputs,omitempty"`
}

// pending is a request that was made and has no answer. It is that of the first of Times.
type pending struct {
	Secrets      []byte   `json:"secrets"` // of voprf.Pending
	Points       []byte   `json:"points"`
	Presentation []byte   `json:"presentation"`
	Values       [][]byte `json:"values"` // digests of the inputs
	Tries        int      `json:"tries"`
}

// An output is that of the input with a digest.
type output struct {
	Value  []byte `json:"value"`
	Output []byte `json:"output"`
}

func digestOf(input []byte) []byte {
	sum := sha256.Sum256(input)
	return sum[:]
}

func (s *state) find(value []byte) []byte {
	for _, o := range s.Outputs {
		if string(o.Value) == string(value) {
			return o.Output
		}
	}
	return nil
}

func (c *contents) of(id task.ID, e task.Epoch) *state {
	for _, s := range c.Epochs {
		if s.Task == id && s.Epoch == e {
			return s
		}
	}
	return nil
}

// clone returns a copy that shares no field which changes.
func (c *contents) clone() *contents {
	made := &contents{Version: c.Version}
	for _, s := range c.Epochs {
		e := *s
		e.Times = slices.Clone(s.Times)
		e.Outputs = slices.Clip(s.Outputs)
		if s.Pending != nil {
			p := *s.Pending
			e.Pending = &p
		}
		made.Epochs = append(made.Epochs, &e)
	}
	return made
}

// A file keeps contents, sealed.
type file struct {
	fs   durable.FS
	name string
	aead cipher.AEAD
}

func newFile(fsys durable.FS, dir string, key []byte) (*file, error) {
	if len(key) != 32 {
		return nil, fmt.Errorf("key of %d bytes, want 32", len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &file{fsys, filepath.Join(dir, "evaluations"), aead}, nil
}

const fileDomain = "shoal evaluations v1"

func (f *file) read() (*contents, error) {
	b, err := durable.ReadFile(f.fs, f.name)
	if errors.Is(err, fs.ErrNotExist) {
		return &contents{Version: contentsVersion}, nil
	}
	if err != nil {
		return nil, err
	}
	plain, err := f.aead.Open(nil, nil, b, []byte(fileDomain))
	if err != nil {
		return nil, fmt.Errorf("%s does not open with its key: it is damaged or of another outbox; remove it: the records of the running epochs are evaluated again in the next", f.name)
	}
	c := new(contents)
	if err := json.Unmarshal(plain, c); err != nil {
		return nil, fmt.Errorf("%s: %w", f.name, err)
	}
	if c.Version != contentsVersion {
		return nil, fmt.Errorf("%s is of version %d, want %d; a newer program is needed", f.name, c.Version, contentsVersion)
	}
	return c, c.check()
}

// check refuses lengths that no client writes.
func (c *contents) check() error {
	for _, s := range c.Epochs {
		if s == nil || len(s.Times) > 1<<16 {
			return errors.New("an epoch of the evaluations is not in form")
		}
		for _, o := range s.Outputs {
			if len(o.Value) != sha256.Size || len(o.Output) != voprf.OutputSize {
				return errors.New("an output of the evaluations is not in form")
			}
		}
	}
	return nil
}

func (f *file) write(c *contents) error {
	plain, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if err := f.fs.MkdirAll(filepath.Dir(f.name), 0o700); err != nil {
		return err
	}
	return durable.WriteFile(f.fs, f.name, f.aead.Seal(nil, nil, plain, []byte(fileDomain)), 0o600)
}
