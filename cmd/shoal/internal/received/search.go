package received

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/netip"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/metric/task"
)

// A Party is an organisation whose process was recorded.
type Party struct {
	Name     string // for people
	Roles    []task.Role
	Dir      string // its folder
	Recorder *Recorder
}

// A Value is something that devices have sent.
type Value struct {
	Forms [][]byte // how it may be written: the text, the record's encoding
	// Tag is the crowd's tag that anybody can compute who knows the task and guesses the
	// value; zero if the task's tags do not follow from values.
	Tag esa.CrowdTag
}

// Searchable reports whether a form of the value is long enough to be searched for.
func (v Value) Searchable() bool {
	return slices.ContainsFunc(v.Forms, func(form []byte) bool { return len(form) >= least })
}

// A Question is what to search for.
type Question struct {
	Devices []netip.Addr // none: the system gives them one address
	Values  []Value
	Tasks   []task.Opened
	Clock   clock.Clock // of the parties
}

// A Finding is what a party received, and what was found in it.
type Finding struct {
	Party       string `json:"party"`
	Connections int    `json:"connections"`
	Bytes       int    `json:"bytes_received"`

	// What it opens with its own keys.
	Requests int `json:"requests_opened"`
	Reports  int `json:"report_layers_opened"`
	Records  int `json:"innermost_layers_opened"`
	Shares   int `json:"shares_opened"`

	Devices   int `json:"device_addresses_connected"` // the other end of a connection
	Addresses int `json:"device_addresses_read"`      // in what was received
	Values    int `json:"values_read"`                // distinct ones, as text or as encoded
	Guesses   int `json:"values_confirmed_by_guess"`  // whose crowd's tag it has
	Secrets   int `json:"secrets_of_others"`          // keys and tokens that are not in its folder
	Opened    int `json:"plaintexts_of_others"`       // that another party has opened

	Found []int `json:"-"` // indices of the values
}

// Search opens what each party can open and searches all of it.
func Search(ctx context.Context, parties []Party, q Question) ([]Finding, error) {
	seen := make([]*view, len(parties))
	for i, p := range parties {
		var err error
		if seen[i], err = look(ctx, p, q); err != nil {
			return nil, fmt.Errorf("opening what the %s received: %w", p.Name, err)
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	findings := make([]Finding, len(parties))
	for i, p := range parties {
		group.Go(func() error {
			findings[i] = seen[i].search(p.Name, q, others(seen, i))
			return ctx.Err()
		})
	}
	return findings, group.Wait()
}

// A view is all that a party has received, and what it opens.
type view struct {
	keys    *keyring
	streams []received
	bodies  [][]byte // of messages in chunks, which streams have in parts
	layers  []layer
}

func look(ctx context.Context, p Party, q Question) (*view, error) {
	keys, err := readKeys(ctx, p.Dir, q.Clock)
	if err != nil {
		return nil, err
	}
	open, err := newOpener(keys, q.Tasks)
	if err != nil {
		return nil, err
	}
	v := &view{keys: keys, streams: p.Recorder.all()}
	var messages []message
	for i := range v.streams {
		for _, m := range v.streams[i].messages() {
			messages = append(messages, m)
			if m.parts {
				v.bodies = append(v.bodies, m.body)
			}
		}
	}
	layers := make([][]layer, len(messages))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	const chunk = 256
	for from := 0; from < len(messages); from += chunk {
		group.Go(func() error {
			for i := from; i < min(from+chunk, len(messages)); i++ {
				layers[i] = open.open(messages[i])
			}
			return ctx.Err()
		})
	}
	err = group.Wait()
	v.layers = slices.Concat(layers...)
	return v, err
}

// A foreign is what a party must not get from the others: their secrets, and what they
// have opened.
type foreign struct{ secrets, opened [][]byte }

func others(all []*view, of int) foreign {
	own := map[string]bool{}
	for _, s := range all[of].keys.secrets {
		own[string(s)] = true
	}
	var f foreign
	known := map[string]bool{}
	add := func(to *[][]byte, b []byte) {
		if !own[string(b)] && !known[string(b)] {
			known[string(b)] = true
			*to = append(*to, b)
		}
	}
	for i, v := range all {
		if i == of {
			continue
		}
		for _, s := range v.keys.secrets {
			add(&f.secrets, s)
		}
		for _, l := range v.layers {
			if l.last {
				add(&f.opened, l.bytes)
			}
		}
	}
	return f
}

// needles are byte strings with the number of what each stands for.
type needles struct {
	strings [][]byte
	of      []int
}

func (n *needles) add(of int, s []byte) { n.strings, n.of = append(n.strings, s), append(n.of, of) }

func (v *view) search(name string, q Question, f foreign) Finding {
	out := Finding{Party: name, Connections: len(v.streams)}
	devices, connected := map[netip.Addr]bool{}, map[netip.Addr]bool{}
	for _, a := range q.Devices {
		devices[a] = true
	}
	for _, s := range v.streams {
		out.Bytes += len(s.bytes)
		if s.accepted && devices[s.peer] {
			connected[s.peer] = true
		}
	}
	out.Devices = len(connected)
	tags := map[esa.CrowdTag]bool{}
	for _, l := range v.layers {
		tags[l.crowd] = true
		switch l.kind {
		case request:
			out.Requests++
		case report:
			out.Reports++
		case record:
			out.Records++
		case share:
			out.Shares++
		}
	}
	for _, value := range q.Values {
		if value.Tag != (esa.CrowdTag{}) && tags[value.Tag] {
			out.Guesses++
		}
	}
	out.Found = v.values(q.Values)
	out.Values = len(out.Found)
	out.Addresses, out.Secrets, out.Opened = v.strange(q.Devices, f)
	return out
}

// values returns which values are somewhere in what was received or opened.
func (v *view) values(all []Value) []int {
	var n needles
	for i, value := range all {
		for _, form := range value.Forms {
			n.add(i, form)
		}
	}
	finder, found := newFinder(n.strings), map[int]bool{}
	v.all(func(b []byte) { finder.findApart(b, func(i int) { found[n.of[i]] = true }) })
	var out []int
	for i := range found {
		out = append(out, i)
	}
	slices.Sort(out)
	return out
}

// strange counts the addresses, secrets and plaintexts that the party has received.
func (v *view) strange(devices []netip.Addr, f foreign) (addresses, secrets, opened int) {
	var n needles
	for i, a := range devices {
		n.add(i, []byte(a.String()))
	}
	for i, s := range f.secrets {
		of := len(devices) + i
		n.add(of, s)
		n.add(of, []byte(hex.EncodeToString(s)))
		n.add(of, []byte(base64.RawURLEncoding.EncodeToString(s)))
		n.add(of, []byte(base64.RawStdEncoding.EncodeToString(s)))
	}
	for i, s := range f.opened {
		n.add(len(devices)+len(f.secrets)+i, s)
	}
	finder, found := newFinder(n.strings), map[int]bool{}
	v.all(func(b []byte) { finder.find(b, func(i, _ int) { found[n.of[i]] = true }) })
	for of := range found {
		switch {
		case of < len(devices):
			addresses++
		case of < len(devices)+len(f.secrets):
			secrets++
		default:
			opened++
		}
	}
	return addresses, secrets, opened
}

// all calls f with everything that the party has.
func (v *view) all(f func([]byte)) {
	for _, s := range v.streams {
		f(s.bytes)
	}
	for _, b := range v.bodies {
		f(b)
	}
	for _, l := range v.layers {
		f(l.bytes)
	}
}
