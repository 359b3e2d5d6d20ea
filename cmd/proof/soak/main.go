// Command soak runs the gateway for as long as it is told while everything
// around it fails, and ends with the ledger of its records.
//
//	go run ./soak [-for 2m] [-seed N]
//
// Publishers at QoS 1 and 2 send all the time. The link to the cloud, a real
// Mosquitto, is cut, half-open, reset, slow, late or one byte at a time; the
// gateway is killed, stopped and reloaded; its disk, in memory, is full for
// seconds, and its registry, its sessions, its journal and what holds the pages of
// its log together are damaged while it is stopped; hostile clients send garbage, say nothing, never read or come and go in storms; histories
// and the log are read.
// It fails if a record that was acknowledged does not arrive, arrives out of
// order or under two ids, if a gap is announced, or if memory, descriptors or
// files have grown beyond reason.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"fieldgate/cmd/proof/harness"
)

func main() {
	length := flag.Duration("for", 2*time.Minute, "how long")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()%1_000_000), "of what is random")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *length, *seed); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// soak is one run.
type soak struct {
	cfg    harness.Config
	cloud  *harness.Mosquitto
	link   *harness.Link
	ledger *harness.Ledger
	pubs   []*harness.Publisher
	events map[string]int
	peak   usage
	disk   *disk
	full   int // seconds for which the disk is full still
}

func run(ctx context.Context, length time.Duration, seed uint64) error {
	fmt.Printf("seed %d, %s\n", seed, length)
	dir, err := os.MkdirTemp("", "soak-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for _, name := range []string{"cloud", "gateway"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			return err
		}
	}
	disk := newDisk(filepath.Join(dir, "gateway"))
	defer disk.close()
	bin, err := harness.Build(dir)
	if err != nil {
		return err
	}
	s := &soak{disk: disk, events: map[string]int{}, ledger: harness.NewLedger()}
	if s.cloud, err = harness.StartMosquitto(ctx, filepath.Join(dir, "cloud")); err != nil {
		return err
	}
	defer func() { s.cloud.Kill() }() // the one that runs then
	if s.link, err = harness.NewLink(s.cloud.Addr()); err != nil {
		return err
	}
	defer s.link.Close()
	stop, err := s.ledger.Watch(ctx, "tcp://"+s.cloud.Addr(), nil)
	if err != nil {
		return err
	}
	defer stop()
	s.cfg = harness.Config{
		Binary: bin, Data: filepath.Join(dir, "gateway"), Devices: []string{"A", "B"}, Sensors: []string{"S0", "S1"},
		Cloud: "mqtt://" + s.link.Addr(), Uplink: "ack_timeout: 3s, keepalive: 5s",
		Extra: fmt.Sprintf("store: {max_size: %d}\n", diskBytes/2),
	}
	for i, device := range []string{"A", "A", "B", "B"} {
		s.pubs = append(s.pubs, &harness.Publisher{Ledger: s.ledger, Device: device, Sensor: fmt.Sprint("S", i%2), QoS: byte(1 + i%2), Pace: 2 * time.Millisecond})
	}
	flap, unflap := context.WithTimeout(ctx, length)
	defer unflap()
	flapped := make(chan error, 1)
	faults := map[string]int{}
	go func() { flapped <- s.link.Flap(flap, rand.New(rand.NewPCG(seed, 2)), faults) }()

	rnd := rand.New(rand.NewPCG(seed, 1))
	for end := time.Now().Add(length); time.Now().Before(end) && ctx.Err() == nil; {
		if err := s.period(ctx, rnd, end); err != nil {
			return err
		}
	}
	unflap()
	if err := <-flapped; err != nil {
		return err
	}
	return s.finish(ctx, faults)
}

