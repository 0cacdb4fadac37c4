// Package mutants breaks the routes of reports, relay, credentials and quorums on
// purpose, one line at a time, and checks that a test notices.
//
// Each file testdata/NAME.mutant describes one fault: which text of which file
// becomes which other text, and the test that must fail then. The text is found
// by its content and not by its line, so that a mutant survives code that moves,
// and must occur exactly once. Nothing in the tree is changed: the go command
// builds the broken file by its flag -overlay.
//
//	make mutants                  all of them
//	make mutants MUTANTS=noise    those whose name matches
//
// A mutant whose test passes has survived, and the run fails. So does a mutant
// that does not apply or compile any more, and a test that fails without a mutant.
//
// # Format
//
//	# What is broken, in a line.
//	file: internal/dap/leader/collection_driver.go
//	test: internal/dap/leader ^TestNoise$
//	--- old
//	the text that is there
//	--- new
//	the text in its place
//
// Texts are whole lines. The second part may be empty.
package mutants
