//go:build !amd64 || purego

package secretshare

func addProducts(sums *[9]uint64, a, b []element) { productsGeneric(sums, a, b) }
