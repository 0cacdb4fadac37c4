package plan

import (
	"fmt"

	"github.com/shoal-project/shoal/metric/task"
)

// A QuorumPlan describes what a quorum hides, and what not.
type QuorumPlan struct {
	Shares uint16 `json:"shares"` // reports of one value and epoch that make it readable
	Reads  string `json:"reads"`
	Below  string `json:"below"`  // what the analyzer has of the others
	Guess  string `json:"guess"`  // what protects values that can be guessed
	Forged uint32 `json:"forged"` // shares of the smallest crowd that passes which may be wrong without harm
}

// quorumOf describes the quorum of a task, or is nil.
func quorumOf(t *task.Task) *QuorumPlan {
	if t.Encoding.Kind != task.Quorum {
		return nil
	}
	n := t.Encoding.Shares
	q := &QuorumPlan{
		Shares: n, Forged: (t.Threshold.T - uint32(n)) / 2,
		Reads: fmt.Sprintf("the analyzer can read a value once %d reports of one epoch hold it; the reports of two epochs or tasks cannot be put together", n),
		Below: "of a value that fewer hold, the analyzer has only ciphertexts: that they are equal, how many there are, and whether a guess is right",
		Guess: fmt.Sprintf("what can be guessed is protected by the crowd threshold, not by the %d shares: anyone with a ciphertext can encrypt a guess and compare", n),
	}
	if t.Crowd.Kind == task.Constant {
		q.Guess = fmt.Sprintf("no crowd threshold stands before a value, since the crowd is constant: the %d shares alone protect it, if nobody can guess it, and nothing does if somebody can", n)
	}
	return q
}
