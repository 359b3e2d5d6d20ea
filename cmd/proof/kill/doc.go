// Package kill holds the proof that nothing acknowledged is lost when the
// gateway is killed at any moment while the network fails.
package kill
