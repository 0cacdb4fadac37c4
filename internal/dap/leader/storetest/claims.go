package storetest

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/leader"
)

// Claim implements [leader.Store].
func (m *Model) Claim(_ context.Context, c leader.Claim, now time.Time) (leader.Claim, error) {
	err := m.Atomically(func() (func(), error) {
		have := m.nodes[c.Node]
		if have.Disk != c.Disk && have.Until.After(now) {
			return nil, &leader.HeldError{Node: c.Node, Until: have.Until}
		}
		c.Token = have.Token + 1
		return func() { m.nodes[c.Node] = c }, nil
	})
	if err != nil {
		return leader.Claim{}, err
	}
	return c, nil
}

// Renew implements [leader.Store].
func (m *Model) Renew(_ context.Context, c leader.Claim) error {
	return m.Atomically(func() (func(), error) {
		have := m.nodes[c.Node]
		if c.Token == 0 || have.Token != c.Token {
			return nil, leader.ErrFenced
		}
		have.Until = c.Until
		return func() { m.nodes[c.Node] = have }, nil
	})
}

// Nodes implements [leader.Store].
func (m *Model) Nodes(context.Context) (all []leader.Claim, err error) {
	err = m.Read(func() error {
		nodes := maps.Clone(m.nodes)
		for _, l := range m.logs {
			if _, ok := nodes[l.Node]; !ok {
				nodes[l.Node] = leader.Claim{Node: l.Node}
			}
		}
		all = slices.SortedFunc(maps.Values(nodes), func(a, b leader.Claim) int { return strings.Compare(a.Node, b.Node) })
		return nil
	})
	return all, err
}

// As implements [leader.Store].
func (m *Model) As(c leader.Claim) leader.Store {
	view := *m
	view.claim = c
	return &view
}

// DropNode implements [leader.Store].
func (m *Model) DropNode(_ context.Context, node string, now time.Time) (d leader.Dropped, err error) {
	err = m.Atomically(func() (func(), error) {
		have := m.nodes[node]
		if have.Until.After(now) {
			return nil, &leader.HeldError{Node: node, Until: have.Until}
		}
		d = leader.Dropped{Node: node, At: now}
		busy := make(map[logKey]bool)
		var jobs []leader.Job
		for _, j := range m.jobs {
			if j.Node == node {
				jobs = append(jobs, j)
				busy[logKey{j.Task, j.Log}] = true
				d.Reports += uint64(j.Reports)
			}
		}
		var logs []logKey
		for k, l := range m.logs {
			if l.Node != node {
				continue
			}
			logs = append(logs, k)
			if l.State != leader.LogDone {
				d.Logs++
				d.Reports += uint64(l.Records)
			} else if busy[k] {
				d.Logs++
			}
			if l.State == leader.LogOpen {
				d.Open++
			}
		}
		return func() {
			have.Node, have.Disk, have.Until = node, "", time.Time{}
			have.Token++
			m.nodes[node] = have
			for _, j := range jobs {
				delete(m.jobs, jobKey{j.Task, j.Number})
				m.count(j.Task, j.Batch, 0, uint64(j.Reports), 0)
			}
			for _, k := range logs {
				delete(m.logs, k)
			}
			*m.drops = append(*m.drops, d)
		}, nil
	})
	if err != nil {
		return leader.Dropped{}, err
	}
	return d, nil
}

// Drops implements [leader.Store].
func (m *Model) Drops(context.Context) (all []leader.Dropped, err error) {
	err = m.Read(func() error {
		all = slices.Clone(*m.drops)
		return nil
	})
	return all, err
}

// Holders implements [leader.Store].
func (m *Model) Holders(_ context.Context, c leader.Collection) (all []leader.Holder, err error) {
	err = m.Read(func() error {
		found := make(map[string]leader.Holder)
		for _, l := range m.logs {
			if l.Task == c.Task && l.Number <= c.Upto && l.State != leader.LogDone {
				h := found[l.Node]
				h.Logs++
				found[l.Node] = h
			}
		}
		for _, j := range m.jobs {
			if j.Task == c.Task && c.Overlaps(&j) {
				h := found[j.Node]
				h.Jobs++
				found[j.Node] = h
			}
		}
		for node, h := range found {
			h.Node, h.Until = node, m.nodes[node].Until
			all = append(all, h)
		}
		slices.SortFunc(all, func(a, b leader.Holder) int { return cmp.Compare(a.Node, b.Node) })
		return nil
	})
	return all, err
}

// ahead reports whether a collection job of the leader-selected mode waits longer
// than another.
func (m *Model) ahead(c *leader.Collection) bool {
	serial := m.collections[collectionKey{c.Task, c.ID}].serial
	for _, o := range m.collections {
		if o.value.Task == c.Task && o.value.State == leader.Waiting && o.value.Interval == (dap.Interval{}) && o.serial < serial {
			return true
		}
	}
	return false
}
