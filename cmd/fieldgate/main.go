// Command fieldgate is an edge gateway: it reads attached sensors, is the MQTT
// broker of the local network, keeps every reading on disk and hands all of it
// to a cloud broker when there is one in reach.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong" // command line: struct tags, no dependencies of its own, 0.3 MB

	"fieldgate/cmd/fieldgate/config"
)

// version is set by the linker: -ldflags "-X main.version=1.2.3".
var version = "0.1.0-dev"

// Exit statuses. systemd is told not to restart on exitUsage.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

type cli struct {
	Demo    demoCmd    `cmd:"" help:"Run a gateway with simulated sensors and a small cloud, without configuration."`
	Run     runCmd     `cmd:"" help:"Run the gateway."`
	Check   checkCmd   `cmd:"" help:"Check a configuration and say every mistake in it."`
	User    userCmd    `cmd:"" help:"Passwords and accounts."`
	Key     keyCmd     `cmd:"" help:"API keys."`
	Device  deviceCmd  `cmd:"" help:"Devices and who may do what with them."`
	Log     logCmd     `cmd:"" help:"Look into the log of readings."`
	Doctor  doctorCmd  `cmd:"" help:"Say what keeps this board from working, and what mends it."`
	Scan    scanCmd    `cmd:"" help:"Say what is attached to this machine, with lines for the configuration."`
	Sensors sensorsCmd `cmd:"" help:"List the drivers of sensors and actuators with their options."`
	Read    readCmd    `cmd:"" passthrough:"" help:"Read one sensor once: --driver DRIVER and its keys."`
	Radio   radioCmd   `cmd:"" help:"LoRa radios: what is found, what they hear, and sending by hand."`
	Release releaseCmd `cmd:"" help:"Bring the outputs to their on_stop after the gateway has died."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

// environment is what a command may touch of the world; tests bring their own.
type environment struct {
	ctx            context.Context
	stdin          io.Reader
	stdout, stderr io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(execute(environment{ctx: ctx, stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}, os.Args[1:]))
}

// execute runs one command line and gives its exit status.
func execute(env environment, args []string) int {
	var c cli
	status := -1
	parser, err := kong.New(&c,
		kong.Name("fieldgate"),
		kong.Description("Edge gateway: sensors, local MQTT broker, durable log, cloud uplink."),
		kong.Writers(env.stdout, env.stderr),
		kong.Exit(func(code int) { status = code }), // --help
		kong.Bind(env),
	)
	if err != nil {
		fmt.Fprintln(env.stderr, "fieldgate:", err)
		return exitError
	}
	call, err := parser.Parse(args)
	if status >= 0 {
		return status
	}
	if err != nil {
		fmt.Fprintf(env.stderr, "fieldgate: %v\nTry: fieldgate --help\n", err)
		return exitUsage
	}
	return exitStatus(env.stderr, call.Run())
}

// exitStatus prints err and turns it into an exit status.
func exitStatus(stderr io.Writer, err error) int {
	var mistakes config.Mistakes
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &mistakes):
		fmt.Fprintln(stderr, mistakes.Error())
		return exitUsage
	case errors.Is(err, errUsage):
		fmt.Fprintln(stderr, "fieldgate:", err)
		return exitUsage
	}
	fmt.Fprintln(stderr, "fieldgate:", err)
	return exitError
}

// errUsage marks errors of the command line or of what it names.
var errUsage = errors.New("wrong usage")

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(env environment) error {
	_, err := fmt.Fprintln(env.stdout, "fieldgate", version)
	return err
}

type checkCmd struct {
	Config string `required:"" help:"Configuration file." placeholder:"FILE"`
}

// Run reports every mistake of the configuration, or that there is none.
func (c checkCmd) Run(env environment) error {
	cfg, err := config.Load(c.Config)
	if err != nil {
		return err
	}
	for _, w := range cfg.Warnings {
		fmt.Fprintln(env.stderr, "warning:", w)
	}
	for _, w := range absent(env.ctx, cfg) {
		fmt.Fprintln(env.stderr, "warning: on this machine", w)
	}
	_, err = fmt.Fprintf(env.stdout, "%s: ok\n", c.Config)
	return err
}
