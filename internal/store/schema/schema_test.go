package schema

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// memory is a database of two tables that notes what is run on it.
type memory struct {
	role    string
	version int
	id      bool
	run     []string
	fail    string // a statement with this in it fails
}

var errDatabase = errors.New("the database failed")

func (m *memory) Exec(_ context.Context, statement string, args ...any) error {
	if m.fail != "" && strings.Contains(statement, m.fail) {
		return errDatabase
	}
	switch {
	case strings.HasPrefix(statement, "INSERT INTO shoal") && m.role == "":
		m.role = args[0].(string)
	case strings.HasPrefix(statement, "INSERT INTO installation"):
		m.id = true
	case strings.HasPrefix(statement, "UPDATE shoal"):
		m.version = args[0].(int)
	}
	return nil
}

func (m *memory) Row(_ context.Context, _ string, dest ...any) error {
	*dest[0].(*string), *dest[1].(*int) = m.role, m.version
	return nil
}

func (m *memory) Script(ctx context.Context, text string) error {
	m.run = append(m.run, text)
	return m.Exec(ctx, text)
}

var files = fstest.MapFS{
	"migrations/leader/001_first.sql":      {Data: []byte("one")},
	"migrations/aggregator/002_second.sql": {Data: []byte("two")},
	"migrations/leader/003_third.sql":      {Data: []byte("three")},
	"migrations/shuffler/001_first.sql":    {Data: []byte("another")},
}

func TestMigrate(t *testing.T) {
	d := Dialect{Arg: "?", Noun: "file"}
	m := &memory{}
	if err := Migrate(t.Context(), m, d, files, "leader"); err != nil || !slices.Equal(m.run, []string{"one", "two", "three"}) || m.version != 3 || !m.id {
		t.Fatalf("%+v, %v", m, err)
	}
	if err := Migrate(t.Context(), m, d, files, "leader"); err != nil || len(m.run) != 3 {
		t.Errorf("the second time: %+v, %v", m, err)
	}
	m = &memory{role: "leader", version: 2}
	if err := Migrate(t.Context(), m, d, files, "leader"); err != nil || !slices.Equal(m.run, []string{"three"}) || m.version != 3 {
		t.Errorf("from version 2: %+v, %v", m, err)
	}
	for want, m := range map[string]*memory{
		"the file has version 4, this program knows only 3: run a newer one": {role: "leader", version: 4},
		"the file belongs to a shuffler: give every role a file of its own":  {role: "shuffler"},
		"migration 003_third.sql: the database failed":                       {fail: "three"},
		"the database failed": {fail: "UPDATE"},
	} {
		if err := Migrate(t.Context(), m, d, files, "leader"); err == nil || err.Error() != want || m.version == 3 {
			t.Errorf("%+v: %v, want %q", m, err, want)
		}
	}
}
