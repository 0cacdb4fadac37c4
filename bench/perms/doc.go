// Package perms repeats the Perms evaluation of the Prochlo paper (section 5.3, Table 4): of how many
// pages an analyst learns what people do when the page asks for a permission.
//
//	r, err := perms.Run(ctx, perms.Config{Seed: 1, Clock: clock.System()})
//	fmt.Println(r)
//
// The paper's data is private. That of data.go is drawn from a model whose three sizes were tuned
// until the naive threshold finds as many pages as the paper's, before anything private ran.
// docs/evidence/perms.md has the results and what the paper leaves open.
//
// Clients use the SDK's encoder, randomised response included; crowds run through the steps of a shuffler on
// the local engine; a part of the clients also through all layers of encryption.
package perms
