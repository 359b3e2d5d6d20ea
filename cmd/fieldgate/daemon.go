package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"fieldgate/cmd/fieldgate/config"
	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/gateway/broker"
	"fieldgate/gateway/feeds"
	"fieldgate/gateway/store"
	"fieldgate/gateway/web"
	"fieldgate/radio"
	"fieldgate/radio/semtech"
	"fieldgate/sensors"
	"fieldgate/uplink"
)

// gatewayd is a whole gateway: everything wired, nothing running yet.
type gatewayd struct {
	cfg   *config.Config
	log   *slog.Logger
	clock gateway.Clock

	records  *store.Log
	watch    *clockWatch
	state    []*stateFile
	sessions *sessionNumbers
	gate     *access.Gate
	registry *gateway.Registry
	hub      *gateway.Hub
	api      *feeds.API
	broker   *broker.Broker
	web      *web.Server
	uplinks  []*uplink.Uplink
	board    sensors.Board
	sensors  *sensors.Poller
	outputs  *sensors.Outputs
	parts    *partStates
	lora     *loraPart // nil without radios
	semtech  []*semtech.Server
	airtime  *radio.Ledger

	session   uint64
	started   time.Duration // monotonic
	statusOut statusPublisher
	news      chan struct{} // something about the status may have changed
}

// Files and folders below the data folder.
const (
	logFile      = "log.db"
	registryFile = "registry.db"
	sessionsFile = "sessions.db"
	socketFile   = "fieldgate.sock"
)

// newGateway opens the databases and wires everything. What it returns must be
// run or closed.
func newGateway(cfg *config.Config, log *slog.Logger, clock gateway.Clock) (g *gatewayd, err error) {
	g = &gatewayd{cfg: cfg, log: log, clock: clock, news: make(chan struct{}, 1), started: clock.Now().Mono}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.closeFiles())
		}
	}()
	if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
		// A disk that refuses is no reason to leave the field without a broker.
		log.Error("the data folder cannot be made; nothing will be kept", "error", err)
	}
	if err := g.openRegistry(); err != nil {
		return g, err
	}
	if err := g.openLog(); err != nil {
		return g, err
	}
	if err := g.openHardware(); err != nil {
		return g, err
	}
	g.hub = gateway.NewHub(gateway.HubConfig{
		Registry: g.registry, Log: g.records, Clock: clock, Forms: forms{}, Forward: rules{g}, Actuators: switches{g},
		Logger: log.With("part", "hub"), AcknowledgeWithoutDisk: cfg.Store.Acknowledge,
	})
	if err := g.hub.Restore(g.records.Backward, g.records.History); err != nil {
		log.Warn("the present values could not be read from the log", "error", err)
	}
	if err := g.openAPI(); err != nil {
		return g, err
	}
	if err := g.openBroker(); err != nil {
		return g, err
	}
	g.hub.AddSink(g.api)
	g.hub.AddSink(g.broker)
	if len(cfg.Actuators) > 0 { // each message would pass by them in vain
		g.hub.AddSink(g.outputs)
	}
	if err := g.openLoRa(); err != nil {
		return g, err
	}
	if g.lora != nil {
		g.hub.AddSink(g.lora)
	}
	for i := range cfg.Uplinks {
		u, err := g.newUplink(&cfg.Uplinks[i])
		if err != nil {
			return g, err
		}
		g.uplinks = append(g.uplinks, u)
	}
	if g.session, err = g.sessions.NextSession(); err != nil {
		log.Warn("the session number is not kept", "error", err)
	}
	g.web = web.New(g.webConfig())
	g.registry.OnChange(func() {
		for _, u := range g.uplinks {
			u.DevicesChanged()
		}
		g.broker.DropDead()
		g.api.RightsChanged()
	})
	g.records.OnHealth(func(h store.Health) {
		if h.OK {
			if err := g.hub.Recovered(g.uplinkNames()); err != nil {
				log.Error("the gap could not be logged", "error", err)
			}
			g.broker.Recovered()
		}
		g.wake()
	})
	return g, nil
}

// openRegistry opens the tables of devices, users, keys and counters.
func (g *gatewayd) openRegistry() error {
	f, err := openState(filepath.Join(g.cfg.Data, registryFile), g.log, g.clock)
	if err != nil {
		return err
	}
	g.state = append(g.state, f)
	g.gate = access.NewGate(access.GateOptions{})
	g.sessions = &sessionNumbers{table: f.table("counters"), clock: g.clock}
	g.registry, err = gateway.NewRegistry(
		gateway.Tables{Devices: f.table("devices"), Users: f.table("users"), Keys: f.table("keys")},
		g.gate, g.clock, declared(g.cfg))
	if err != nil { // damaged entries were skipped
		g.log.Error("part of the registry cannot be read", "error", err)
	}
	return nil
}

