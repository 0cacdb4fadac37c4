// Package lifecycle follows the pages that a person visits, on the person's own
// device, from the moment they are shown until they are told of or forgotten.
package lifecycle
