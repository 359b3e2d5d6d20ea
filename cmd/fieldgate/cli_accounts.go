package main

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/term" // passwords without echo; of the Go project

	"fieldgate/gateway"
	"fieldgate/gateway/access"
)

// place says where the gateway's data is: by its configuration, or directly.
type place struct {
	Config string `help:"Configuration file of the gateway." placeholder:"FILE" default:"/etc/fieldgate/fieldgate.yaml"`
	Data   string `help:"Data folder, instead of the one in the configuration." placeholder:"DIR"`
}

type userCmd struct {
	Hash   userHashCmd   `cmd:"" help:"Read a password from standard input, print its hash for the configuration."`
	Add    userAddCmd    `cmd:"" help:"Make an account or give it a new password, read from standard input."`
	List   userListCmd   `cmd:"" help:"List the accounts."`
	Delete userDeleteCmd `cmd:"" help:"Remove an account."`
}

type userHashCmd struct{}

// Run prints the hash of a password.
func (userHashCmd) Run(env environment) error {
	hash, err := readHash(env)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(env.stdout, hash)
	return err
}

// readHash reads a password, from a terminal without echo, and hashes it.
func readHash(env environment) (string, error) {
	password, err := readPassword(env)
	if err != nil {
		return "", err
	}
	hash, err := access.HashPassword(password, rand.Reader)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errUsage, err)
	}
	if len(password) < access.GoodPassword {
		fmt.Fprintf(env.stderr, "warning: the password has fewer than %d bytes and can be guessed\n", access.GoodPassword)
	}
	return hash, nil
}

func readPassword(env environment) ([]byte, error) {
	if f, ok := env.stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(env.stderr, "Password: ")
		password, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(env.stderr)
		return password, err
	}
	line, err := bufio.NewReader(io.LimitReader(env.stdin, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("password: %w", err)
	}
	return []byte(strings.TrimRight(line, "\r\n")), nil
}

type userAddCmd struct {
	place
	Name  string `arg:"" help:"Name of the account."`
	Admin bool   `help:"The account may do everything."`
}

// Run makes the account.
func (c userAddCmd) Run(env environment) error {
	if err := access.CheckUserName(c.Name); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	hash, err := readHash(env)
	if err != nil {
		return err
	}
	return c.do(env, func(a administration) error {
		return a.PutUser(access.User{Name: c.Name, PasswordHash: hash, Admin: c.Admin})
	})
}

type userListCmd struct{ place }

// Run lists the accounts, never their hashes.
func (c userListCmd) Run(env environment) error {
	return c.do(env, func(a administration) error {
		users, err := a.Users()
		if err != nil {
			return err
		}
		for _, u := range users {
			role := "user"
			if u.Admin {
				role = "admin"
			}
			fmt.Fprintf(env.stdout, "%s\t%s\n", u.Name, role)
		}
		return nil
	})
}

type userDeleteCmd struct {
	place
	Name string `arg:"" help:"Name of the account."`
}

// Run removes the account.
func (c userDeleteCmd) Run(env environment) error {
	return c.do(env, func(a administration) error { return a.DeleteUser(c.Name) })
}

type keyCmd struct {
	Add    keyAddCmd    `cmd:"" help:"Make an API key and print it, once."`
	List   keyListCmd   `cmd:"" help:"List the API keys; the keys themselves are not kept."`
	Delete keyDeleteCmd `cmd:"" help:"Remove an API key by its id."`
}

type keyAddCmd struct {
	place
	Label         string    `arg:"" help:"What the key is for."`
	Owner         string    `required:"" help:"Account that the key acts for." placeholder:"NAME"`
	PrivateAccess bool      `help:"The key reaches private feeds too."`
	ExpiresAt     time.Time `help:"When it ends, RFC 3339." placeholder:"TIME"`
	Method        []string  `help:"What it may do: get, put, post, delete." default:"get,put,post,delete"`
	Feed          []uint64  `help:"Feeds it is limited to." placeholder:"NUMBER"`
	SourceIP      string    `name:"source-ip" help:"Address or network it is limited to." placeholder:"ADDRESS"`
}

