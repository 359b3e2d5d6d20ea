package config

import (
	"fmt"
	"strconv"
	"strings"

	"fieldgate/gateway"
	"fieldgate/gateway/xively"
)

// derivedFeeds is where the numbers begin that devices without one are given:
// they are known on this gateway only.
const derivedFeeds = 1_000_000_000

// UplinkXively are the settings of an uplink with DialectXively.
type UplinkXively struct {
	QoS    byte              // 0 or 1; at 0 the guarantee ends at the socket
	Feeds  map[string]uint64 // by device: its number at the cloud, where that is not its Feed here
	Status UplinkStatus
}

// UplinkStatus is the datastream at the cloud that says whether the gateway is
// there. The zero value: none.
type UplinkStatus struct {
	Feed       uint64
	Datastream string
}

// xively decodes the settings of the dialect and warns of what it cannot carry.
func (c *Config) xively(t *table, u *Uplink) {
	v := t.get("xively")
	if u.Dialect != DialectXively {
		if v.present() {
			v.mistake("has no use with dialect "+u.Dialect, "set dialect: xively, or remove it")
		}
		return
	}
	tt := v.table()
	at := func(sub value) value { // where a warning about what may be absent belongs
		if sub.present() {
			return sub
		}
		sub.at = t.get("dialect").at
		return sub
	}
	var qos int
	level := tt.get("qos")
	if level.integer(&qos, 0, 1); qos == 0 {
		at(level).warn("is 0: the guarantee ends at the socket, what the cloud drops is lost",
			"qos: 1, if the cloud acknowledges (another fieldgate does, after its disk)")
	}
	u.Xively.QoS = byte(qos)
	feeds := tt.get("feeds")
	c.xivelyFeeds(feeds.table(), u)
	if st := tt.get("status"); st.present() {
		xivelyStatus(st.table(), u)
	} else {
		at(st).warn("missing, so that the cloud is not told when the gateway is away",
			"status: {feed: 504, datastream: gateway}, a datastream that exists at the cloud")
	}
	tt.close()
	if ids := t.get("ids"); ids.present() && u.IDs {
		ids.warn("has no effect: a Xively document has no place for record ids", "remove it")
	}
	c.xivelyDevices(at(feeds), u)

	username := t.get("username")
	switch {
	case u.Username == "":
		at(username).warn("missing: a Xively cloud takes the API key there", "username: the key")
	case u.URL != nil && inClear(u.URL) && u.Password == "" && u.PasswordFile == "": // or it was said of the password
		t.get("url").warn("the key goes over the network in clear", "use mqtts or wss")
	}
	if u.Username != "" {
		t.r.secrets = true
	}
}

// xivelyFeeds reads numbers by device.
func (c *Config) xivelyFeeds(t *table, u *Uplink) {
	ids := make([]string, len(c.Devices))
	for i, d := range c.Devices {
		ids[i] = d.ID
	}
	for _, id := range t.rest() {
		v, n := t.get(id), uint64(0)
		if err := gateway.CheckID(id); err != nil {
			v.mistake(reason(err), "the id of a device such as MyDevice: its number at the cloud")
			continue
		}
		if !v.present() {
			v.missing("the number of the device's feed at the cloud")
			continue
		}
		if !v.number(&n) {
			continue
		}
		if u.Xively.Feeds == nil {
			u.Xively.Feeds = map[string]uint64{}
		}
		u.Xively.Feeds[id] = n
		if _, ok := c.deviceByID(id); !ok {
			remedy := "it counts once the device is created"
			if near := nearest(id, ids); near != "" {
				remedy = "did you mean " + near + "? Else " + remedy
			}
			v.warn(fmt.Sprintf("there is no device %.40q in this file", id), remedy)
		}
	}
}

func (c *Config) deviceByID(id string) (*gateway.Device, bool) {
	for i := range c.Devices {
		if c.Devices[i].ID == id {
			return &c.Devices[i], true
		}
	}
	return nil, false
}

func xivelyStatus(t *table, u *Uplink) {
	s := &u.Xively.Status
	feed, datastream := t.get("feed"), t.get("datastream")
	if !feed.present() {
		feed.missing("the number of a feed at the cloud")
	}
	feed.number(&s.Feed)
	switch {
	case !datastream.present():
		datastream.missing("the id of a datastream of that feed, such as gateway")
	case datastream.text(&s.Datastream) && !xively.ValidDatastreamID(s.Datastream):
		datastream.mistake(fmt.Sprintf("%.40q is no id of a datastream", s.Datastream), "letters, digits, '_', '-', '+' and '.'")
	}
	t.close()
}

// xivelyDevices warns of declared devices and sensors that the cloud will not
// hear of, and of those that it cannot tell apart.
func (c *Config) xivelyDevices(v value, u *Uplink) {
	var silent, sensors []string
	byFeed := map[uint64]string{}
	for i := range c.Devices {
		d := &c.Devices[i]
		feed := u.Xively.Feeds[d.ID]
		if feed == 0 {
			feed = d.Feed
		}
		if feed == 0 || feed == d.Feed && feed >= derivedFeeds {
			silent = append(silent, d.ID)
			continue
		}
		if other, twice := byFeed[feed]; twice {
			v.warn(fmt.Sprintf("%s and %s are both feed %d there: sensors of the same id become one datastream", other, d.ID, feed), "give each its own number")
		}
		byFeed[feed] = d.ID
		for _, s := range d.Sensors {
			if !xively.ValidDatastreamID(xively.DatastreamID(s.ID)) {
				sensors = append(sensors, d.ID+"/"+s.ID)
			}
		}
	}
	if len(silent) > 0 {
		v.warn("no feed number for "+some(silent)+": what they measure does not go up", "set the device's feed, or its number at the cloud here")
	}
	if len(sensors) > 0 {
		v.warn("a datastream cannot have the id of "+some(sensors)+": what they measure does not go up", "letters, digits, '_', '-', '+' and '.'")
	}
	if c.AutoCreate {
		v.warn("devices that are created at run time have no feed number of their own: what they measure does not go up", "declare them, or give them a number here")
	}
}

// some lists a few of many names.
func some(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:most], ", ") + " and " + strconv.Itoa(len(names)-most) + " more"
}
