package esa

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"

	"github.com/shoal-project/shoal/crypto/blind"
	"github.com/shoal-project/shoal/metric/task"
)

// A CrowdTag names a report's crowd to the shuffler. Reports of one task and
// salt window are in one crowd if their tags are equal. The zero tag is the one
// crowd of a task whose crowds are constant, and what a hop reads that is not
// given crowds at all.
type CrowdTag [16]byte

const crowdDomain = "shoal crowd tag v1"

// SaltedTag returns the tag of the crowd that material describes:
//
//	HMAC-SHA256("shoal crowd tag v1" || task ID || window, material)[:16]
//
// with the salt window (see [task.Task.SaltWindow]) as 8 big-endian bytes. Tags
// of two tasks or of two windows cannot be compared. The salt is no secret:
// anyone who can guess the material can compute the tag.
func SaltedTag(id task.ID, window uint64, material []byte) CrowdTag {
	key := make([]byte, 0, len(crowdDomain)+len(id)+8)
	key = append(key, crowdDomain...)
	key = append(key, id[:]...)
	key = binary.BigEndian.AppendUint64(key, window)
	mac := hmac.New(sha256.New, key)
	mac.Write(material)
	var sum [sha256.Size]byte
	return CrowdTag(mac.Sum(sum[:0])[:len(CrowdTag{})])
}

const (
	pointDomain  = "shoal crowd point v1 curve25519_XMD:SHA-512_ELL2_NU_"
	markDomain   = "shoal crowd mark v1"
	pointMessage = len(task.ID{}) + 8
)

// CrowdPoint returns the point of the crowd that material describes, for a report of
// the task with the given ID, whose crowds are blinded, in epoch e:
//
//	HashToCurve(domain, task ID || e as 8 bytes || material)
//
// with the domain "shoal crowd point v1 curve25519_XMD:SHA-512_ELL2_NU_".
func CrowdPoint(id task.ID, e task.Epoch, material []byte) [blind.Size]byte {
	message := make([]byte, 0, pointMessage+len(material))
	message = append(message, id[:]...)
	message = binary.BigEndian.AppendUint64(message, uint64(e))
	return blind.HashToCurve(pointDomain, append(message, material...))
}

// BlindedTag returns the tag under which the last shuffler counts a crowd that is
// blinded: the first bytes of SHA-256("shoal crowd mark v1" || tag.Value).
func BlindedTag(tag *blind.Tag) CrowdTag {
	sum := sha256.Sum256(append([]byte(markDomain), tag.Value[:]...))
	return CrowdTag(sum[:len(CrowdTag{})])
}

// String returns the tag in hexadecimal.
func (c CrowdTag) String() string { return hex.EncodeToString(c[:]) }

// CrowdMaterial returns what the tag of a report's crowd is made of: the payload,
// its crowd fields, or nothing for constant crowds. record is what the payload
// decodes to. Of two crowds it is that of the first.
func CrowdMaterial(t *task.Task, payload []byte, record task.Record) ([]byte, error) {
	all, err := CrowdMaterials(t, payload, record)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// CrowdMaterials is [CrowdMaterial] for each of the crowds that a report is in: two if the
// task has a second one, else one.
func CrowdMaterials(t *task.Task, payload []byte, record task.Record) ([][]byte, error) {
	switch t.Crowd.Kind {
	case task.Constant:
		return [][]byte{nil}, nil
	case task.Payload:
		return [][]byte{payload}, nil
	}
	crowds, err := t.CrowdsOf(record)
	if err != nil {
		return nil, err
	}
	all := make([][]byte, len(crowds))
	for i, crowd := range crowds {
		if all[i], err = t.Schema.Encode(crowd); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// CrowdTagOf returns the tag of the crowd that material describes, for a report
// of t, whose ID is id, in epoch e.
func CrowdTagOf(t *task.Task, id task.ID, e task.Epoch, material []byte) CrowdTag {
	if t.Crowd.Kind == task.Constant {
		return CrowdTag{}
	}
	return SaltedTag(id, t.SaltWindow(e), material)
}
