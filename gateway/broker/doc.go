// Package broker is the MQTT broker of the local network: MQTT 3.1, 3.1.1 and
// 5.0 over TCP, TLS and WebSocket.
//
// What mochi-mqtt does here: it decodes packets and answers CONNECT. Everything
// that has to be exact, or is done for each message, is done by this package:
//
//   - A connection is guarded (guard.go, check.go): only complete packets that
//     have passed Check are decoded (handle.go), and what is written goes into a
//     bounded buffer that never blocks.
//   - Who may connect is settled before mochi hears of the connection
//     (handshake.go). A session belongs to its credential.
//   - Publishes go to the Hub and are acknowledged when the Hub says so
//     (inbound.go), in the order in which they came.
//   - Topics that are requests to the API go there instead, and what it pushes
//     goes to the session that asked (api.go, watch.go).
//   - Routing, shared and retained messages, the flows of QoS 1 and 2 towards
//     subscribers, wills and sessions (route.go, index.go, retained.go,
//     outbox.go, will.go, session.go). Each message is checked for its reader
//     at each delivery.
//   - What has to survive a restart (persist.go).
package broker
