package programs_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/shoal-project/shoal/cmd/shoal/internal/programs"
)

func TestFamilies(t *testing.T) {
	f := programs.Families()
	if len(f) != 16 {
		t.Fatalf("%d families, want 16", len(f))
	}
	if s := slices.Clone(f); len(slices.Compact(slices.Sorted(slices.Values(s)))) != 16 {
		t.Fatalf("families repeat: %v", f)
	}
}

// elfImporting builds the smallest 64-bit ELF file whose dynamic symbol table
// imports the given functions.
func elfImporting(symbols ...string) []byte {
	strtab, symtab := []byte{0}, make([]byte, 24)
	for _, s := range symbols {
		symtab = binary.LittleEndian.AppendUint32(symtab, uint32(len(strtab)))
		symtab = append(symtab, 0x12, 0, 0, 0) // global function, undefined section
		symtab = append(symtab, make([]byte, 16)...)
		strtab = append(append(strtab, s...), 0)
	}
	shstr := []byte("\x00.dynsym\x00.dynstr\x00.shstrtab\x00")
	at := uint64(64)
	section := func(name, kind uint32, off, size uint64, link uint32, entry uint64) []byte {
		var b bytes.Buffer
		for _, v := range []any{name, kind, uint64(0), uint64(0), off, size, link, uint32(1), uint64(1), entry} {
			_ = binary.Write(&b, binary.LittleEndian, v)
		}
		return b.Bytes()
	}
	body := slices.Concat(symtab, strtab, shstr)
	headers := slices.Concat(
		make([]byte, 64),
		section(1, 11, at, uint64(len(symtab)), 2, 24),
		section(9, 3, at+uint64(len(symtab)), uint64(len(strtab)), 0, 0),
		section(17, 3, at+uint64(len(symtab)+len(strtab)), uint64(len(shstr)), 0, 0),
	)
	var h bytes.Buffer
	h.WriteString("\x7fELF\x02\x01\x01")
	h.Write(make([]byte, 9))
	for _, v := range []any{
		uint16(3), uint16(62), uint32(1), uint64(0), uint64(0), at + uint64(len(body)), uint32(0),
		uint16(64), uint16(0), uint16(0), uint16(64), uint16(4), uint16(3),
	} {
		_ = binary.Write(&h, binary.LittleEndian, v)
	}
	return slices.Concat(h.Bytes(), body, headers)
}

func TestScan(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write("talker", elfImporting("socket", "connect", "pthread_create", "frobnicate"))
	write("counter", elfImporting("strlen", "sqrt"))
	write("static", elfImporting())
	write("script", []byte("#!/bin/sh\nexit 0\n"))
	write("broken", elfImporting("socket")[:80])
	if err := os.Symlink("talker", filepath.Join(dir, "alias")); err != nil {
		t.Fatal(err)
	}
	bit := func(names ...string) (set uint64) {
		for _, n := range names {
			set |= 1 << slices.Index(programs.Families(), n)
		}
		return set
	}
	want := []programs.Program{
		{Name: "counter", APIs: bit("strings", "math")},
		{Name: "talker", APIs: bit("network", "threads")},
	}
	if got := programs.Scan([]string{dir, filepath.Join(dir, "missing")}); !slices.Equal(got, want) {
		t.Fatalf("Scan = %v, want %v", got, want)
	}
}

func TestThisMachine(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("counts the programs of a Linux system")
	}
	found := programs.Scan(programs.Dirs(os.Getenv("PATH")))
	if len(found) < 20 {
		t.Skipf("only %d dynamically linked programs here", len(found))
	}
	var all, none uint64
	for _, p := range found {
		all |= p.APIs
		if p.APIs == 0 {
			none++
		}
	}
	if all != 1<<16-1 {
		t.Errorf("some family is used by none of %d programs: %016b", len(found), all)
	}
	if none > uint64(len(found))/10 {
		t.Errorf("%d of %d programs use no family at all", none, len(found))
	}
	t.Logf("%d programs", len(found))
}
