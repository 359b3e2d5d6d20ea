package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"fieldgate/cmd/fieldgate/config"
	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/gateway/web"
)

// administration is what the command line does to a gateway: through its socket
// while it runs, on its files while it does not.
type administration interface {
	Users() ([]access.User, error)
	PutUser(access.User) error
	DeleteUser(name string) error
	Keys() ([]access.Key, error)
	PutKey(k access.Key, secret string) error
	DeleteKey(id string) error
	Devices() ([]*gateway.Device, error)
	Device(id string) (*gateway.Device, error)
	PutDevice(*gateway.Device) error
	DeleteDevice(id string) error
}

// load gives the configuration, and the data folder that counts.
func (p place) load() (*config.Config, error) {
	if p.Data != "" {
		if _, err := os.Stat(p.Config); errors.Is(err, fs.ErrNotExist) {
			return config.Parse("default", []byte("data: "+jsonText(p.Data)+"\n"))
		}
	}
	cfg, err := config.Load(p.Config)
	if err == nil && p.Data != "" {
		cfg.Data = p.Data
	}
	return cfg, err
}

// jsonText quotes s; JSON strings are YAML strings too.
func jsonText(s string) string {
	raw, _ := json.Marshal(s) // a string always can
	return string(raw)
}

// reach gives the configuration and the running gateway, nil if none runs.
func (p place) reach(env environment) (*config.Config, *socket, error) {
	cfg, err := p.load()
	if err != nil {
		return nil, nil, err
	}
	s, err := dialSocket(env.ctx, cfg.Data)
	return cfg, s, err
}

// own makes the data folder if it is missing. Files that root makes in the
// folder of another user would lock the gateway out of them.
func own(data string) error {
	if err := os.MkdirAll(data, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(data)
	if err != nil {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 && st.Uid != 0 {
		return fmt.Errorf("%s belongs to user %d: start the gateway, or run this as that user, with sudo -u '#%d'", data, st.Uid, st.Uid)
	}
	return nil
}

// do calls fn with the running gateway, or with its files.
func (p place) do(env environment, fn func(administration) error) error {
	cfg, s, err := p.reach(env)
	if err != nil {
		return err
	}
	if s != nil {
		return fn(s)
	}
	if err := own(cfg.Data); err != nil {
		return err
	}
	f, err := openState(filepath.Join(cfg.Data, registryFile), slog.New(slog.NewTextHandler(env.stderr, nil)), gateway.NewSystemClock())
	if err != nil {
		return err
	}
	if f.tables == nil {
		return fmt.Errorf("%s cannot be opened", filepath.Join(cfg.Data, registryFile))
	}
	reg, err := gateway.NewRegistry(gateway.Tables{Devices: f.table("devices"), Users: f.table("users"), Keys: f.table("keys")},
		nil, gateway.NewSystemClock(), declared(cfg))
	if err != nil {
		fmt.Fprintln(env.stderr, "warning:", err)
	}
	return errors.Join(fn(files{reg}), f.close())
}

// files are the databases of a gateway that does not run.
type files struct{ reg *gateway.Registry }

func (f files) Users() ([]access.User, error)       { return f.reg.Users(), nil }
func (f files) PutUser(u access.User) error         { return f.reg.PutUser(u) }
func (f files) DeleteUser(name string) error        { return f.reg.DeleteUser(name) }
func (f files) Keys() ([]access.Key, error)         { return f.reg.Keys(), nil }
func (f files) PutKey(k access.Key, _ string) error { return f.reg.PutKey(k) }
func (f files) DeleteKey(id string) error           { return f.reg.DeleteKey(id) }
func (f files) Devices() ([]*gateway.Device, error) { return f.reg.Devices(), nil }
func (f files) PutDevice(d *gateway.Device) error   { return f.reg.PutDevice(d) }
func (f files) DeleteDevice(id string) error        { return f.reg.DeleteDevice(id) }
func (f files) Device(id string) (*gateway.Device, error) {
	d, ok := f.reg.Device(id)
	if !ok {
		return nil, fmt.Errorf("%w: %q", gateway.ErrUnknownDevice, id)
	}
	return d, nil
}

// socket is a running gateway.
type socket struct {
	ctx    context.Context
	client *http.Client
}

// dialSocket gives nil if no gateway runs on the data folder.
func dialSocket(ctx context.Context, data string) (*socket, error) {
	path := filepath.Join(data, socketFile)
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	conn, err := dial(ctx, "", "")
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("the running gateway cannot be reached: %w", err)
	}
	conn.Close()
	return &socket{ctx: ctx, client: &http.Client{Transport: &http.Transport{DialContext: dial}}}, nil
}

// open sends one request and gives the body of a good answer.
func (s *socket) open(method, path string, body any) (io.ReadCloser, error) {
	var payload io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		payload = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(s.ctx, method, "http://gateway"+path, payload)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode >= 300 {
		defer res.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(res.Body, 4096))
		return nil, fmt.Errorf("the gateway says: %s", strings.TrimSpace(string(text)))
	}
	return res.Body, nil
}

