// Package storetest holds the conformance suite of [ledger.Store] and a model of
// a store that can crash.
//
// An implementation's test calls [Run] with a function that opens a fresh store.
// Tests of what uses a store take a [Model].
package storetest
