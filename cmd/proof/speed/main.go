// Command speed runs the benchmarks of fieldgate with two more peers beside
// Mosquitto in the same run: mochi-mqtt alone, as bare as it comes, and a NATS
// server with MQTT on, once as it comes and once with each message synced.
//
//	go run ./speed -bench 'LAN|Latency|PubackShared|Idle' -benchtime 2s -count 3
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
	nats "github.com/nats-io/nats-server/v2/server"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	run := bench
	if len(os.Args) == 5 && os.Args[1] == "serve" {
		run = func(ctx context.Context) error { return serve(ctx, os.Args[2], os.Args[3], os.Args[4]) }
	}
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "speed:", err)
		stop()
		os.Exit(1)
	}
}

// bench runs the benchmarks in the module of fieldgate.
func bench(ctx context.Context) error {
	which := flag.String("bench", "LAN|Latency|PubackShared|Idle", "benchmarks of cmd/fieldgate")
	each := flag.String("benchtime", "2s", "how long each")
	count := flag.Int("count", 1, "how often")
	short := flag.Bool("short", false, "a quick look at whether it works")
	flag.Parse()
	own, err := os.Executable()
	if err != nil {
		return err
	}
	var peers []string
	for _, name := range []string{"mochi", "nats", "nats-synced"} {
		peers = append(peers, fmt.Sprintf("%s=%s serve %s", name, own, name))
	}
	args := []string{"test", "-run", "^$", "-bench", *which, "-benchtime", *each, "-count", strconv.Itoa(*count), "-timeout", "1h"}
	if *short {
		args = append(args, "-short")
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "./cmd/fieldgate")...)
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "FIELDGATE_PEERS="+strings.Join(peers, ";"))
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

// serve is one peer, at addr, with its files in dir, until ctx ends.
func serve(ctx context.Context, name, addr, dir string) error {
	switch name {
	case "mochi":
		return serveMochi(ctx, addr)
	case "nats":
		return serveNATS(ctx, addr, dir, false)
	case "nats-synced":
		return serveNATS(ctx, addr, dir, true)
	}
	return fmt.Errorf("no peer %q", name)
}

func serveMochi(ctx context.Context, addr string) error {
	s := mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler)})
	if err := s.AddHook(new(auth.AllowHook), nil); err != nil {
		return err
	}
	if err := s.AddListener(listeners.NewTCP(listeners.Config{ID: "tcp", Address: addr})); err != nil {
		return err
	}
	if err := s.Serve(); err != nil {
		return err
	}
	<-ctx.Done()
	return s.Close()
}

func serveNATS(ctx context.Context, addr, dir string, synced bool) error {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return err
	}
	s, err := nats.NewServer(&nats.Options{ServerName: "peer", Host: host, Port: -1, JetStream: true, StoreDir: dir, SyncAlways: synced,
		NoLog: true, NoSigs: true, MQTT: nats.MQTTOpts{Host: host, Port: port, MaxAckPending: 1000}})
	if err != nil {
		return err
	}
	s.Start()
	if !s.ReadyForConnections(20 * time.Second) {
		return errors.New("nats: not ready")
	}
	<-ctx.Done()
	s.Shutdown()
	s.WaitForShutdown()
	return nil
}