func (g *gatewayd) openLog() (err error) {
	o := store.Options{
		MaxSize: g.cfg.Store.MaxSize, MaxAge: g.cfg.Store.MaxAge, CommitEvery: g.cfg.Store.CommitEvery,
		Clock: g.clock, Logger: g.log.With("part", "store"), Uplinks: g.uplinkNames(),
		Filter: func(name string, r *gateway.Record) bool {
			for _, u := range g.uplinks {
				if u.Name() == name {
					return u.Takes(r)
				}
			}
			return true
		},
	}
	if f := g.state[0]; f.tables != nil {
		t, err := f.tables.Table("sequence")
		if err != nil {
			return err
		}
		o.Reserve = store.NewReserver(t)
	}
	if g.records, err = store.OpenLog(filepath.Join(g.cfg.Data, logFile), o); err != nil {
		return err
	}
	g.watch = &clockWatch{clock: g.clock, note: g.records.NoteClock, log: g.log}
	g.watch.look()
	return nil
}

func (g *gatewayd) openBroker() (err error) {
	f, err := openState(filepath.Join(g.cfg.Data, sessionsFile), g.log, g.clock)
	if err != nil {
		return err
	}
	g.state = append(g.state, f)
	l := g.cfg.Limits
	g.broker, err = broker.New(broker.Config{
		ID: g.cfg.ID, Hub: g.hub, Access: g.registry, API: g.api, Table: f.table("broker"), Marks: g.records, Clock: g.clock,
		Logger: g.log.With("part", "broker"),
		Limits: broker.Limits{ConnectTimeout: l.ConnectTimeout, PacketSize: l.PacketSize, Clients: l.Clients,
			Pending: l.Pending, ConnectRate: l.ConnectRate, Sessions: l.Sessions, Filters: l.Filters, FiltersTotal: l.FiltersTotal,
			Retained: l.Retained, RetainedBytes: l.RetainedBytes,
			WriteTimeout: l.WriteTimeout, QueueMessages: l.QueueMessages, QueueBytes: l.QueueBytes},
	})
	return err
}

func (g *gatewayd) webConfig() web.Config {
	var radios web.Radio
	if g.lora != nil {
		radios = g.lora
	}
	return web.Config{
		Radio:     radios,
		GatewayID: g.cfg.ID, Hub: g.hub, Registry: g.registry, MQTT: g.broker.WebSocket(),
		Health: g.problems, Status: func() any { return g.online() }, Metrics: g.metrics,
		Logger: g.log.With("part", "web"), Admin: admin{g}, History: history{g},
		Trouble: g.failing, API: g.api, Requests: func() any { return g.api.Requests() },
	}
}

func (g *gatewayd) uplinkNames() []string {
	names := make([]string, len(g.cfg.Uplinks))
	for i, u := range g.cfg.Uplinks {
		names[i] = u.Name
	}
	return names
}

// rules asks the uplinks' rules about a message.
type rules struct{ g *gatewayd }

// Forward implements gateway.Forwarder.
func (f rules) Forward(m *gateway.Message, origin string) (names []string) {
	for _, u := range f.g.uplinks {
		if u.Wants(m.Topic, origin) {
			names = append(names, u.Name())
		}
	}
	return names
}

// wake has the status looked at again soon.
func (g *gatewayd) wake() {
	select {
	case g.news <- struct{}{}:
	default:
	}
}

// listen opens all listeners and says where they are, as in "mqtt=127.0.0.1:1883".
func (g *gatewayd) listen() (addresses []string, err error) {
	add := func(name, addr string) { addresses = append(addresses, name+"="+addr) }
	if a := g.cfg.Listen.MQTT; a != "" {
		at, err := g.broker.Listen(a, nil)
		if err != nil {
			return nil, fmt.Errorf("listen.mqtt: %w", err)
		}
		add("mqtt", at.String())
	}
	if a := g.cfg.Listen.MQTTS; a != "" {
		at, err := g.broker.Listen(a, &broker.TLS{Cert: g.cfg.TLS.Cert, Key: g.cfg.TLS.Key, ClientCA: g.cfg.TLS.ClientCA})
		if err != nil {
			return nil, fmt.Errorf("listen.mqtts: %w", err)
		}
		add("mqtts", at.String())
	}
	if a := g.cfg.Listen.HTTP; a != "" {
		at, err := g.web.Listen(a)
		if err != nil {
			return nil, fmt.Errorf("listen.http: %w", err)
		}
		add("http", at.String())
	}
	for _, r := range g.semtech {
		if err := r.Listen(); err != nil {
			// The radio tries again; a forwarder that is not heard is no reason to stop.
			g.log.Error("packet forwarders cannot be heard", "error", err)
			continue
		}
		add("semtech", r.Addr().String())
	}
	if err := g.web.ListenUnix(filepath.Join(g.cfg.Data, socketFile)); err != nil {
		g.log.Warn("the command line cannot reach this gateway", "error", err)
	}
	return addresses, nil
}

