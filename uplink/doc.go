// Package uplink drains the gateway's log to a cloud's MQTT 3.1.1 broker, keeps
// the status there true, and brings commands down.
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
// The topic gateways/{id}/status (not with Xively, see below) is retained at
// QoS 1. Birth, refreshments and
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
// # Xively
//
// With the dialect [Xively] a device is a feed of the cloud and a sensor a
// datastream: values go to /v2/feeds/{feed}.csv as rows DATASTREAM,AT,VALUE, one
// a message, or with [Batches] up to 500 rows of a feed for what piled up. Only
// sensor values go up. There is no form for actuators, registry changes, record
// ids, an unset clock (the row has the best time known) or gaps: a gap is logged
// here and counted ([State].Gaps). Values of more than 255 characters and of
// sensors whose id no datastream can have are dead letters. Nothing comes down
// but what Forward rules bring. As a row has its own time and the cloud keeps one
// value for each time, a record that arrives twice is stored once.
//
// The status is a datastream (XivelyOptions): "1" at the birth and every few
// minutes, "0" as Last Will and after a clean stop. It must exist at the cloud.
//
// At QoS 0, which is what the original knew, MQTT's guarantee ends at the socket.
// To lose no more than that, each group of records (a quarter of the window at
// most) is followed by an UNSUBSCRIBE for a filter that is subscribed to nowhere,
// which a server must answer (MQTT 3.1.1 section 3.10.4) and which costs no more
// than an acknowledgement; the client library gives no way to send a PINGREQ. The
// cursor moves past the group when the answer is there. So what a dying
// connection takes with it is sent again. What the cloud has read and then drops
// is lost without a word: a full disk, a missing right, a crash. None of it
// counts as acknowledged ([State].Acked). A cloud that leaves UNSUBSCRIBE without
// an answer cannot be used at QoS 0.
//
// At QoS 1 the cursor moves with the PUBACK. Another fieldgate as the cloud gives
// it when the record is on its disk: the guarantee is then that of Waziup.
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
