//go:build !purego

package secretshare

// products is productsGeneric in assembly, with the carries in the processor's flag.
//
//go:noescape
func products(sums *[9]uint64, a, b *element, n int)

// addProducts sets sums as productsGeneric does. It takes the same time for all values.
func addProducts(sums *[9]uint64, a, b []element) {
	if len(a) > 0 {
		b = b[:len(a)]
		products(sums, &a[0], &b[0], len(a))
	}
}