// run runs everything until ctx ends, then stops in the order sources, broker,
// uplinks, store. Ready is called when all listeners accept.
func (g *gatewayd) run(ctx context.Context, ready func(addresses []string)) error {
	group := &stages{log: g.log}
	storeStage := group.stage("store")
	storeStage.start("log", g.records.Run)

	uplinks := group.stage("uplinks")
	brokers := group.stage("broker")
	sources := group.stage("sources")

	addresses, err := g.listen()
	if err != nil {
		group.stop()
		return errors.Join(err, g.closeFiles())
	}
	brokers.start("broker", g.broker.Run)
	brokers.start("web", g.web.Run)
	brokers.start("api", g.api.Run)
	g.publishStatus("online")
	for _, u := range g.uplinks {
		uplinks.start("uplink "+u.Name(), u.Run)
	}
	sources.start("sensors", g.sensors.Run)
	sources.start("actuators", g.outputs.Run)
	if g.lora != nil {
		sources.start("lora", g.lora.run)
	}
	sources.start("housekeeping", g.keepHouse)
	sources.start("watchdog", func(ctx context.Context) error {
		return feedWatchdog(ctx, g.log, g.probe)
	})
	ready(addresses)

	var failed error
	select {
	case <-ctx.Done():
	case failed = <-group.failed:
		g.log.Error("a part of the gateway ended", "error", failed)
	}
	sources.stop()
	g.publishStatus("offline")
	brokers.stop()
	uplinks.stop()
	storeStage.stop()
	select {
	case err := <-group.failed:
		if failed == nil {
			g.log.Error("not everything stopped as it should", "error", err)
		}
	default:
	}
	if err := g.closeFiles(); err != nil {
		// Nothing of it was acknowledged. It is no failure of the stop.
		g.log.Error("not everything reached the disk", "error", err)
	}
	return failed
}

// keepHouse publishes the status when it changes and watches the clock.
func (g *gatewayd) keepHouse(ctx context.Context) error {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	var sessions flushWatch
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			g.watch.look()
			if sessions.recovered(g.broker.Stats().FlushErrors) {
				g.broker.Recovered()
			}
		case <-g.news:
		}
		g.publishStatus("online")
	}
}

// probe goes the way of a reading through log and broker.
func (g *gatewayd) probe(ctx context.Context) error {
	if err := g.hub.Probe(ctx); err != nil {
		return err
	}
	return g.broker.Probe(ctx)
}

func (g *gatewayd) closeFiles() error {
	var errs []error
	if g.records != nil {
		errs = append(errs, g.records.Close())
	}
	if g.airtime != nil {
		errs = append(errs, g.airtime.Close())
	}
	for _, f := range g.state {
		errs = append(errs, f.close())
	}
	return errors.Join(errs...)
}

// reload takes over what may change without a restart: users, keys, ACL and
// devices.
func (g *gatewayd) reload(cfg *config.Config) error { return g.registry.Declare(declared(cfg)) }

func declared(cfg *config.Config) gateway.Declared {
	d := gateway.Declared{Anonymous: cfg.Access.Anonymous, AutoCreate: cfg.AutoCreate,
		Users: cfg.Access.Users, Keys: cfg.Access.Keys, ACL: cfg.Access.ACL}
	for i := range cfg.Devices {
		d.Devices = append(d.Devices, &cfg.Devices[i])
	}
	return d
}

// stages runs the parts of the gateway, and stops them stage by stage.
type stages struct {
	log    *slog.Logger
	all    []*stage
	failed chan error
}

type stage struct {
	name   string
	owner  *stages
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func (s *stages) stage(name string) *stage {
	if s.failed == nil {
		s.failed = make(chan error, 1)
	}
	st := &stage{name: name, owner: s}
	st.ctx, st.cancel = context.WithCancel(context.Background())
	s.all = append(s.all, st)
	return st
}

// start runs one part. A part that ends by itself ends the gateway.
func (s *stage) start(name string, run func(context.Context) error) {
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		err := caught(s.ctx, run)
		if err == nil && s.ctx.Err() == nil {
			err = errors.New("ended by itself")
		}
		if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, http.ErrServerClosed) {
			select {
			case s.owner.failed <- fmt.Errorf("%s: %w", name, err):
			default:
				s.owner.log.Error("a part of the gateway failed", "part", name, "error", err)
			}
		}
	}()
}

// caught runs a part of the gateway. If it panics, the others still stop in
// order, and the outputs are left as they should be.
func caught(ctx context.Context, run func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return run(ctx)
}

func (s *stage) stop() {
	s.cancel()
	s.wg.Wait()
}

// stop stops all stages, the last one first.
func (s *stages) stop() {
	for i := len(s.all) - 1; i >= 0; i-- {
		s.all[i].stop()
	}
}
