// Package flix repeats the Flix evaluation of the Prochlo paper (section 5.5, Table 5): how well movie
// ratings are predicted from pairs of ratings that cannot be put together again.
//
//	r, err := flix.Run(ctx, flix.Config{Seed: 1, Clock: clock.System()})
//	fmt.Println(r)
//
// The paper's data may not be passed on. That of data.go is drawn from a model of users, movies and tastes whose
// sizes are the paper's and whose chance was tuned on the error without privacy, before anything
// private ran. docs/evidence/flix.md has the results and what the paper leaves open.
//
// Clients use the SDK's encoder: pairs of a list, each rating replaced at random with probability 0.1, two
// crowds a report. The analyzer undoes the replacement on the counts, and fits a covariance of low rank.
package flix
