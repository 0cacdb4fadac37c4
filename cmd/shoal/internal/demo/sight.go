package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/shoal-project/shoal/cmd/shoal/internal/received"
	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/internal/esa/encoder"
	"github.com/shoal-project/shoal/metric/task"
)

// Received is what a party received in this run, and what a search found in it and in what
// the party's own keys open of it.
type Received struct {
	received.Finding

	Roles    []string `json:"roles"`
	Released int      `json:"values_read_of_released_crowds"`
	Rare     int      `json:"values_read_of_other_crowds"`
	Searched int      `json:"values_searched"` // those that are long enough
	findable int      // of them those of released crowds
}

// leastText is the length from which the text of a value is searched for: shorter ones
// may be words of HTTP. The encoded record is searched for as well.
const leastText = 12

// whoSaw searches what the parties received. That a party has what the plan says it never
// has is an error, and so is a search that could not find it.
func (s *Stage) whoSaw(ctx context.Context, r *Result, e analyzer.Entry) error {
	values, labels, err := s.values(task.Epoch(e.Manifest.Epoch))
	if err != nil {
		return err
	}
	parties := s.parties.Received()
	findings, err := received.Search(ctx, parties, received.Question{Devices: s.devices, Values: values, Tasks: s.opened, Clock: s.clock})
	if err != nil {
		return err
	}
	released := map[string]bool{}
	for _, c := range r.Released {
		released[c.Label] = true
	}
	var searched, findable int
	for i, v := range values {
		if v.Searchable() {
			searched++
			if released[labels[i]] {
				findable++
			}
		}
	}
	var errs []error
	for i, f := range findings {
		v := Received{Finding: f, Searched: searched, findable: findable}
		for _, role := range parties[i].Roles {
			v.Roles = append(v.Roles, role.String())
		}
		for _, found := range f.Found {
			if released[labels[found]] {
				v.Released++
			} else {
				v.Rare++
			}
		}
		errs = append(errs, v.promised(parties[i].Roles, s.task.Hardened()), s.searched(r, &v, parties[i].Roles))
		r.Received = append(r.Received, v)
	}
	return errors.Join(errs...)
}

// values returns what people sent, as it may be found, and the label of each.
func (s *Stage) values(epoch task.Epoch) (all []received.Value, labels []string, err error) {
	in := s.config.Input
	enc, err := encoder.New(s.task, s.id)
	if err != nil {
		return nil, nil, err
	}
	for i, n := range in.Who.Counts(len(in.Things)) {
		if n == 0 {
			continue
		}
		fragments, err := enc.Encode(in.Things[i].Record, rand.Reader)
		if err != nil {
			return nil, nil, err
		}
		for _, f := range fragments {
			v := received.Value{Forms: [][]byte{f.Plain}, Tag: enc.Tag(f, epoch)}
			if len(in.Things[i].Label) >= leastText {
				v.Forms = append(v.Forms, []byte(in.Things[i].Label))
			}
			all, labels = append(all, v), append(labels, in.Things[i].Label)
		}
	}
	return all, labels, nil
}

// promised returns an error if the party has what it must never have. With a hardened
// quorum no party reads or confirms a value by what it receives alone.
func (v *Received) promised(roles []task.Role, hardened bool) error {
	var broken []string
	broke := func(n int, what string) {
		if n > 0 {
			broken = append(broken, fmt.Sprintf("%d %s", n, what))
		}
	}
	if !slices.Contains(roles, task.Relay) {
		broke(v.Devices, "connections from devices' addresses")
		broke(v.Addresses, "addresses of devices")
	}
	if !slices.Contains(roles, task.Analyzer) || hardened {
		broke(v.Released, "values of released crowds")
	}
	if !slices.Contains(roles, task.Shuffler) || hardened {
		broke(v.Guesses, "crowds that a guess confirms")
	}
	broke(v.Rare, "values of crowds that were not released")
	broke(v.Secrets, "keys or tokens of others")
	broke(v.Opened, "plaintexts that only others can open")
	if broken == nil {
		return nil
	}
	return fmt.Errorf("the %s received what it must not have: %s", v.Party, strings.Join(broken, ", "))
}

// searched returns an error if the search has not seen what the party has: then that it
// found nothing else would mean nothing.
func (s *Stage) searched(r *Result, v *Received, roles []task.Role) error {
	for _, role := range roles {
		got, want := 0, 0
		switch role {
		case task.Relay:
			got, want = v.Devices, len(s.devices)
		case task.Shuffler:
			got, want = v.Reports, r.Sent
		case task.Analyzer:
			got, want = v.Records, int(r.Analyzer.Records)
		case task.Leader, task.Helper:
			got, want = v.Shares, len(s.aggregates)*r.People
		}
		if got < want {
			return fmt.Errorf("searching what the %s received as %v: %d found, want %d at least", v.Party, role, got, want)
		}
	}
	if slices.Contains(roles, task.Analyzer) && !s.task.Hardened() && v.Released == 0 && v.findable > 0 {
		return fmt.Errorf("searching what the %s received: none of %d values of released crowds was found", v.Party, v.findable)
	}
	return nil
}

// addressOf returns the address of a device, not valid if devices have one.
func (s *Stage) addressOf(device int) netip.Addr {
	if s.devices == nil {
		return netip.Addr{}
	}
	return s.devices[device]
}

// received prints what the parties received.
func (r *Result) received(b *strings.Builder) error {
	if len(r.Received) == 0 {
		return nil
	}
	fmt.Fprintf(b, "\nWhat each party received in this run, and what a search of it found: all bytes of its connections,\nand what its own keys open of them (%s values that people sent were searched for)\n\n", thousands(r.Received[0].Searched))
	table := tabwriter.NewWriter(b, 2, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "party\tMB\topened\tdevices'\tvalues,\tvalues,\tconfirmed\tkeys of\tothers'\t\n")
	fmt.Fprint(table, "\t\t\taddresses\treleased\trare\tby a guess\tothers\tplaintexts\t\n")
	for _, v := range r.Received {
		fmt.Fprintf(table, "%s\t%.1f\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", strings.Join(v.Roles, ", "), float64(v.Bytes)/1e6,
			thousands(v.Requests+v.Reports+v.Records+v.Shares), thousands(max(v.Devices, v.Addresses)), thousands(v.Released), thousands(v.Rare),
			thousands(v.Guesses), thousands(v.Secrets), thousands(v.Opened))
	}
	return table.Flush()
}
