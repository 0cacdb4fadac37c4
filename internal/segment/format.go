package segment

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/shoal-project/shoal/internal/journal"
)

// A segment is a file; integers are big endian, checksums CRC-32C:
//
//	header  8  magic "SHOALSG1"
//	        8  number of the segment
//	        4  MaxRecord of the log that wrote it
//	       12  random salt
//	        4  checksum of the header so far: the seed
//	record     a plain frame of internal/journal, with that seed
//	…
//	footer  8  magic "\xff\xff\xff\xffSEAL", not the beginning of any record
//	        8  number of records
//	        8  bytes before the footer
//	       32  SHA-256 of the bytes before the footer
//	        4  checksum of the footer so far, continued from the seed
//
// The salt makes every checksum the segment's own: neither blocks of a deleted
// segment that show through after a crash nor records that a sender has forged
// inside a record are taken for records of this one.
const (
	headerMagic = "SHOALSG1"
	footerMagic = "\xff\xff\xff\xffSEAL"
	headerSize  = 8 + 8 + 4 + 12 + 4
	frameSize   = journal.Head
	footerSize  = 8 + 8 + 8 + sha256.Size + 4

	maxRecordLimit = 1 << 30
)

const (
	openSuffix = ".open" // grows
	segSuffix  = ".seg"  // sealed
	tmpSuffix  = ".tmp"  // being copied from an open one
)

func fileName(number uint64, suffix string) string { return fmt.Sprintf("%08d%s", number, suffix) }

// parseName is the inverse of fileName.
func parseName(name string) (uint64, string, bool) {
	i := strings.IndexByte(name, '.')
	if i < 0 {
		return 0, "", false
	}
	number, err := strconv.ParseUint(name[:i], 10, 63)
	if err != nil || fileName(number, name[i:]) != name {
		return 0, "", false
	}
	return number, name[i:], true
}

// header is the decoded beginning of a segment.
type header struct {
	number    uint64
	maxRecord int
	seed      uint32
}

func newHeader(number uint64, maxRecord int, random io.Reader) ([]byte, header, error) {
	b := make([]byte, 0, headerSize)
	b = append(b, headerMagic...)
	b = binary.BigEndian.AppendUint64(b, number)
	b = binary.BigEndian.AppendUint32(b, uint32(maxRecord))
	b = b[:headerSize-4]
	if _, err := io.ReadFull(random, b[20:]); err != nil {
		return nil, header{}, fmt.Errorf("drawing a salt: %w", err)
	}
	seed := journal.Sum(0, b)
	return binary.BigEndian.AppendUint32(b, seed), header{number, maxRecord, seed}, nil
}

var errHeader = errors.New("damaged header")

// parseHeader decodes b, which has headerSize bytes. A header that fails its
// checksum is returned too, with errHeader: its seed is as stored.
func parseHeader(b []byte) (header, error) {
	h := header{
		number:    binary.BigEndian.Uint64(b[8:]),
		maxRecord: int(min(binary.BigEndian.Uint32(b[16:]), maxRecordLimit)),
		seed:      binary.BigEndian.Uint32(b[headerSize-4:]),
	}
	if !journal.HasSum(b[:headerSize], 0) || string(b[:8]) != headerMagic {
		return h, errHeader
	}
	return h, nil
}

// frames is the format of records whose checksums continue from a seed.
func frames(seed uint32, maxRecord int) journal.Format {
	return journal.Format{Seed: seed, Max: maxRecord}
}

// footer is the decoded end of a sealed segment.
type footer struct {
	records int64
	size    int64 // bytes before the footer
	digest  [sha256.Size]byte
}

// bytes encodes the footer.
func (f footer) bytes(seed uint32) []byte {
	b := []byte(footerMagic)
	b = binary.BigEndian.AppendUint64(b, uint64(f.records))
	b = binary.BigEndian.AppendUint64(b, uint64(f.size))
	b = append(b, f.digest[:]...)
	return journal.AppendSum(b, 0, seed)
}

// parseFooter decodes the last footerSize bytes of a file of the given size. It
// returns false if they are not its footer.
func parseFooter(b []byte, size int64, seed uint32) (footer, bool) {
	f := footer{
		records: int64(binary.BigEndian.Uint64(b[8:])),
		size:    int64(binary.BigEndian.Uint64(b[16:])),
		digest:  [sha256.Size]byte(b[24:]),
	}
	ok := f.records >= 0 && f.size == size-footerSize && bytes.Equal(b, f.bytes(seed))
	return f, ok
}
