// Package vocab repeats the Vocab evaluation of the Prochlo paper (section 5.2,
// Figure 5 and Table 3): how many of a long-tailed corpus' words each way of
// asking recovers.
//
//	r, err := vocab.Run(ctx, vocab.Config{Sizes: []int{100_000}, Seed: 1, Clock: clock.System()})
//	fmt.Println(r)
//
// The paper's corpus is private; [Corpus] draws from a distribution fitted to the
// figures that the paper gives for it. Run sends each sample through the
// paper's experiments with a shuffler (Crowd, Secret-Crowd, NoCrowd), through
// its two baselines of randomised response (RAPPOR, Partition), and through
// [NoisyCount], which recovers more at the same privacy. docs/evidence/vocab.md has the
// results and describes what the paper leaves open.
//
// The crowds run through the steps of a shuffler, threshold and permutation, on
// the local engine, without layers of encryption; on demand also with them, to
// measure the time. Counts are a function of the seed. So is the noise: this
// package evaluates mechanisms and must not be used to release anything. On
// machines that round floating point differently, a word at the edge of
// significance may fall to the other side in RAPPOR and Partition.
//
// BUG(shoal): the experiment with blinded crowd IDs is missing.
package vocab
