package outbox

import (
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"

	"golang.org/x/crypto/cryptobyte"

	"github.com/shoal-project/shoal/internal/durable"
)

// The journal is one file: a header, then one frame a commit. A commit is
// synced before the next one is written, so only the last frame can be torn by
// a crash; a bad frame with a good one behind it is damage.
//
//	header  magic[16] salt[32] check[16]
//	frame   length u32, number u64, CRC-32C of these two u32, nonce[12], ciphertext
//
// Length counts nonce and ciphertext. Frames are numbered from 1; the number is
// the ciphertext's associated data. The key is derived from the outbox's key
// and the salt, which is new whenever the file is written anew.
const (
	magic      = "shoal outbox v1\n"
	saltSize   = 32
	checkSize  = 16
	headerSize = len(magic) + saltSize + checkSize
	frameHead  = 4 + 8 + 4
	maxFrame   = 64 << 20
	maxJournal = 1 << 30
	chunk      = 256 << 10 // plaintext of a frame of a rewritten journal, roughly
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A journal knows where a journal file ends. It is not safe for concurrent
// use.
type journal struct {
	fs   durable.FS
	dir  string
	key  *Key
	rand io.Reader

	salt  []byte
	aead  cipher.AEAD
	end   int64  // of the last good frame
	frame uint64 // number of the next frame
}

func (j *journal) name() string { return filepath.Join(j.dir, "journal") }

// use prepares for a file that was begun with salt.
func (j *journal) use(salt []byte) error {
	aead, err := j.key.aead(salt)
	if err != nil {
		return fmt.Errorf("deriving the journal key: %w", err)
	}
	j.salt, j.aead, j.end, j.frame = salt, aead, int64(headerSize), 1
	return nil
}

// check is what the header holds to tell whether the key fits.
func (j *journal) check(salt []byte) ([]byte, error) {
	return j.key.derive(string(salt), "check", checkSize)
}

// write replaces the file by one that holds ops, atomically and durably. After
// an error the file is the old one or the new one.
func (j *journal) write(ops iter.Seq[op]) error {
	salt := make([]byte, saltSize)
	if _, err := io.ReadFull(j.rand, salt); err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	check, err := j.check(salt)
	if err != nil {
		return err
	}
	n := *j
	if err := n.use(salt); err != nil {
		return err
	}
	file := append(append([]byte(magic), salt...), check...)
	flush := func(b *cryptobyte.Builder) error {
		plain, err := b.Bytes()
		if err != nil || len(plain) == 0 {
			return err
		}
		file, err = n.seal(file, plain)
		n.frame++
		return err
	}
	b := new(cryptobyte.Builder)
	for o := range ops {
		encodeOp(b, o)
		if len(b.BytesOrPanic()) < chunk {
			continue
		}
		if err := flush(b); err != nil {
			return fmt.Errorf("writing the journal: %w", err)
		}
		b = new(cryptobyte.Builder)
	}
	if err := flush(b); err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	if err := durable.WriteFile(j.fs, j.name(), file, 0o600); err != nil {
		return err
	}
	n.end = int64(len(file))
	*j = n
	return nil
}

// seal appends the frame that holds plain to dst.
func (j *journal) seal(dst, plain []byte) ([]byte, error) {
	nonce := make([]byte, j.aead.NonceSize())
	if _, err := io.ReadFull(j.rand, nonce); err != nil {
		return nil, fmt.Errorf("drawing a nonce: %w", err)
	}
	length := len(nonce) + len(plain) + j.aead.Overhead()
	if length > maxFrame {
		return nil, fmt.Errorf("a commit of %d bytes is more than the journal takes (%d)", len(plain), maxFrame)
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(length))
	dst = binary.BigEndian.AppendUint64(dst, j.frame)
	dst = binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[len(dst)-12:], castagnoli))
	dst = append(dst, nonce...)
	return j.aead.Seal(dst, nonce, plain, frameAAD(j.frame)), nil
}

func frameAAD(number uint64) []byte { return binary.BigEndian.AppendUint64(nil, number) }

// errUnsynced wraps a failure after which the end of the file is unknown.
var errUnsynced = errors.New("the journal's end is unknown")

// append adds a frame and syncs. After an error that is not errUnsynced the
// file is as before.
func (j *journal) append(f durable.File, plain []byte) error {
	frame, err := j.seal(nil, plain)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	if info.Size() > j.end { // a torn frame must not follow this one
		if err := f.Truncate(j.end); err != nil {
			return fmt.Errorf("writing the journal: %w", err)
		}
	}
	if _, err := f.WriteAt(frame, j.end); err != nil {
		err = fmt.Errorf("writing the journal: %w", err)
		if f.Truncate(j.end) != nil || f.Sync() != nil {
			return errors.Join(err, errUnsynced)
		}
		return err
	}
	if err := f.Sync(); err != nil {
		return errors.Join(fmt.Errorf("writing the journal: %w", err), errUnsynced)
	}
	j.end += int64(len(frame))
	j.frame++
	return nil
}

