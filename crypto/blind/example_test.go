package blind_test

import (
	"crypto/rand"
	"fmt"

	"github.com/shoal-project/shoal/crypto/blind"
)

// Three reports of two crowds go through two shufflers.
func Example() {
	const domain = "example.org crowds v1"
	crowds := []string{"dark", "light", "dark"}

	// Clients. The secret of each comes from the HPKE context of its report.
	factors := make([]blind.Factor, len(crowds))
	betas := make([][blind.Size]byte, len(crowds))
	for i, crowd := range crowds {
		var secret [blind.Size]byte
		rand.Read(secret[:])
		factors[i] = blind.NewFactor(secret)
		beta, err := factors[i].Blind(blind.HashToCurve(domain, []byte(crowd)))
		if err != nil {
			fmt.Println(err)
			return
		}
		betas[i] = beta
	}

	// Shuffler 1, which also permutes.
	exponent, err := blind.NewExponent(rand.Reader)
	if err != nil {
		fmt.Println(err)
		return
	}
	gammas := make([][blind.Size]byte, len(betas))
	for i, product := range exponent.Multiply(betas) {
		gammas[i], _ = product.Secret()
	}

	// Shuffler 2, which derives the same factors from the reports' layers.
	tags, err := blind.Unblind(factors, gammas)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(tags[0] == tags[2], tags[0] == tags[1])
	// Output: true false
}
