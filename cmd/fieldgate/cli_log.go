package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"time"

	"fieldgate/gateway/store"
	"fieldgate/gateway/web"
)

type logCmd struct {
	Inspect logInspectCmd `cmd:"" help:"Say what is in the log and how far each uplink is, as JSON."`
	Verify  logVerifyCmd  `cmd:"" help:"Read all of the log and name what is damaged; exit status 1 if anything is."`
	Export  logExportCmd  `cmd:"" help:"Write the records as CSV or JSON lines."`
}

// log calls live while the gateway runs and dead on the file of one that does not.
func (p place) log(env environment, live func(*socket) error, dead func(path, id string) error) error {
	cfg, s, err := p.reach(env)
	if err != nil {
		return err
	}
	if s != nil {
		return live(s)
	}
	return dead(filepath.Join(cfg.Data, logFile), cfg.ID)
}

func printJSON(w io.Writer, v any) error {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", raw)
	return err
}

type logInspectCmd struct{ place }

// Run prints the inspection.
func (c logInspectCmd) Run(env environment) error {
	return c.log(env, func(s *socket) error {
		var v store.Inspection
		if err := s.call(http.MethodGet, "/admin/log/inspect", nil, &v); err != nil {
			return err
		}
		return printJSON(env.stdout, v)
	}, func(path, _ string) error {
		v, err := store.Inspect(path)
		if err != nil {
			return err
		}
		return printJSON(env.stdout, v)
	})
}

type logVerifyCmd struct{ place }

// errDamage makes verify end with status 1.
var errDamage = errors.New("the log is damaged")

// Run verifies the log.
func (c logVerifyCmd) Run(env environment) error {
	report := func(v store.Verification) error {
		if err := printJSON(env.stdout, v); err != nil {
			return err
		}
		if !v.OK {
			return errDamage
		}
		return nil
	}
	return c.log(env, func(s *socket) error {
		var v store.Verification
		if err := s.call(http.MethodGet, "/admin/log/verify", nil, &v); err != nil {
			return err
		}
		return report(v)
	}, func(path, _ string) error {
		v, err := store.Verify(env.ctx, path)
		if err != nil {
			return err
		}
		return report(v)
	})
}

type logExportCmd struct {
	place
	Format string    `help:"csv or jsonl." enum:"csv,jsonl" default:"csv"`
	From   time.Time `help:"From this time on, RFC 3339." placeholder:"TIME"`
	To     time.Time `help:"Up to this time." placeholder:"TIME"`
	Device string    `help:"This device only." placeholder:"ID"`
	Sensor string    `help:"This sensor or actuator only." placeholder:"ID"`
}

// Run writes the records to standard output.
func (c logExportCmd) Run(env environment) error {
	q := web.ExportQuery{Format: c.Format, From: c.From, To: c.To, Device: c.Device, Sensor: c.Sensor}
	return c.log(env, func(s *socket) error {
		v := url.Values{"format": {c.Format}, "device": {c.Device}, "sensor": {c.Sensor}}
		if !c.From.IsZero() {
			v.Set("from", c.From.Format(time.RFC3339Nano))
		}
		if !c.To.IsZero() {
			v.Set("to", c.To.Format(time.RFC3339Nano))
		}
		r, err := s.open(http.MethodGet, "/admin/log/export?"+v.Encode(), nil)
		if err != nil {
			return err
		}
		defer r.Close()
		_, err = io.Copy(env.stdout, r)
		return err
	}, func(path, id string) error {
		r, err := store.OpenReader(path)
		if err != nil {
			return err
		}
		return errors.Join(export(env.ctx, env.stdout, id, q, r.Next), r.Close())
	})
}
