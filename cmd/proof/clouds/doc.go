// Package clouds holds the proof that a backlog reaches whatever broker is the
// cloud: Mosquitto, a cluster of NATS servers, RabbitMQ. The configurations in
// testdata are those that uplink/CLOUDS.md shows.
package clouds
