// Package vocab repeats the Vocab evaluation of the Prochlo paper (section 5.2,
// Figure 5 and Table 3): how many of a long-tailed corpus' words each way of
// asking recovers.
//
// The paper's corpus is private; [Corpus] draws from a distribution fitted to the
// figures that the paper gives for it.
package vocab
