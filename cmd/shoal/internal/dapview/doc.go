// Package dapview shows messages of DAP to people: every field under its name in
// the draft, as indented text or as JSON.
//
//	v, err := dapview.Decode(dap.DAP18(), "upload-req", body)
//	err = v.WriteText(os.Stdout)
//
// It opens nothing: what is sealed is shown as ciphertext. The JSON form is for
// programs that read what a person would; it has no way back to bytes.
package dapview
