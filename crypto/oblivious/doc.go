// Package oblivious permutes, compacts and counts rows of one size so that the
// addresses and branches of the program do not depend on what the rows hold: for a
// shuffler on a machine whose memory bus, caches or operating system are watched.
//
// A [Table] holds the rows. [Table.Shuffle] brings them into an order that is
// uniformly random, [Table.Compact] brings marked rows to the front, and
// [Table.Threshold] keeps the rows of crowds that are large enough, which is the
// shuffler's stage of Encode-Shuffle-Analyze.
//
// # Algorithms
//
// Compaction is ORCompact and the shuffle is ORShuffle of Sasy, Johnson and
// Goldberg, "Fast Fully Oblivious Compaction and Shuffling" (CCS 2022, eprint
// 2022/1333): n lg n / 2 and n lg n (lg n + 1) / 4 conditional exchanges of two rows,
// in place, which never fail. A conditional exchange reads and writes both rows,
// whether or not it exchanges them.
//
// [StashShuffle] is the shuffle of the Prochlo paper, for private memory that is
// smaller than the batch: rows wait in a file between, sealed and bound to their place.
// Its failure probability, which is its security, is computed
// ([StashParameters.Log2Failure]) and not assumed. Addresses within private memory
// depend on the order that it draws; Shuffle has no such dependence.
//
// # What an observer learns
//
// The observer sees the address of every row that is read or written, in order, and
// every branch. It learns the number of rows and their size. From Shuffle and Compact
// it learns nothing else: their traces are a function of these two numbers.
//
// Threshold sorts between two shuffles, by comparisons whose results decide on
// addresses and branches. The comparisons see a keyed tag of the crowd and a random
// number, in constant time; the trace of the sort is a function of the order of the
// keys, which after the first shuffle is a uniformly random one, whatever the crowds
// are. At the end the number of rows that are kept is public.
//
// Tests hold the traces of two inputs of one shape against each other.
//
// # Randomness
//
// All random choices follow from a seed of 32 bytes by AES-256 in counter mode, each
// from an address of its own, so that an interrupted call can be repeated and any
// number of workers gives one result. The observer must not know the seed. A shuffle
// of n rows is within n lg n 2^-128 of the uniform distribution (total variation),
// besides the distance of AES from a random function: each row is marked by comparing
// 128 bits with a fraction, without rejection, so that nothing branches on random
// bits.
//
// # Limits
//
// A table has less than 2^31 rows. Rows are padded to a multiple of 32 bytes in
// memory. The exchange uses AVX2 where the processor has it; else, and with the build
// tag purego, the same in Go. Secrets that remain in registers are not erased, and
// speculative execution past the loops' ends is not prevented.
package oblivious
