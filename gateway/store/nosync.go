//go:build nosync

package store

// The proof that cuts a machine's power must be able to fail: with this it has to.
func init() { noSync = true }
