// Package oblivious permutes, compacts and counts rows of one size so that the
// addresses and branches of the program do not depend on what the rows hold: for a
// shuffler on a machine whose memory bus, caches or operating system are watched.
//
// A [Batch] holds the rows of a batch and applies a threshold to them, which is the
// shuffler's stage of Encode-Shuffle-Analyze: of each crowd it keeps as many rows as a
// rule says, and brings them into random order. Below it a [Table] holds rows in memory
// and a [SealedTable] in storage. Shuffle brings their rows into an order that is
// uniformly random, Compact brings marked rows to the front.
//
//	b, err := oblivious.NewBatch(oblivious.BatchConfig{Rows: n, Size: size, Memory: 4 << 30, Workers: 2, Storage: storage, Rand: rand.Reader})
//	err = b.Add(row) // n times
//	outcome, err := b.Threshold(seed, oblivious.Rules{Keep: keep})
//	err = b.Each(func(row []byte) error { ... })
//
// # Algorithms
//
// Compaction is ORCompact and the shuffle is ORShuffle of Sasy, Johnson and
// Goldberg, "Fast Fully Oblivious Compaction and Shuffling" (CCS 2022, eprint
// 2022/1333): n lg n / 2 and n lg n (lg n + 1) / 4 conditional exchanges of two rows,
// in place, which never fail. A conditional exchange reads and writes both rows,
// whether or not it exchanges them.
//
// A threshold shuffles the rows, sorts their keys by crowd, numbers the rows of each
// crowd in one scan, enters its size in another one backwards, asks the rule at each
// row, compacts, and shuffles what is kept. It has no counter for a crowd.
//
// A SealedTable does the same through bounded memory: parts that fit are worked on
// there, larger ones are exchanged block by block. Blocks are sealed by AES-256-GCM; the
// nonce is the place and how often it was written, which memory keeps, so that a block
// that was changed, moved or replayed does not open ([ErrTampered]).
//
// [StashShuffle] is the shuffle of the Prochlo paper, for private memory that is
// smaller than the batch: rows wait in a file between, sealed and bound to their place.
// Its failure probability, which is its security, is computed
// ([StashParameters.Log2Failure]) and not assumed. Addresses within private memory
// depend on the order that it draws; those of SealedTable do not, and so a Batch uses that.
//
// # What an observer learns
//
// The observer sees the address of every row that is read or written, in order, every
// branch, and storage, which it may change. It learns the number of rows and their size.
// From Shuffle and Compact it learns nothing else: their traces are a function of these
// two numbers and of the size of memory.
//
// Threshold sorts between two shuffles, by comparisons whose results decide on
// addresses and branches. The comparisons take constant time over crowd, key and place; the
// trace of the sort is a function of the order of the keys alone, which after the first
// shuffle is a uniformly random one, whatever the crowds are. Whether there are enough
// rows, and how many are kept, is public in the end.
//
// Tests hold the traces of two inputs of one shape against each other, word by word, in a
// build with the tag oblivioustrace, in which the exchange is the one in Go; without the
// tag nothing is recorded and nothing is left of it in the program. Other tests show that
// accesses which do depend on data are seen. The exchange with vectors is in the
// tests equal to the one in Go; that its trace is too follows from its text: it has
// no branch but on counts of rows and words.
//
// # Randomness
//
// All random choices follow from a seed of 32 bytes by AES-256 in counter mode, each
// from an address of its own, so that an interrupted call can be repeated and any
// number of workers gives one result. The observer must not know the seed. A shuffle
// of n rows is within n lg n 2^-128 of the uniform distribution (total variation),
// besides the distance of AES from a random function: each row is marked by comparing
// 128 bits with a fraction, without rejection, so that nothing branches on random
// bits. Keys of sealed tables are for one use and do not follow from the seed.
//
// # Limits
//
// A table has less than 2^31 rows. Rows are padded to a multiple of 32 bytes in
// memory. Sorting takes 68 bytes of memory for each row, also of a sealed table.
// The exchange uses AVX2 where the processor has it; else, and with the build
// tag purego, the same in Go. There is no form with AVX-512: exchangeAVX2 is the place
// for it, and TestExchange what it must pass. Secrets that remain in registers are not erased, and
// speculative execution past the loops' ends is not prevented.
package oblivious