// Run makes a key, stores its hash and prints the key.
func (c keyAddCmd) Run(env environment) error {
	for _, m := range c.Method {
		if !slices.Contains([]string{"get", "put", "post", "delete"}, m) {
			return fmt.Errorf("%w: method %q: get, put, post or delete", errUsage, m)
		}
	}
	raw := make([]byte, 24)
	if _, err := rand.Read(raw); err != nil {
		return err
	}
	secret := hex.EncodeToString(raw)
	if c.SourceIP != "" {
		if err := access.CheckSourceIP(c.SourceIP); err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
	}
	perm := access.Permission{Methods: c.Method, SourceIP: c.SourceIP}
	for _, f := range c.Feed {
		perm.Resources = append(perm.Resources, access.Resource{Feed: f})
	}
	hash := access.HashKey(secret)
	k := access.Key{ID: access.KeyID(hash), Label: c.Label, Hash: hash, Owner: c.Owner, PrivateAccess: c.PrivateAccess,
		ExpiresAt: c.ExpiresAt, Permissions: []access.Permission{perm}}
	return c.do(env, func(a administration) error {
		if err := a.PutKey(k, secret); err != nil {
			return err
		}
		_, err := fmt.Fprintln(env.stdout, secret)
		return err
	})
}

type keyListCmd struct{ place }

// Run lists the keys.
func (c keyListCmd) Run(env environment) error {
	return c.do(env, func(a administration) error {
		keys, err := a.Keys()
		if err != nil {
			return err
		}
		for _, k := range keys {
			expires := "never"
			if !k.ExpiresAt.IsZero() {
				expires = k.ExpiresAt.Format(time.RFC3339)
			}
			fmt.Fprintf(env.stdout, "%s\t%s\towner %s\texpires %s\n", k.ID, k.Label, k.Owner, expires)
		}
		return nil
	})
}

type keyDeleteCmd struct {
	place
	ID string `arg:"" help:"Id of the key, from the list."`
}

// Run removes the key.
func (c keyDeleteCmd) Run(env environment) error {
	return c.do(env, func(a administration) error { return a.DeleteKey(c.ID) })
}

type deviceCmd struct {
	Add     deviceAddCmd     `cmd:"" help:"Make a device."`
	List    deviceListCmd    `cmd:"" help:"List the devices."`
	Show    deviceShowCmd    `cmd:"" help:"Show a device with its rights."`
	Share   deviceShareCmd   `cmd:"" help:"Give a user rights on a device."`
	Unshare deviceUnshareCmd `cmd:"" help:"Take a user's rights on a device away."`
	Set     deviceSetCmd     `cmd:"" help:"Change owner or visibility of a device."`
	Delete  deviceDeleteCmd  `cmd:"" help:"Remove a device; its records stay in the log."`
}

type deviceAddCmd struct {
	place
	ID          string   `arg:"" help:"Id of the device."`
	Name        string   `help:"Name to show."`
	Owner       string   `help:"Account that owns it." placeholder:"NAME"`
	Public      bool     `help:"Everybody may read it."`
	PublicWrite bool     `help:"Everybody may publish its readings."`
	Sensor      []string `help:"Ids of its sensors." placeholder:"ID"`
	Actuator    []string `help:"Ids of its actuators." placeholder:"ID"`
}

// Run makes the device.
func (c deviceAddCmd) Run(env environment) error {
	d := &gateway.Device{ID: c.ID, Name: c.Name,
		Grants: access.Grants{Owner: c.Owner, Public: c.Public, PublicWrite: c.PublicWrite}}
	for _, id := range c.Sensor {
		d.Sensors = append(d.Sensors, gateway.Sensor{ID: id})
	}
	for _, id := range c.Actuator {
		d.Actuators = append(d.Actuators, gateway.Actuator{ID: id})
	}
	return c.do(env, func(a administration) error {
		if _, err := a.Device(c.ID); err == nil {
			return fmt.Errorf("device %q: %w", c.ID, gateway.ErrExists)
		}
		return a.PutDevice(d)
	})
}

type deviceListCmd struct{ place }

