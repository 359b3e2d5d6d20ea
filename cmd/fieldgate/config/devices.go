package config

import (
	"strconv"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
)

// devices decodes the declared devices.
func (c *Config) devices(v value) {
	ids, feeds := map[string]int{}, map[string]int{}
	for _, t := range v.tables() {
		c.device(t, ids, feeds)
	}
}

func (c *Config) device(t *table, ids, feeds map[string]int) {
	d := gateway.Device{Declared: true}
	if id, ok := checkedID(t, &d.ID); ok {
		unique(id, "device", d.ID, ids)
	}
	t.get("name").text(&d.Name)
	if feed := t.get("feed"); feed.number(&d.Feed) {
		unique(feed, "feed", strconv.FormatUint(d.Feed, 10), feeds)
	}
	if owner := t.get("owner"); owner.text(&d.Grants.Owner) {
		c.known(owner, d.Grants.Owner)
	}
	var visibility string
	t.get("visibility").choice(&visibility, "public", "private")
	d.Grants.Public = visibility == "public"
	t.get("public_write").boolean(&d.Grants.PublicWrite)
	for _, s := range t.get("share").tables() {
		d.Grants.Share = append(d.Grants.Share, c.share(s))
	}
	sensors := map[string]int{}
	for _, st := range t.get("sensors").tables() {
		var s gateway.Sensor
		if id, ok := checkedID(st, &s.ID); ok {
			unique(id, "sensor", s.ID, sensors)
		}
		st.get("name").text(&s.Name)
		st.get("kind").text(&s.Kind)
		st.get("quantity").text(&s.Quantity)
		st.get("unit").text(&s.Unit)
		s.Meta = st.get("meta").object()
		st.close()
		d.Sensors = append(d.Sensors, s)
	}
	actuators := map[string]int{}
	for _, at := range t.get("actuators").tables() {
		var a gateway.Actuator
		if id, ok := checkedID(at, &a.ID); ok {
			unique(id, "actuator", a.ID, actuators)
		}
		at.get("name").text(&a.Name)
		a.Meta = at.get("meta").object()
		at.close()
		d.Actuators = append(d.Actuators, a)
	}
	d.Meta = t.get("meta").object()
	t.close()
	c.Devices = append(c.Devices, d)
}

func (c *Config) share(t *table) access.Share {
	var s access.Share
	user, can := t.get("user"), t.get("can")
	if !user.present() {
		user.missing("the name of the user to share with")
	} else if user.text(&s.User) {
		c.known(user, s.User)
	}
	if !can.present() {
		can.missing("some of view, publish, manage")
	}
	for _, v := range can.list() {
		var word string
		if v.choice(&word, "view", "publish", "manage") {
			right, _ := access.ParseRight(word)
			s.Can = append(s.Can, right)
		}
	}
	t.close()
	return s
}

// checkedID reads the id of a device, sensor or actuator.
func checkedID(t *table, dst *string) (value, bool) {
	id := t.get("id")
	if !id.present() {
		id.missing("a name such as TC1")
		return id, false
	}
	if !id.text(dst) {
		return id, false
	}
	if err := gateway.CheckID(*dst); err != nil {
		id.mistake(reason(err), "a name such as TC1")
		return id, false
	}
	return id, true
}
