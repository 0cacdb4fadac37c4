// Package programs reads which kinds of system API the programs installed on
// this machine use: the demo's input, and the Prochlo paper's own motivating
// example (section 2.1).
//
// It reads dynamic symbol tables (ELF, Mach-O, PE), nothing is executed. A
// statically linked program has no such table and is left out.
package programs

import (
	"cmp"
	"debug/elf"
	"debug/macho"
	"debug/pe"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A Program is one installed program.
type Program struct {
	Name string // base name of the file
	APIs uint64 // bit i: it imports a function of Families[i]
}

// Dirs returns the directories of the search path and the customary places
// beside it, without duplicates.
func Dirs(path string) []string {
	dirs := filepath.SplitList(path)
	dirs = append(dirs, "/usr/bin", "/usr/sbin", "/bin", "/sbin", "/usr/games", "/usr/local/bin")
	var out []string
	for _, d := range dirs {
		real, err := filepath.EvalSymlinks(d)
		if err != nil || slices.Contains(out, real) {
			continue
		}
		out = append(out, real)
	}
	return out
}

// Scan reads the programs that lie in dirs, sorted by name. Files that cannot
// be read or are no programs are skipped: the demo asks about what is there.
// Of several programs of one name the first wins.
func Scan(dirs []string) []Program {
	seen, idx := make(map[string]bool), newIndex()
	var out []Program
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if seen[e.Name()] || e.Type()&fs.ModeSymlink != 0 || e.IsDir() || len(e.Name()) > MaxName {
				continue
			}
			p, ok := read(filepath.Join(dir, e.Name()), idx)
			if !ok {
				continue
			}
			seen[p.Name] = true
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b Program) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// MaxName bounds the length of a program's name, in bytes; longer ones are
// skipped.
const MaxName = 64

// read classifies one file by the functions it imports.
func read(file string, idx index) (Program, bool) {
	symbols := imports(file)
	if len(symbols) == 0 {
		return Program{}, false
	}
	p := Program{Name: filepath.Base(file)}
	for _, s := range symbols {
		p.APIs |= idx.classify(s)
	}
	return p, true
}

// imports lists the functions that a program takes from shared libraries, by
// the first executable format that fits.
func imports(file string) []string {
	if f, err := elf.Open(file); err == nil {
		defer f.Close()
		symbols, err := f.ImportedSymbols()
		if err != nil {
			return nil
		}
		names := make([]string, len(symbols))
		for i, s := range symbols {
			names[i] = s.Name
		}
		return names
	}
	if f, err := macho.Open(file); err == nil {
		defer f.Close()
		return machoImports(f)
	}
	if f, err := macho.OpenFat(file); err == nil {
		defer f.Close()
		return machoImports(f.Arches[0].File)
	}
	if f, err := pe.Open(file); err == nil {
		defer f.Close()
		names, _ := f.ImportedSymbols()
		return names // "Function:library.dll"
	}
	return nil
}

func machoImports(f *macho.File) []string {
	names, err := f.ImportedSymbols()
	if err != nil {
		return nil
	}
	for i, n := range names {
		names[i] = strings.TrimPrefix(n, "_")
	}
	return names
}
