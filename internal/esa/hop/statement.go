package hop

import (
	"context"
	"crypto/sha256"
	"io"
	"net/http"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/problem"
	"github.com/shoal-project/shoal/metric/task"
)

// StatementType is the media type of a signed statement.
const StatementType = "application/shoal-statement;v=1"

var badStatement = problem.Problem{
	Status: http.StatusBadRequest, Type: problem.Shoal("invalidStatement"),
	Title: "The body is not a statement about this task, signed by the hop before.",
}

// StatementReceipt is the answer to a signed statement that is durable here.
func StatementReceipt(signed []byte) string {
	digest := sha256.Sum256(signed)
	return FormatSeal(digest[:])
}

// PutStatement takes a statement about a task by hop from of its hops, and answers 200
// with a receipt when learn has made it durable. The same statement may come any number
// of times, and an older one after a newer one.
func PutStatement(w http.ResponseWriter, r *http.Request, t *task.Task, id task.ID, from int, learn func(context.Context, task.ID, esa.Coverage) error) {
	if !HasType(r, StatementType) {
		BadType.Write(w, 0)
		return
	}
	if r.ContentLength > esa.MaxStatement {
		TooLarge.Write(w, 0)
		return
	}
	signed, err := io.ReadAll(io.LimitReader(r.Body, esa.MaxStatement+1))
	if err != nil {
		Cut.Write(w, 0)
		return
	}
	s, err := esa.OpenStatement(signed, t, id, from)
	if err != nil {
		badStatement.Write(w, 0)
		return
	}
	if err := learn(context.WithoutCancel(r.Context()), id, s.Coverage); err != nil {
		if durable.IsFull(err) {
			diskFull.Write(w, 0)
			return
		}
		Unavailable.Write(w, 0)
		return
	}
	w.Header().Set("Content-Type", ReceiptType)
	io.WriteString(w, StatementReceipt(signed)) // the sender tries again if this fails
}