// Damage is a stretch of the journal that could not be read although it had
// once been written completely. It has no bytes where frames are missing.
type Damage struct{ Offset, Bytes int64 }

// found is what reading frames comes to.
type found struct {
	frames  int
	torn    int64 // bytes after the last good frame
	damaged []Damage
}

// read applies the frames of data, which begins at j.end, and moves on behind
// the last good one. It tells damaged when the state may lack changes.
func (j *journal) read(data []byte, apply func(op), damaged func()) (found, error) {
	var fd found
	for at := 0; at < len(data); {
		plain, size := j.open(data[at:], j.frame)
		if plain == nil {
			skip := j.resync(data[at:])
			if skip < 0 {
				fd.torn = int64(len(data) - at)
				break
			}
			fd.damaged = append(fd.damaged, Damage{j.end, int64(skip)})
			damaged()
			at += skip
			j.end += int64(skip)
			j.frame = binary.BigEndian.Uint64(data[at+4:])
			continue
		}
		ops, err := decodeOps(plain)
		if err != nil {
			return fd, err
		}
		for _, o := range ops {
			apply(o)
		}
		fd.frames++
		at += size
		j.end += int64(size)
		j.frame++
	}
	return fd, nil
}

// open decrypts the frame that data begins with, if it is the one expected. It
// returns nil if it is not, else a slice that is not nil.
func (j *journal) open(data []byte, number uint64) ([]byte, int) {
	length, got, ok := parseHead(data)
	nonce := j.aead.NonceSize()
	if !ok || got != number || length < nonce+j.aead.Overhead() || length > len(data)-frameHead {
		return nil, 0
	}
	body := data[frameHead : frameHead+length]
	plain, err := j.aead.Open([]byte{}, body[:nonce], body[nonce:], frameAAD(number))
	if err != nil {
		return nil, 0
	}
	return plain, frameHead + length
}

func parseHead(data []byte) (int, uint64, bool) {
	if len(data) < frameHead || crc32.Checksum(data[:12], castagnoli) != binary.BigEndian.Uint32(data[12:]) {
		return 0, 0, false
	}
	length := binary.BigEndian.Uint32(data)
	return int(min(length, maxFrame+1)), binary.BigEndian.Uint64(data[4:]), length <= maxFrame
}

// resync returns where in data the next good frame begins, -1 if nowhere.
func (j *journal) resync(data []byte) int {
	for at := range data {
		_, number, ok := parseHead(data[at:])
		if !ok || number < j.frame {
			continue
		}
		if plain, _ := j.open(data[at:], number); plain != nil {
			return at
		}
	}
	return -1
}

// errNoJournal: there is no journal file yet.
var errNoJournal = errors.New("no journal")

// openFile opens the journal and reads its salt.
func (j *journal) openFile() (durable.File, []byte, error) {
	f, err := j.fs.OpenFile(j.name(), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, errNoJournal
	}
	if err != nil {
		return nil, nil, fmt.Errorf("opening the outbox journal: %w", err)
	}
	header := make([]byte, headerSize)
	if _, err := f.ReadAt(header, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, errors.Join(fmt.Errorf("reading the outbox journal: %w", err), f.Close())
	}
	salt := header[len(magic) : len(magic)+saltSize]
	want, err := j.check(salt)
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	if string(header[:len(magic)]) != magic || subtle.ConstantTimeCompare(header[len(magic)+saltSize:], want) != 1 {
		return nil, nil, errors.Join(fmt.Errorf("%s was written under another key, by another version, or its beginning is damaged: put the key back, or remove the directory and all that waits in it", j.name()), f.Close())
	}
	return f, salt, nil
}

// tail reads what the file holds behind j.end.
func (j *journal) tail(f durable.File) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading the outbox journal: %w", err)
	}
	if info.Size() > maxJournal {
		return nil, fmt.Errorf("%s has %d bytes: more than any outbox writes (%d)", j.name(), info.Size(), maxJournal)
	}
	if info.Size() < j.end {
		return nil, fmt.Errorf("%s became shorter", j.name())
	}
	data := make([]byte, info.Size()-j.end)
	if _, err := f.ReadAt(data, j.end); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading the outbox journal: %w", err)
	}
	return data, nil
}
