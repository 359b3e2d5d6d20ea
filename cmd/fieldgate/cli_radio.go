package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"fieldgate/cmd/fieldgate/config"
	"fieldgate/gateway/web"
	"fieldgate/radio"
	"fieldgate/radio/preset"
	"fieldgate/radio/station"
)

type radioCmd struct {
	Info   radioInfoCmd   `cmd:"" help:"Say which chip is found, and what its settings read back."`
	Listen radioListenCmd `cmd:"" help:"Print each frame that is heard or sent as a line."`
	Send   radioSendCmd   `cmd:"" help:"Send one frame."`
	Boards radioBoardsCmd `cmd:"" help:"List the boards whose wiring is known."`
}

type radioBoardsCmd struct {
	Markdown bool `help:"As the table that stands in the documentation."`
}

// Run lists the presets.
func (c radioBoardsCmd) Run(env environment) error {
	if c.Markdown {
		_, err := io.WriteString(env.stdout, preset.Markdown())
		return err
	}
	tab := tabwriter.NewWriter(env.stdout, 0, 4, 2, ' ', 0)
	for _, name := range preset.Names() {
		p, _ := preset.Get(name)
		fmt.Fprintf(tab, "%s\t%s\t%s\n", p.Name, p.Driver, p.Title)
	}
	return tab.Flush()
}

// radioOrBoard is which radio a command is about: one of a configuration, or a
// board that is only named.
type radioOrBoard struct {
	place
	Board string `help:"Take a radio board as it is known by name, without a configuration." placeholder:"BOARD"`
	Radio string `help:"Name of the radio, if there are several." placeholder:"NAME"`
}

// open gives the configuration, and the running gateway if one has the radios.
func (c radioOrBoard) open(env environment, region string) (*config.Config, *socket, error) {
	if c.Board != "" {
		cfg, err := config.Parse("--board", []byte("id: radio\nradios: [{board: "+jsonText(c.Board)+"}]\nlorawan: {region: "+jsonText(region)+"}\n"))
		return cfg, nil, err
	}
	cfg, s, err := c.reach(env)
	if err != nil {
		return nil, nil, err
	}
	if len(cfg.Radios) == 0 {
		return nil, nil, fmt.Errorf("%w: there are no radios in %s; --board NAME tries one without", errUsage, c.Config)
	}
	return cfg, s, nil
}

// chosen are the radios that are meant.
func (c radioOrBoard) chosen(cfg *config.Config) ([]config.Radio, error) {
	if c.Radio == "" {
		return cfg.Radios, nil
	}
	var names []string
	for _, r := range cfg.Radios {
		if r.Name == c.Radio {
			return []config.Radio{r}, nil
		}
		names = append(names, r.Name)
	}
	return nil, fmt.Errorf("%w: there is no radio %.40q; there is %s", errUsage, c.Radio, strings.Join(names, ", "))
}

type radioInfoCmd struct {
	radioOrBoard
	Region string `help:"Region, for --board." default:"EU868"`
}

// Run tells of each radio what it is and how it is doing. The exit status is 1 if
// one does not answer.
func (c radioInfoCmd) Run(env environment) error {
	cfg, s, err := c.open(env, c.Region)
	if err != nil {
		return err
	}
	if s != nil {
		var all []radioStatus
		if err := s.call(http.MethodGet, "/admin/radios", nil, &all); err != nil {
			return err
		}
		var out strings.Builder
		var names []string
		bad := false
		for _, r := range all {
			names = append(names, r.Radio)
			if c.Radio != "" && r.Radio != c.Radio {
				continue
			}
			r.write(&out)
			bad = bad || r.State == radio.Failing.String()
		}
		if out.Len() == 0 {
			return fmt.Errorf("%w: there is no radio %.40q; there is %s", errUsage, c.Radio, strings.Join(names, ", "))
		}
		if _, err := io.WriteString(env.stdout, out.String()); err != nil || bad {
			return errors.Join(err, errNoAnswer(bad))
		}
		return nil
	}
	radios, err := c.chosen(cfg)
	if err != nil {
		return err
	}
	bad := false
	for i := range radios {
		settings, err := probeRadio(env.ctx, &radios[i])
		fmt.Fprintf(env.stdout, "%s (%s)\n", radios[i].Name, radios[i].Driver)
		tab := tabwriter.NewWriter(env.stdout, 0, 4, 2, ' ', 0)
		for _, x := range settings {
			fmt.Fprintf(tab, "  %s\t%s\n", x.Name, x.Value)
		}
		if err != nil {
			bad = true
			fmt.Fprintf(tab, "  fault\t%v\n", err)
		}
		_ = tab.Flush()
	}
	return errNoAnswer(bad)
}

func errNoAnswer(bad bool) error {
	if !bad {
		return nil
	}
	return errors.New("a radio does not work, see above")
}

