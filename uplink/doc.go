// Package uplink drains the gateway's log to a cloud's MQTT 3.1.1 broker, keeps
// the retained status topic there true, and brings commands down.
//
// An [Uplink] keeps two connections that fail and recover apart from each
// other:
//
//   - The data connection publishes. Each connection is a fresh client with a
//     clean session. At most [Config.Window] publishes are in flight; only a
//     PUBACK (or PUBCOMP) for the oldest of them moves the cursor in the log.
//     When anything goes wrong the connection is thrown away and the next one
//     starts again at the cursor. So every record arrives at least once, and a
//     record that arrives twice has the same id both times. At QoS 2 a record
//     may still arrive twice after a lost connection, because the next
//     connection knows nothing of the former one's half-finished handshakes.
//   - The down connection (client id with "-down" appended) subscribes with a
//     persistent session, so that commands sent while the gateway is away wait
//     at the cloud. A command is acknowledged when the gateway has it on disk,
//     or has refused it for good.
//
// # Status
//
// The topic gateways/{id}/status is retained at QoS 1. Birth, refreshments and
// Last Will of one connection share a session number that grows with every
// connection. The birth is published before any data and does not travel in
// the data queue. A late will of an older connection that overwrites the birth
// is noticed, because the data connection subscribes to its own status topic,
// and corrected. A clean stop says offline too.
//
// # Catching up
//
// [Ordered] sends strictly by sequence: a consumer that keeps only the last
// value sees history replayed before it sees the present. [FreshFirst] sends
// new records as they come and the backlog beside them at a limited rate: such
// a consumer sees old values between new ones and must look at the timestamps.
// [Batches] does the same with the backlog as arrays on the .../values topics,
// many readings a message: a consumer that listens to .../value sees new
// readings only.
//
// # Retained commands
//
// A broker delivers retained messages again at each subscription, so after
// each reconnection. While the cloud keeps our session, also over a restart of
// the program (Config.Table), it has sent each command when it was given, and
// what is retained may be older than the last of them: it is dropped. A retained
// command counts when the topic is new to the session or the cloud has lost it,
// unless it is the very one that was handled last on that topic. A retained
// command at QoS 0 that is given while the gateway is away is lost therefore;
// at QoS 1 it waits.
//
// A command whose acknowledgement got lost with its connection comes again too:
// QoS 1 means at least once in this direction as well.
//
// A message from the cloud that is larger than 1 MiB is refused like any other
// that makes no sense: logged, counted and acknowledged, so that it does not
// come again.
//
// # What the cloud refuses
//
// MQTT 3.1.1 has no negative acknowledgement: a broker that does not want a
// message (too large, denied by policy) closes the connection, or drops it
// silently. A record on which connections die again and again is sent alone;
// when that fails too while another record passes alone, it is set aside as a
// dead letter. A link that is simply bad, or a cloud that refuses everything,
// never makes a dead letter.
package uplink
