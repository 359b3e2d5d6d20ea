// Package waziup is the Waziup dialect: the topics and payloads that the Waziup
// cloud (github.com/Waziup/wazicloud-api) and the WaziGate
// (github.com/Waziup/wazigate-edge) understand. Where the two disagree both
// forms are read, and the cloud's is written; the REST shapes are the edge's.
//
// All functions are pure.
package waziup
