package analyzer_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/internal/esa/analyzer/storetest"
	"github.com/shoal-project/shoal/internal/esa/hop"
	"github.com/shoal-project/shoal/internal/esa/hoptest"
	"github.com/shoal-project/shoal/metric/task"
)

// unlearning is a store that cannot learn.
type unlearning struct {
	analyzer.Store
	err error
}

func (u *unlearning) Learn(ctx context.Context, id task.ID, c esa.Coverage) error {
	if u.err != nil {
		return u.err
	}
	return u.Store.Learn(ctx, id, c)
}

// TestPutStatement: a statement by the last shuffler is answered with its receipt, as often
// as it comes; everything else is refused with a reason and changes nothing.
func TestPutStatement(t *testing.T) {
	w := hoptest.New(t, 2, nil)
	store := &unlearning{Store: storetest.NewModel()}
	p := w.Parties[2]
	a, err := analyzer.New(t.Context(), analyzer.Config{
		Store: store, FS: durable.Mem(), Dir: "analyzer", Clock: w.Clock, Identity: p.ID.Public(), Keys: p.Keys, Tasks: []*task.Task{w.Task},
	})
	must(t, err)
	c := esa.Coverage{Complete: esa.EpochsOf(esa.Span{First: 3, Last: 9})}
	sign := func(hop int, by task.IdentityKey) []byte {
		b, err := (&esa.Statement{Task: w.ID, Hop: uint8(hop), Coverage: c}).Sign(by)
		must(t, err)
		return b
	}
	good := sign(1, w.Parties[1].ID)
	for _, tc := range []struct {
		name, task, kind string
		body             []byte
		err              error
		status           int
	}{
		{"of another type", w.ID.String(), "text/plain", good, nil, http.StatusUnsupportedMediaType},
		{"of another task", task.ID{1}.String(), hop.StatementType, good, nil, http.StatusNotFound},
		{"of no task", "x", hop.StatementType, good, nil, http.StatusNotFound},
		{"by the first shuffler", w.ID.String(), hop.StatementType, sign(0, w.Parties[0].ID), nil, http.StatusBadRequest},
		{"by somebody else", w.ID.String(), hop.StatementType, sign(1, w.Parties[0].ID), nil, http.StatusBadRequest},
		{"cut off", w.ID.String(), hop.StatementType, good[:len(good)-1], nil, http.StatusBadRequest},
		{"empty", w.ID.String(), hop.StatementType, nil, nil, http.StatusBadRequest},
		{"too long", w.ID.String(), hop.StatementType, make([]byte, esa.MaxStatement+1), nil, http.StatusRequestEntityTooLarge},
		{"with a full disk", w.ID.String(), hop.StatementType, good, syscall.ENOSPC, http.StatusServiceUnavailable},
		{"with a broken store", w.ID.String(), hop.StatementType, good, errors.New("broken"), http.StatusServiceUnavailable},
		{"good", w.ID.String(), hop.StatementType, good, nil, http.StatusOK},
		{"again", w.ID.String(), hop.StatementType, good, nil, http.StatusOK},
	} {
		store.err = tc.err
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/tasks/"+tc.task+"/statement", bytes.NewReader(tc.body))
		r.Header.Set("Content-Type", tc.kind)
		rec := httptest.NewRecorder()
		a.Handler().ServeHTTP(rec, r)
		if rec.Code != tc.status {
			t.Errorf("%s: status %d, want %d: %s", tc.name, rec.Code, tc.status, rec.Body)
		}
		if taken := rec.Code == http.StatusOK; taken != (rec.Body.String() == hop.StatementReceipt(good)) || !taken && !strings.Contains(rec.Body.String(), "urn:shoal:problem:") {
			t.Errorf("%s: answer %s", tc.name, rec.Body)
		}
		have, err := a.Tables().Stated(t.Context(), w.ID)
		if err != nil || have.Equal(c) != (tc.status == http.StatusOK) {
			t.Errorf("%s: stated is %+v, %v", tc.name, have, err)
		}
	}
}
