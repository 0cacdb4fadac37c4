package oblivious

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
)

// sealedNumbered is numbered, in storage, and the storage.
func sealedNumbered(t testing.TB, rows, size int, memory int64) (*SealedTable, *inStorage) {
	t.Helper()
	storage := newStorage(rows)
	table, err := NewSealedTable(storage, rows, size, memory, [SeedSize]byte{3})
	if err != nil {
		t.Fatal(err)
	}
	if table.StorageSize() > int64(len(storage.bytes)) {
		t.Fatalf("%d rows take %d bytes", rows, table.StorageSize())
	}
	for i := range table.Rows() {
		if err := table.Add(numberedRow(i, size)); err != nil {
			t.Fatal(err)
		}
	}
	return table, storage
}

func sealedNumbers(t testing.TB, table *SealedTable) []int {
	t.Helper()
	var result []int
	err := table.visit(table.rows, 1, false, func(_ int, row []uint64) error {
		b := appendWords(nil, row)[:table.size]
		result = append(result, int(binary.LittleEndian.Uint32(b)))
		if !bytes.Equal(b, numberedRow(result[len(result)-1], table.size)) {
			t.Errorf("row %x is not whole", b)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// TestSealedTable compares with a table in memory: both bring equal rows into the same
// order by one seed, and by the same marks. Shapes of one part and of many, with a last
// part that is short, by one worker and by three.
func TestSealedTable(t *testing.T) {
	r := rand.New(seeded(30))
	for _, n := range []int{1, 3, 5, 16, 33, 100, 777, 5000} {
		for _, memory := range []int64{128, 512, 2 << 10, 32 << 10} {
			for _, workers := range []int{1, 3} {
				const size = 9
				sealed, _ := sealedNumbered(t, n, size, memory)
				table := numbered(t, sealed.Rows(), size)
				seed := seedOf(seeded(byte(n)))
				if err := errors.Join(sealed.Shuffle(seed, workers), table.Shuffle(seed, 1)); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(sealedNumbers(t, sealed), numbers(t, table)) {
					t.Fatalf("%d rows in %d bytes: another order than in memory", n, memory)
				}
				marks := make([]byte, sealed.Rows())
				for i := range marks {
					marks[i] = byte(r.IntN(2))
				}
				kept, err := sealed.Compact(marks, workers)
				want, err2 := table.Compact(marks, 1)
				if err != nil || err2 != nil || kept != want || !slices.Equal(sealedNumbers(t, sealed), numbers(t, table)) {
					t.Fatalf("%d rows in %d bytes: %d are kept, want %d, or in another order: %v", n, memory, kept, want, err)
				}
			}
		}
	}
}

// TestSealedTampering covers a machine that changes what it stores, at each time: a bit,
// two blocks exchanged, and a block as it was before. Each would break that a report
// counts once.
func TestSealedTampering(t *testing.T) {
	const rows, size, memory = 300, 9, 512
	shape, err := shapeOf(rows, size, memory)
	if err != nil {
		t.Fatal(err)
	}
	length := shape.block*shape.width*wordSize + tagSize
	whole, storage := sealedNumbered(t, rows, size, memory)
	if err := whole.Shuffle([SeedSize]byte{1}, 1); err != nil {
		t.Fatal(err)
	}
	reads := storage.reads.Load()
	if reads < 100 {
		t.Fatalf("%d blocks are read", reads)
	}
	var before []byte // what was stored at first
	for name, change := range map[string]func(b []byte){
		"bit": func(b []byte) { b[len(b)/8%length] ^= 1 },
		"all bits": func(b []byte) {
			for i := range b {
				b[i] ^= 4
			}
		},
		"exchange": func(b []byte) {
			for i := 0; i+2*length <= len(b); i += 2 * length {
				first := slices.Clone(b[i : i+length])
				copy(b[i:], b[i+length:i+2*length])
				copy(b[i+length:], first)
			}
		},
		"replay": func(b []byte) { copy(b, before) },
	} {
		for _, at := range []int64{1, reads / 3, reads - 1} {
			table, storage := sealedNumbered(t, rows, size, memory)
			before = slices.Clone(storage.bytes)
			storage.change = func(n int64, b []byte) {
				if n == at && !(name == "replay" && at == 1) || name == "replay" && at == 1 && n == 9 {
					change(b)
				}
			}
			err := table.Shuffle([SeedSize]byte{1}, 1)
			if name == "bit" && err == nil { // that block was not read any more
				continue
			}
			if !errors.Is(err, ErrTampered) {
				t.Errorf("%s before read %d of %d: %v", name, at, reads, err)
			}
			if err := table.Shuffle([SeedSize]byte{1}, 1); !errors.Is(err, ErrTampered) {
				t.Errorf("%s: the table can be used afterwards: %v", name, err)
			}
		}
	}
}

// TestSealedStorageFails covers a disk that fails at any read.
func TestSealedStorageFails(t *testing.T) {
	broken := errors.New("broken disk")
	for _, at := range []int64{1, 7, 40} {
		for _, workers := range []int{1, 3} {
			table, storage := sealedNumbered(t, 300, 9, 512)
			storage.fail = func(n int64) error {
				if n == at {
					return broken
				}
				return nil
			}
			if err := table.Shuffle([SeedSize]byte{1}, workers); !errors.Is(err, broken) {
				t.Errorf("failing at read %d: %v", at, err)
			}
			if _, err := table.Compact(make([]byte, table.Rows()), workers); !errors.Is(err, broken) {
				t.Errorf("after that: %v", err)
			}
		}
	}
}
