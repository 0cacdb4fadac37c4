package outbox

import (
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math"
	"os"
	"path/filepath"

	"golang.org/x/crypto/cryptobyte"

	"github.com/shoal-project/shoal/internal/durable"
	format "github.com/shoal-project/shoal/internal/journal"
)

// The journal is one file: a header, then one frame a commit. A commit is
// synced before the next one is written, so only the last frame can be torn by
// a crash; a bad frame with a good one behind it is damage.
//
//	header  magic[16] salt[32] check[16] mark[16] mark[16]
//	mark    number u64, CRC-32C of it u32, zeros[4]
//	frame   a numbered frame of internal/journal: nonce[12], ciphertext
//
// Frames are numbered from 1; the number is
// the ciphertext's associated data. The key is derived from the outbox's key
// and the salt, which is new whenever the file is rewritten.
//
// A mark is the number of a frame that was synced: a file that ends before the
// higher of the two was shortened, or lost its end, after a commit was promised.
// Frame n is marked in slot n mod 2, so that a torn mark leaves the other. The
// sync of the next commit makes a mark durable; it costs none of its own. Version
// 1 of the file has no marks, and becomes version 2 when it is opened.
const (
	magic      = "shoal outbox v2\n"
	magicV1    = "shoal outbox v1\n"
	saltSize   = 32
	checkSize  = 16
	markSize   = 16
	headerV1   = len(magic) + saltSize + checkSize
	headerSize = headerV1 + 2*markSize
	maxFrame   = 64 << 20
	maxJournal = 1 << 30
	chunk      = 256 << 10 // plaintext of a frame of a rewritten journal, roughly
)

// frames is the format of the journal's frames: a nonce, at least an empty ciphertext.
var frames = format.Format{Numbered: true, Min: 12 + 16, Max: maxFrame}

// A journal knows where a journal file ends. It is not safe for concurrent
// use.
type journal struct {
	fs   durable.FS
	dir  string
	key  *Key
	rand io.Reader

	salt   []byte
	aead   cipher.AEAD
	end    int64  // of the last good frame
	frame  uint64 // number of the next frame
	marked uint64 // the highest frame that is known to be marked
	spare  int64  // size of the spare file, as far as it is known
}

// A header is what a journal file begins with.
type header struct {
	salt   []byte
	size   int64  // where the first frame begins
	synced uint64 // the file once held the frames up to this; all of them if no mark is legible
}

// legacy reports whether the file is of version 1.
func (h header) legacy() bool { return h.size == int64(headerV1) }

func (j *journal) name() string { return filepath.Join(j.dir, "journal") }

// use prepares for a file that begins with h.
func (j *journal) use(h header) error {
	aead, err := j.key.aead(h.salt)
	if err != nil {
		return fmt.Errorf("deriving the journal key: %w", err)
	}
	j.salt, j.aead, j.end, j.frame, j.marked = h.salt, aead, h.size, 1, 0
	return nil
}

// appendMark appends the mark of a frame.
func appendMark(dst []byte, frame uint64) []byte {
	dst = format.AppendSum(binary.BigEndian.AppendUint64(dst, frame), len(dst), 0)
	return append(dst, 0, 0, 0, 0)
}

// readMarks returns the highest frame that two marks name, [math.MaxUint64] if
// neither is legible: whatever was promised may be gone.
func readMarks(marks []byte) uint64 {
	highest, legible := uint64(0), false
	for ; len(marks) >= markSize; marks = marks[markSize:] {
		if format.HasSum(marks[:12], 0) {
			highest, legible = max(highest, binary.BigEndian.Uint64(marks)), true
		}
	}
	if !legible {
		return math.MaxUint64
	}
	return highest
}

// mark notes that the frame is synced. A failure only means that a later loss of
// the frame is not noticed.
func (j *journal) mark(f durable.File, frame uint64) {
	at := int64(headerV1) + int64(frame%2)*markSize
	if _, err := f.WriteAt(appendMark(nil, frame), at); err == nil {
		j.marked = frame
	}
}

// check is what the header holds to verify that the key fits.
func (j *journal) check(salt []byte) ([]byte, error) {
	return j.key.derive(string(salt), "check", checkSize)
}

