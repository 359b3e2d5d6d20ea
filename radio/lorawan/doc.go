// Package lorawan is a LoRaWAN 1.0.x network server and application server in
// one: it lets devices join, checks and decrypts what they send, and sends them
// what is queued for them, for the classes A and C.
//
// Frames come from radios through Receive, which never blocks. Run does the
// work: one goroutine decides everything, one makes it durable, one calls the
// application, and each transmission has its own while it lasts.
//
// Three rules hold the package together:
//
//   - Nothing is handed on before what it uses up is on disk: an uplink goes to
//     the application when its counter is, a downlink or a join accept to the
//     radio when its counter or its nonces are. Killed between any two steps, the
//     server takes no frame twice and uses no counter twice. While the disk refuses
//     (full, read-only, gone) uplinks are handed on all the same, and nothing is
//     sent; a frame is then taken twice only if the process ends before the disk is
//     back.
//   - Many frames share one write of the table: what comes in while a write is
//     going on goes with the next.
//   - A frame that is not from a known device, with the right key and a new
//     counter, costs nothing but the look at it.
//
// Sections in comments are those of the LoRaWAN 1.0.3 specification, if no other
// is named; regional parameters are in region, frames in frame.
package lorawan
