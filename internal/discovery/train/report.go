package main

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2" //nolint:depguard // training and its tests draw from a seed and keep no secret
	"strings"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/tokengen"
)

// perKind is how many tokens of a kind are judged.
const perKind = 20_000

// report measures a model on tokens and words that it has not seen.
func report(model []byte, languages []language, seed uint64) (string, error) {
	c, err := discovery.ReadClassifier(model)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# The token classifier on what it was not trained on\n\nWritten by `go generate ./internal/discovery`; seed %d, %d tokens for each figure.\nModel: %d bytes, SHA-256 %x.\n\n", seed, perKind, len(model), sha256.Sum256(model))
	b.WriteString("## Secrets detected\n\n| kind | strict | lax |\n|---|---:|---:|\n")
	for i, k := range tokengen.Kinds() {
		draw := func(r *rand.Rand) string { return k.Draw(r) }
		fmt.Fprintf(&b, "| %s | %s | %s |\n", k.Name, share(c, discovery.Strict, seed, uint64(100+i), draw), share(c, discovery.Lax, seed, uint64(100+i), draw))
	}
	b.WriteString("\n## Harmless slugs taken for secrets\n\nWords are those held out from training.\n\n| words of | words only, strict | lax | article titles, strict | lax | products, strict | lax |\n|---|---:|---:|---:|---:|---:|---:|\n")
	for i, l := range languages {
		fmt.Fprintf(&b, "| %s |", l.name)
		for j, slug := range []func(*rand.Rand, tokengen.Words) string{tokengen.Plain, tokengen.Title, tokengen.Product} {
			draw := func(r *rand.Rand) string { return slug(r, l.held) }
			stream := uint64(1000 + 10*i + j)
			fmt.Fprintf(&b, " %s | %s |", share(c, discovery.Strict, seed, stream, draw), share(c, discovery.Lax, seed, stream, draw))
		}
		b.WriteByte('\n')
	}
	return b.String(), nil
}

// share returns which part of the tokens is taken for secrets, in percent.
func share(c *discovery.Classifier, level discovery.Strictness, seed, stream uint64, draw func(*rand.Rand) string) string {
	r := rand.New(rand.NewPCG(seed, stream))
	secrets := 0
	for range perKind {
		if kind, _ := c.Classify(draw(r), level); kind != discovery.TokenPlain {
			secrets++
		}
	}
	return fmt.Sprintf("%.2f %%", 100*float64(secrets)/perKind)
}
