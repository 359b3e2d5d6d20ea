// Package forwarder makes the gateway a packet forwarder of an existing network
// server, such as ChirpStack or The Things Stack: the other end of package
// semtech's protocol. Unlike Semtech's forwarder it loses nothing while the link
// is down.
//
// # Kept frames
//
// Each frame stays in a queue until the server has acknowledged its PUSH_DATA.
// Those that are not acknowledged within Grace, and all while the link is down, are
// written to a table on disk, many in one transaction; frames that are
// acknowledged at once never touch the disk. After a crash what was on disk is sent
// again: a server may get a frame twice, which it folds into one. The oldest are
// dropped, and counted, when there are more than MaxFrames or they are older than
// MaxAge.
//
// Frames are sent in the order in which they were heard, and after an outage one
// datagram at a time: a network server refuses a frame whose counter is lower than
// one it has seen (The Things Stack calls it outdated_data). So what is heard
// during the catching up waits behind it.
//
// # Late frames
//
// The protocol has no word for late frames. ChirpStack and The Things Stack take
// each as heard just now: time is only told to the application (as the gateway's
// time), and a downlink, an acknowledgement or an answer to a MAC command is
// scheduled at tmst plus the receive delay, which is over. If another gateway has
// brought a later frame of the device in the meantime, the late one is refused as a
// replay. Late says what to do:
//
//	send  as they are, with the time at which they were heard
//	mark  the same with "meta":{"late":"<seconds>"}, which ChirpStack gives to the
//	      application as metadata; others pass over it
//	drop  those that are older than LateAfter: a device's data is lost then, but the
//	      server never works with an old frame
//
// Transmissions that a server schedules for a late frame are answered with
// TOO_LATE here, since the counter of 32 bits may have come round to where they
// seem to lie ahead.
package forwarder