type radioListenCmd struct {
	radioOrBoard
	Region string        `help:"Region, for --board." default:"EU868"`
	JSON   bool          `help:"A JSON object a line." name:"json"`
	For    time.Duration `help:"End after this time; 0: with Ctrl-C." name:"for"`
	Count  int           `help:"End after so many frames; 0: never."`
}

// Run prints frames: those of the gateway that runs, or of the radios if none does.
func (c radioListenCmd) Run(env environment) error {
	cfg, s, err := c.open(env, c.Region)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(env.ctx)
	defer cancel()
	if c.For > 0 {
		t := time.AfterFunc(c.For, cancel)
		defer t.Stop()
	}
	var mu sync.Mutex
	n := 0
	show := func(e *station.Event) {
		mu.Lock()
		defer mu.Unlock()
		if ctx.Err() != nil || c.Radio != "" && e.Radio != c.Radio {
			return
		}
		if c.JSON {
			raw, _ := json.Marshal(e)
			fmt.Fprintf(env.stdout, "%s\n", raw)
		} else {
			fmt.Fprintln(env.stdout, eventLine(e))
		}
		if n++; n == c.Count {
			cancel()
		}
	}
	if s == nil {
		radios, err := c.chosen(cfg)
		if err != nil {
			return err
		}
		return listenAlone(ctx, env, cfg, radios, show)
	}
	s.ctx = ctx
	body, err := s.open(http.MethodGet, "/admin/radio/frames", nil)
	if err != nil {
		return err
	}
	defer body.Close()
	fmt.Fprintln(env.stderr, "listening to the running gateway")
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e station.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("the gateway's answer: %w", err)
		}
		show(&e)
	}
	if ctx.Err() != nil {
		return nil
	}
	return errors.Join(errors.New("the gateway has ended"), lines.Err())
}

// eventLine is a frame for somebody who watches.
func eventLine(e *station.Event) string {
	var b strings.Builder
	at := "--:--:--.---"
	if e.Time != nil {
		at = e.Time.Local().Format("15:04:05.000")
	}
	direction := "rx"
	if e.Sent {
		direction = "tx"
	}
	fmt.Fprintf(&b, "%s %s %s %.3f %s", at, direction, e.Radio, e.Frequency, e.DataRate)
	if !e.Sent {
		fmt.Fprintf(&b, " %.0f dBm", e.RSSI)
		if e.SNR != nil {
			fmt.Fprintf(&b, " %.1f dB", *e.SNR)
		}
	} else if e.Power != nil {
		fmt.Fprintf(&b, " %d dBm", *e.Power)
	}
	fmt.Fprintf(&b, " %d bytes", e.Size)
	if e.Kind != "" {
		b.WriteString(", " + e.Kind)
	}
	if e.Device != "" {
		b.WriteString(" of " + e.Device)
	}
	if e.FCnt != nil {
		fmt.Fprintf(&b, " no. %d", *e.FCnt)
	}
	if e.FPort != nil {
		fmt.Fprintf(&b, " port %d", *e.FPort)
	}
	switch {
	case len(e.Values) > 0:
		b.WriteString(": " + string(e.Values))
	case e.Device == "" || e.Error != "":
		b.WriteString(": " + e.Payload)
	}
	if e.Error != "" {
		b.WriteString(" (" + e.Error + ")")
	}
	return b.String()
}

type radioSendCmd struct {
	radioOrBoard
	Payload   string  `arg:"" help:"The frame in hex, up to 255 bytes." placeholder:"HEX"`
	Frequency float64 `help:"MHz; by default what the radio listens to, or the region's first channel." placeholder:"MHZ"`
	DataRate  string  `help:"Such as SF7BW125." default:"SF12BW125"`
	Power     int8    `help:"dBm." default:"14"`
	InvertIQ  bool    `help:"As LoRaWAN's downlinks are, so that nodes hear it and gateways do not."`
	NoCRC     bool    `help:"Without a checksum."`
	Region    string  `help:"Region, for --board." default:"EU868"`
}

// Run sends one frame through the gateway that runs, or by the radio itself.
func (c radioSendCmd) Run(env environment) error {
	cfg, s, err := c.open(env, c.Region)
	if err != nil {
		return err
	}
	f := web.RadioSend{Radio: c.Radio, Frequency: c.Frequency, DataRate: c.DataRate, Power: c.Power, InvertIQ: c.InvertIQ, CRC: !c.NoCRC, Payload: c.Payload}
	if _, err := transmission(f); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if s != nil {
		if err := s.call(http.MethodPost, "/admin/radio/send", f, nil); err != nil {
			return err
		}
	} else {
		radios, err := c.chosen(cfg)
		if err != nil {
			return err
		}
		if err := sendAlone(env, cfg, radios, f); err != nil {
			if errors.Is(err, web.ErrBadSend) {
				return fmt.Errorf("%w: %w", errUsage, err)
			}
			return err
		}
	}
	_, err = fmt.Fprintln(env.stdout, "sent")
	return err
}
