package main

import (
	"bufio"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strings"

	"github.com/shoal-project/shoal/internal/discovery/tokengen"
	"github.com/shoal-project/shoal/internal/discovery/tokenmodel"
)

// A language is a word list, split into words to learn from and words to be
// judged on. One word in five is held out.
type language struct {
	name        string
	train, held tokengen.Words
}

// lists are the word lists that are read, as the Debian packages name them.
func lists() []string {
	return []string{"american-english", "british-english", "ngerman", "french", "spanish", "italian", "portuguese", "dutch", "danish", "polish"}
}

// perLanguage bounds the words taken of a list, evenly spread.
const perLanguage = 100_000

func readLists(dir string) ([]language, error) {
	folder := tokenmodel.NewFolder()
	var all []language
	for _, name := range lists() {
		words, err := readList(filepath.Join(dir, name), folder)
		if err != nil {
			return nil, fmt.Errorf("reading a word list (Debian packages wamerican wbritish wngerman wfrench wspanish witalian wportuguese wdutch wdanish wpolish): %w", err)
		}
		l := language{name: name}
		for _, w := range words {
			if heldOut(w) {
				l.held = append(l.held, w)
			} else {
				l.train = append(l.train, w)
			}
		}
		all = append(all, l)
	}
	return all, nil
}

// heldOut depends on the word alone: a word that two languages share is on the
// same side in both.
func heldOut(w string) bool {
	h := fnv.New64a()
	h.Write([]byte(w))
	return h.Sum64()>>7%5 == 0
}

func readList(name string, folder *tokenmodel.Folder) (tokengen.Words, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var words tokengen.Words
	for s := bufio.NewScanner(f); s.Scan(); {
		w := strings.ToLower(folder.Fold(strings.TrimSuffix(strings.TrimSpace(s.Text()), "'s")))
		if len(w) >= 2 && len(w) <= 24 && strings.Trim(w, tokengen.Lower) == "" {
			words = append(words, w)
		}
	}
	if len(words) < 10_000 {
		return nil, fmt.Errorf("%s: %d words of Latin letters, want 10000 or more", name, len(words))
	}
	step := max(1, len(words)/perLanguage)
	var kept tokengen.Words
	for i := 0; i < len(words); i += step {
		kept = append(kept, words[i])
	}
	return kept, nil
}