// write replaces the file by one that holds ops, atomically and durably. After
// an error the file is the old one or the new one. On a full disk it uses the
// blocks of the spare file.
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
	if err := n.use(header{salt: salt, size: int64(headerSize)}); err != nil {
		return err
	}
	file := append(append([]byte(magic), salt...), check...)
	file = append(file, make([]byte, 2*markSize)...)
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
	n.marked = n.frame - 1
	for slot := range 2 {
		copy(file[headerV1+slot*markSize:], appendMark(nil, n.marked))
	}
	err = durable.WriteFile(j.fs, j.name(), file, 0o600)
	if durable.IsFull(err) {
		if spareErr := j.writeSpare(file); spareErr != nil {
			return errors.Join(err, spareErr)
		}
		err = nil
	}
	if err != nil {
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
	dst = append(format.BeginNumbered(dst, length, j.frame), nonce...)
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
	if j.marked+1 < j.frame { // the process that wrote the last frame did not mark it
		j.mark(f, j.frame-1)
	}
	if err := f.Sync(); err != nil {
		return errors.Join(fmt.Errorf("writing the journal: %w", err), errUnsynced)
	}
	j.mark(f, j.frame)
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
// the last good one. It calls damaged when the state may lack changes.
func (j *journal) read(data []byte, apply func(op), damaged func()) (found, error) {
	var fd found
	scan := format.ScanBytes(frames, data)
	scan.Number, scan.Open = j.frame, j.open
	start := j.end
	for {
		plain, gap, err := scan.Next()
		if errors.Is(err, io.EOF) {
			return fd, nil
		}
		if err != nil {
			return fd, err
		}
		if gap.Torn {
			fd.torn = gap.End - gap.Start
			return fd, nil
		}
		if plain == nil {
			fd.damaged = append(fd.damaged, Damage{start + gap.Start, gap.End - gap.Start})
			damaged()
		} else if err := applyOps(plain, apply); err != nil {
			return fd, err
		} else {
			fd.frames++
		}
		j.end, j.frame = start+scan.Offset(), scan.Number
	}
}

func applyOps(plain []byte, apply func(op)) error {
	ops, err := decodeOps(plain)
	if err != nil {
		return err
	}
	for _, o := range ops {
		apply(o)
	}
	return nil
}

// open decrypts the payload of a frame. It returns nil if it is not what was sealed
// under that number, else a slice that is not nil.
func (j *journal) open(number uint64, payload []byte) []byte {
	nonce := j.aead.NonceSize()
	plain, err := j.aead.Open([]byte{}, payload[:nonce], payload[nonce:], frameAAD(number))
	if err != nil {
		return nil
	}
	return plain
}

// errNoJournal: there is no journal file yet.
var errNoJournal = errors.New("no journal")

// openFile opens the journal and reads its header.
func (j *journal) openFile() (durable.File, header, error) {
	f, err := j.fs.OpenFile(j.name(), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, header{}, errNoJournal
	}
	if err != nil {
		return nil, header{}, fmt.Errorf("opening the outbox journal: %w", err)
	}
	h, err := j.readHeader(f)
	if err != nil {
		return nil, header{}, errors.Join(err, f.Close())
	}
	return f, h, nil
}

func (j *journal) readHeader(f durable.File) (header, error) {
	b := make([]byte, headerSize)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return header{}, fmt.Errorf("reading the outbox journal: %w", err)
	}
	h := header{salt: b[len(magic) : len(magic)+saltSize], size: int64(headerSize)}
	want, err := j.check(h.salt)
	if err != nil {
		return header{}, err
	}
	version := string(b[:len(magic)])
	fits := subtle.ConstantTimeCompare(b[len(magic)+saltSize:headerV1], want) == 1
	if version != magic && version != magicV1 || !fits || version == magic && n < headerSize {
		return header{}, fmt.Errorf("%s was written under another key, by another version, or its beginning is damaged: put the key back, or remove the directory and all that waits in it", j.name())
	}
	if version == magicV1 {
		h.size = int64(headerV1)
		return h, nil
	}
	h.synced = readMarks(b[headerV1:])
	return h, nil
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
