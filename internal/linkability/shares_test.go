package linkability_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/shoal-project/shoal/crypto/secretshare"
	"github.com/shoal-project/shoal/internal/dap/atrest"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/dap/tasks"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/linkability"
	"github.com/shoal-project/shoal/internal/quorum"
	"github.com/shoal-project/shoal/internal/store/sqlite"
	"github.com/shoal-project/shoal/metric/task"
)

// sumless reports whether no task is of the aggregate route.
func (w *world) sumless() bool {
	return !slices.ContainsFunc(w.tasks, func(t *task.Task) bool { return t.Method == task.Aggregate })
}

// sharesKeys returns the keys to which shares for an aggregator are sealed, from its store.
func sharesKeys(w *world, o *org, role task.Role) []*dapkey.PrivateKey {
	w.t.Helper()
	ctx := w.t.Context()
	name := filepath.Join(w.config(w.record.orgOf(o.address)).Data, role.String()+".db")
	var store interface {
		tasks.Store
		io.Closer
	}
	var err error
	if role == task.Leader {
		store, err = sqlite.OpenLeader(ctx, name)
	} else {
		store, err = sqlite.OpenHelper(ctx, name)
	}
	must(w.t, err)
	defer func() { must(w.t, store.Close()) }()
	const ring = "hpke keys"
	secret, err := store.Secret(ctx, ring)
	must(w.t, err)
	plain, err := storageKeys(w, o, role).Open(secret.Sealed, "dap aggregator secret", []byte(ring))
	must(w.t, err)
	var list []struct {
		Key string `json:"key"`
	}
	must(w.t, json.Unmarshal(plain, &list))
	var keys []*dapkey.PrivateKey
	for _, k := range list {
		held, err := dapkey.ParseHeld(k.Key)
		must(w.t, err)
		keys = append(keys, held.Key)
	}
	return keys
}

func storageKeys(w *world, o *org, role task.Role) *atrest.Keys {
	b, err := os.ReadFile(filepath.Join(o.dir, "keys", role.String()+".storage.keys"))
	must(w.t, err)
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		key, err := atrest.ParseKey(line)
		must(w.t, err)
		keys, err := atrest.New(key)
		must(w.t, err)
		return keys
	}
	w.t.Fatalf("the %v has no key of its store", role)
	return nil
}

// A quorumOf is a group of reports with one value, as the analyzer has it before it can
// read the value.
type quorumOf struct {
	task  task.ID
	epoch task.Epoch
	crowd quorum.CrowdTag
	tag   quorum.Tag
}

// A shared is a report of a group.
type shared struct {
	event *linkability.Event
	share secretshare.Share
}

// part reads the report of a hardened task: which others have its value. The shuffler has
// let it through, and its server has verified the presentation.
func (r *recorder) part(event *linkability.Event, t *task.Task, h esa.Header, opened *esa.Opened) {
	p, err := quorum.Split(t, opened.Next)
	must(r.w.t, err)
	event.Contents = append(event.Contents, linkability.Token{Name: "value", Value: linkability.TokenOf(p.Tag[:])})
	presentation := opened.Presentation(esa.ExtensionCrowd)
	share := secretshare.Join(quorum.XOf(presentation[tagStart:tagEnd]), p.Y)
	group := quorumOf{h.Task, h.Epoch, quorum.CrowdTag(opened.Crowd[:]), p.Tag}
	event.Prints = printsOf(event.Prints, p.Record)
	r.quorums[group] = append(r.quorums[group], shared{event, share})
	r.sealed[event] = bytes.Clone(p.Record)
}

// recover reads the values of the groups that are large enough, as the analyzer does, and
// adds them to the contents.
func (r *recorder) recover() {
	for group, all := range r.quorums {
		t := r.tasks[group.task]
		recoverer, err := quorum.NewRecoverer(t, group.task, group.epoch, func(payload []byte) ([]byte, error) {
			record, err := t.Decode(payload)
			if err != nil {
				return nil, err
			}
			return esa.CrowdMaterial(t, payload, record)
		})
		must(r.w.t, err)
		var shares []secretshare.Share
		for _, s := range all {
			shares = append(shares, s.share)
		}
		if len(shares) < quorumShares {
			continue
		}
		_, err = recoverer.Recover(group.crowd, group.tag, shares, rand.Reader)
		must(r.w.t, err)
		for _, s := range all {
			payload, err := recoverer.Open(r.sealed[s.event])
			must(r.w.t, err)
			s.event.Contents = append(s.event.Contents, linkability.Token{Name: "record", Value: linkability.TokenOf(payload)})
		}
	}
	r.quorums, r.sealed = map[quorumOf][]shared{}, map[*linkability.Event][]byte{}
}
