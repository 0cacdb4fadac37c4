// Package release is what has been released: tables in Parquet files, of
// whatever route their reports took, and the catalogues that list them.
//
// A role that releases writes its tables with [Write], each whole or not at all,
// puts what they are ([Table], with the digest of the file) in a manifest beside
// them, and offers them as a [Catalogue]. Everything that reads results, the
// console, exports and SQL, reads catalogues, and [Join] makes one of several:
//
//	batches, err := release.Select(ctx, catalogue, release.Query{Metric: "api_use"})
//	for row, err := range batches[0].Rows("counts") { ... }
//	err = release.Export(ctx, catalogue, os.Stdout, release.CSV, release.Query{Metric: "api_use", Table: "counts"})
//
// # What holds
//
// Equal rows give equal bytes, so that a release may be repeated after a crash.
// A table is listed only after its file is durable. Nothing here decides what may
// be released: the writer of a table has done that.
//
// # Limits
//
// Columns are flat: one type a column, or a list of it. A row is held in memory,
// a table is not.
package release
