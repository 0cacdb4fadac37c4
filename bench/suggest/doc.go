// Package suggest repeats the Suggest evaluation of the Prochlo paper (section 5.4): how well the next
// view is predicted from histories that were cut into triples, beside whole histories.
//
//	r, err := suggest.Run(ctx, suggest.Config{Seed: 1, Clock: clock.System()})
//	fmt.Println(r)
//
// The paper's data is private. That of data.go is drawn from a chain that was tuned on the accuracy of whole
// histories, before any were cut. docs/evidence/suggest.md has the results.
package suggest
