package esa

import (
	"encoding/binary"
	"errors"

	"github.com/shoal-project/shoal/crypto/secretshare"
	"github.com/shoal-project/shoal/metric/task"
)

const quorumDomain = "shoal quorum v1"

// QuorumBinding returns what the ciphertexts and shares of a task with
// [task.Quorum] are bound to in one epoch:
//
//	"shoal quorum v1" || task ID || epoch as 8 bytes, big-endian
func QuorumBinding(id task.ID, e task.Epoch) secretshare.Binding {
	b := make([]byte, 0, len(quorumDomain)+len(id)+8)
	b = append(b, quorumDomain...)
	b = append(b, id[:]...)
	return binary.BigEndian.AppendUint64(b, uint64(e))
}

// JoinShared returns what the innermost layer holds of an encoding of a padded
// payload: ciphertext, then share.
func JoinShared(e secretshare.Encoding) []byte { return append(e.Ciphertext, e.Share[:]...) }

// SplitShared reads what [JoinShared] writes, of a task with [task.Quorum]. The
// ciphertext shares the memory of content.
func SplitShared(t *task.Task, content []byte) (ciphertext []byte, share secretshare.Share, err error) {
	n := t.MessageSize() + secretshare.Overhead
	if t.Encoding.Kind != task.Quorum || len(content) != n+secretshare.ShareSize {
		return nil, share, errors.New("content is not a ciphertext and a share of the task")
	}
	return content[:n:n], secretshare.Share(content[n:]), nil
}
