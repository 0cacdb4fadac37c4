// Package house tests the repository as a whole: which package may import which,
// the modules that it depends on, what public packages export, what log lines carry,
// and that tables and examples of the documentation agree with the code. It has no
// code but tests, which run in the repository's top folder.
package house