// period is one run of the gateway, until it is killed or stopped.
func (s *soak) period(ctx context.Context, rnd *rand.Rand, end time.Time) error {
	g, err := harness.StartGateway(ctx, s.cfg)
	if err != nil {
		return err
	}
	stop := harness.Load(ctx, g.MQTT, s.pubs)
	// In this order: on a full disk publishers wait for acknowledgements for as
	// long as the gateway lives.
	defer func() { g.Kill(); stop() }()
	hostile, quiet := context.WithCancel(ctx)
	defer quiet()
	gone := annoy(hostile, g.MQTT, rnd.Uint64())
	defer func() { quiet(); <-gone }()

	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for seconds := 1; ; seconds++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-g.Exited():
			return fmt.Errorf("the gateway ended by itself:\n%s", g.Out.Text())
		}
		u, err := use(g.Cmd.Process.Pid, filepath.Join(s.cfg.Data, "data"))
		if err != nil {
			return err
		}
		s.peak.max(u)
		if s.full--; s.full == 0 {
			if err := s.disk.free(); err != nil {
				return err
			}
		}
		if seconds%10 == 0 {
			c := s.ledger.Counts()
			fmt.Printf("sent %d, acknowledged %d, arrived %d, to come %d, duplicates %d; %s; %v\n",
				c.Sent, c.Acknowledged, c.Arrived, c.Lost, c.Duplicates, u, s.events)
		}
		if p := s.ledger.Problems(); len(p) > 0 {
			return errors.New(strings.Join(p, "; "))
		}
		event := [...]string{"", "", "", "kill", "stop", "reload", "read", "read", "", "cloud", "full", "damage"}[rnd.IntN(12)]
		if time.Now().After(end) {
			event = "kill"
		}
		if event == "" {
			continue
		}
		s.events[event]++
		switch event {
		case "kill":
			return nil
		case "full":
			if s.full <= 0 {
				s.full = 1 + rnd.IntN(4)
				if err := s.disk.fill(); err != nil {
					return err
				}
			}
		case "stop", "damage":
			s.full = 0 // with a full disk it could not say that all is well
			if err := s.disk.free(); err != nil {
				return err
			}
			if code, err := g.Stop(); err != nil || code != 0 {
				return fmt.Errorf("exit status %d, %v:\n%s", code, err, g.Out.Text())
			}
			if event == "damage" {
				return s.disk.damage(filepath.Join(s.cfg.Data, "data"), rnd)
			}
			return nil
		case "reload":
			if err := g.Cmd.Process.Signal(syscall.SIGHUP); err != nil {
				return err
			}
		case "read":
			if err := read(ctx, s.cfg, g); err != nil {
				return err
			}
		case "cloud": // cleanly: what it loses itself is not the gateway's to keep
			if _, err := s.cloud.Stop(); err != nil {
				return err
			}
			if err := s.cloud.Restart(ctx); err != nil {
				return err
			}
		}
	}
}

// finish lets everything arrive, and says how it went.
func (s *soak) finish(ctx context.Context, faults map[string]int) error {
	if err := s.disk.free(); err != nil {
		return err
	}
	g, err := harness.StartGateway(ctx, s.cfg)
	if err != nil {
		return err
	}
	defer g.Kill()
	err = s.ledger.Settle(ctx)
	u, useErr := use(g.Cmd.Process.Pid, filepath.Join(s.cfg.Data, "data"))
	fmt.Printf("ledger: %s\nevents: %v, faults of the link: %v\nat the end: %s\nat most: %s\n", s.ledger.Counts(), s.events, faults, u, s.peak)
	if err := errors.Join(err, useErr); err != nil {
		return err
	}
	if code, err := g.Stop(); err != nil || code != 0 {
		return fmt.Errorf("exit status %d, %v", code, err)
	}
	c := s.ledger.Counts()
	switch {
	case c.Gaps > 0:
		return errors.New("a gap was announced though there was room for all")
	case s.peak.rss > 200<<20, s.peak.fds > 1500, s.peak.files > 400<<20:
		return fmt.Errorf("too much: %s", s.peak)
	}
	return nil
}
