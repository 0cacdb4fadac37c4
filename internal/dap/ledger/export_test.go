package ledger

// SetSizes makes pages be put in order when they are small.
func (bs *Ledgers) SetSizes(chunk, least, run, long int) { bs.sizes = sizes{chunk, least, run, long} }

// Limit returns how many bytes of report IDs may be in memory.
func (bs *Ledgers) Limit() int64 { return bs.cache.limit }