func (s *socket) call(method, path string, body, answer any) error {
	r, err := s.open(method, path, body)
	if err != nil {
		return err
	}
	defer r.Close()
	if answer == nil {
		return nil
	}
	return json.NewDecoder(r).Decode(answer)
}

func (s *socket) Users() ([]access.User, error) {
	var forms []web.UserForm
	err := s.call(http.MethodGet, "/admin/users", nil, &forms)
	users := make([]access.User, len(forms))
	for i, f := range forms {
		users[i] = access.User{Name: f.Name, Admin: f.Admin}
	}
	return users, err
}

func (s *socket) PutUser(u access.User) error {
	return s.call(http.MethodPut, "/admin/users/"+url.PathEscape(u.Name), web.UserChange{PasswordHash: &u.PasswordHash, Admin: &u.Admin}, nil)
}

func (s *socket) DeleteUser(name string) error {
	return s.call(http.MethodDelete, "/admin/users/"+url.PathEscape(name), nil, nil)
}

func (s *socket) Keys() ([]access.Key, error) {
	var forms []web.KeyForm
	err := s.call(http.MethodGet, "/admin/keys", nil, &forms)
	keys := make([]access.Key, len(forms))
	for i, f := range forms {
		keys[i] = access.Key{ID: f.ID, Label: f.Label, Owner: f.Owner, PrivateAccess: f.PrivateAccess, ExpiresAt: f.ExpiresAt, Permissions: f.Permissions}
	}
	return keys, err
}

func (s *socket) PutKey(k access.Key, secret string) error {
	return s.call(http.MethodPut, "/admin/keys/"+url.PathEscape(k.ID), web.KeyForm{Key: secret, Label: k.Label, Owner: k.Owner,
		PrivateAccess: k.PrivateAccess, ExpiresAt: k.ExpiresAt, Permissions: k.Permissions}, nil)
}

func (s *socket) DeleteKey(id string) error {
	return s.call(http.MethodDelete, "/admin/keys/"+url.PathEscape(id), nil, nil)
}

func (s *socket) Devices() ([]*gateway.Device, error) {
	var devices []*gateway.Device
	err := s.call(http.MethodGet, "/admin/devices", nil, &devices)
	return devices, err
}

func (s *socket) Device(id string) (*gateway.Device, error) {
	d := &gateway.Device{}
	if err := s.call(http.MethodGet, "/admin/devices/"+url.PathEscape(id), nil, d); err != nil {
		return nil, err
	}
	return d, nil
}

func (s *socket) PutDevice(d *gateway.Device) error {
	return s.call(http.MethodPut, "/admin/devices/"+url.PathEscape(d.ID), d, nil)
}

func (s *socket) DeleteDevice(id string) error {
	return s.call(http.MethodDelete, "/admin/devices/"+url.PathEscape(id), nil, nil)
}
