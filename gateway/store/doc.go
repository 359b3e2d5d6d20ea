// Package store keeps the gateway's data on disk: the log of records with a
// cursor for each uplink, and small tables of keyed values. It is the only
// package that knows bbolt.
package store
