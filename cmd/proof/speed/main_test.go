package main

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"fieldgate/gateway/freeport"
)

// TestPeers: each peer takes a publish at QoS 1 for a subscriber, and ends when
// it is told to.
func TestPeers(t *testing.T) {
	for _, name := range []string{"mochi", "nats", "nats-synced"} {
		t.Run(name, func(t *testing.T) {
			port, err := freeport.Take()
			if err != nil {
				t.Fatal(err)
			}
			addr := fmt.Sprintf("127.0.0.1:%d", port)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			dir := t.TempDir()
			go func() { ended <- serve(ctx, name, addr, dir) }()
			defer func() {
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			}()
			for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
				conn, err := net.Dial("tcp", addr)
				if err == nil {
					conn.Close()
					break
				}
				if time.Now().After(deadline) {
					t.Fatal(err)
				}
			}
			client := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + addr).SetClientID("c").SetAutoReconnect(false))
			got := make(chan string, 1)
			for _, step := range []func() mqtt.Token{
				client.Connect,
				func() mqtt.Token {
					return client.Subscribe("a/b", 1, func(_ mqtt.Client, m mqtt.Message) { got <- string(m.Payload()) })
				},
				func() mqtt.Token { return client.Publish("a/b", 1, false, "x") },
			} {
				if token := step(); !token.WaitTimeout(30*time.Second) || token.Error() != nil {
					t.Fatal(token.Error())
				}
			}
			if payload := <-got; payload != "x" {
				t.Errorf("%q", payload)
			}
			client.Disconnect(100)
		})
	}
}
