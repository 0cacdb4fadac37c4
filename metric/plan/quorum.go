package plan

import (
	"fmt"
	"strings"
	"time"

	"github.com/shoal-project/shoal/crypto/voprf"
	"github.com/shoal-project/shoal/metric/task"
)

// A QuorumPlan describes what a quorum hides, and what not.
type QuorumPlan struct {
	Shares uint16 `json:"shares"` // reports of one value and epoch that make it readable
	Reads  string `json:"reads"`
	Below  string `json:"below"`  // what the analyzer has of the others
	Guess  string `json:"guess"`  // what protects values that can be guessed
	Forged uint32 `json:"forged"` // shares of the smallest crowd that passes which may be wrong without harm
	// Latency is how long a record takes to its batch at most, in a hardened task.
	Latency string `json:"latency,omitempty"`
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
	if t.Hardened() {
		q.harden(t)
	}
	if t.Crowd.Kind == task.Constant {
		q.Guess = fmt.Sprintf("no crowd threshold stands before a value, since the crowd is constant: the %d shares alone protect it, if nobody can guess it, and nothing does if somebody can", n)
	}
	return q
}

// harden puts into words what the evaluation by a randomness party changes.
func (q *QuorumPlan) harden(t *task.Task) {
	q.Reads = fmt.Sprintf("the analyzer can read the records of a crowd once %d clients of one epoch are in it, each counted once by its credential; distinct credentials are not distinct people or networks", q.Shares)
	q.Below = "of a crowd with fewer the analyzer has only how many reports there are; nobody can confirm a guess of it once the epoch's key is destroyed"
	q.Guess = fmt.Sprintf("a guess costs one evaluation, in the epoch that it is about: each credential of the randomness party has %d an epoch (%d requests of %d), its own values included, and its gate says who gets one; that the party destroys each epoch's key, before the first report leaves, is its operator's claim",
		int(t.Protection.Evaluations)*voprf.MaxBatch, t.Protection.Evaluations, voprf.MaxBatch)
	// Recorded just after the last request of an epoch, sent at the end of the next one's window.
	longest := t.Closes(1).Sub(t.Start(0))
	q.Latency = fmt.Sprintf("a record is sent in the epoch after it was evaluated, and evaluated in its own epoch or the next: it is in a batch after %s at most", spanText(longest))
}

// spanText writes a duration without its zero parts.
func spanText(d time.Duration) string {
	s := d.String()
	s = strings.TrimSuffix(s, "0s")
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
