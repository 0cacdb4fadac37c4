// Package vdaf implements Prio3 (draft-irtf-cfrg-vdaf, versions 18 to 22):
// aggregation of secret-shared measurements whose validity is proved.
package vdaf
