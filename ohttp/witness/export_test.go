package witness

// ParseRecord reads a record as a store has it.
var ParseRecord = parseRecord