// Run lists the devices.
func (c deviceListCmd) Run(env environment) error {
	return c.do(env, func(a administration) error {
		devices, err := a.Devices()
		if err != nil {
			return err
		}
		for _, d := range devices {
			fmt.Fprintf(env.stdout, "%s\tfeed %d\towner %s\t%s\t%d sensors\t%d actuators\n",
				d.ID, d.Feed, d.Grants.Owner, visibility(d), len(d.Sensors), len(d.Actuators))
		}
		return nil
	})
}

func visibility(d *gateway.Device) string {
	switch {
	case d.Grants.Public && d.Grants.PublicWrite:
		return "public, public_write"
	case d.Grants.Public:
		return "public"
	case d.Grants.PublicWrite:
		return "private, public_write"
	}
	return "private"
}

type deviceShowCmd struct {
	place
	ID string `arg:"" help:"Id of the device."`
}

// Run shows one device.
func (c deviceShowCmd) Run(env environment) error {
	return c.do(env, func(a administration) error {
		d, err := a.Device(c.ID)
		if err != nil {
			return err
		}
		fmt.Fprintf(env.stdout, "%s %q\nfeed %d\nowner %s\n%s\n", d.ID, d.Name, d.Feed, d.Grants.Owner, visibility(d))
		for _, s := range d.Grants.Share {
			fmt.Fprintf(env.stdout, "share %s %v\n", s.User, s.Can)
		}
		for _, s := range d.Sensors {
			fmt.Fprintf(env.stdout, "sensor %s %q %s\n", s.ID, s.Name, s.Unit)
		}
		for _, s := range d.Actuators {
			fmt.Fprintf(env.stdout, "actuator %s %q\n", s.ID, s.Name)
		}
		return nil
	})
}

// edit changes one device.
func (p place) edit(env environment, id string, fn func(*gateway.Device)) error {
	return p.do(env, func(a administration) error {
		d, err := a.Device(id)
		if err != nil {
			return err
		}
		c := *d
		c.Grants.Share = slices.Clone(d.Grants.Share)
		fn(&c)
		return a.PutDevice(&c)
	})
}

type deviceShareCmd struct {
	place
	ID   string   `arg:"" help:"Id of the device."`
	User string   `arg:"" help:"Account to share with."`
	Can  []string `arg:"" help:"Rights: view, publish, manage."`
}

// Run replaces the rights of the user on the device.
func (c deviceShareCmd) Run(env environment) error {
	share := access.Share{User: c.User}
	for _, name := range c.Can {
		r, err := access.ParseRight(name)
		if err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
		share.Can = append(share.Can, r)
	}
	return c.edit(env, c.ID, func(d *gateway.Device) {
		d.Grants.Share = append(slices.DeleteFunc(d.Grants.Share, func(s access.Share) bool { return s.User == c.User }), share)
	})
}

type deviceUnshareCmd struct {
	place
	ID   string `arg:"" help:"Id of the device."`
	User string `arg:"" help:"Account to take the rights from."`
}

// Run takes the rights away; it holds from the next message on.
func (c deviceUnshareCmd) Run(env environment) error {
	return c.edit(env, c.ID, func(d *gateway.Device) {
		d.Grants.Share = slices.DeleteFunc(d.Grants.Share, func(s access.Share) bool { return s.User == c.User })
	})
}

type deviceSetCmd struct {
	place
	ID          string  `arg:"" help:"Id of the device."`
	Owner       *string `help:"Account that owns it." placeholder:"NAME"`
	Public      *bool   `help:"Everybody may read it." negatable:""`
	PublicWrite *bool   `help:"Everybody may publish its readings." negatable:""`
}

// Run changes what is given and leaves the rest.
func (c deviceSetCmd) Run(env environment) error {
	return c.edit(env, c.ID, func(d *gateway.Device) {
		if c.Owner != nil {
			d.Grants.Owner = *c.Owner
		}
		if c.Public != nil {
			d.Grants.Public = *c.Public
		}
		if c.PublicWrite != nil {
			d.Grants.PublicWrite = *c.PublicWrite
		}
	})
}

type deviceDeleteCmd struct {
	place
	ID string `arg:"" help:"Id of the device."`
}

// Run removes the device.
func (c deviceDeleteCmd) Run(env environment) error {
	return c.do(env, func(a administration) error { return a.DeleteDevice(c.ID) })
}
