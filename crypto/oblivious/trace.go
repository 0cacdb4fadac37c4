package oblivious

// Operations of a trace. Addresses count in the units of what is accessed: words of
// rows, rows, entries of an array.
const (
	traceWord    = 'w' // a word of a row is read and written
	traceRow     = 'r' // a row is read as a whole
	traceCount   = 'c' // the number of marked rows up to a row is read or written
	traceMark    = 'm' // the mark of a row is read or written
	traceKey     = 'k' // the key at a place of the order is read or written
	traceCompare = '<' // the keys of two rows are compared: both, and the result
	traceBlock   = 'b' // a sealed block is read or written
)
