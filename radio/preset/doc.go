// Package preset knows how boards with LoRa chips are wired. A board is one file
// that registers itself; adding one edits nothing else.
package preset
