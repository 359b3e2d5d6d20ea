package xively

import (
	"net/url"
	"slices"
	"strings"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
)

// Limits of keys and products.
const (
	maxPermissions  = 100
	maxKeyResources = 1000          // of all permissions of a key
	maxMinimum      = 366 * 86400   // seconds; coarser than any history
	maxSerials      = 1000          // of one write
	maxSerial       = gateway.MaxID // bytes
)

// checkKey checks what is given; what must be given at creation is up to the
// caller.
func checkKey(w KeyWrite) error {
	var p problems
	p.required("label", w.Label)
	if w.ExpiresAt != nil {
		y := w.ExpiresAt.Year()
		p.addIf(!w.ExpiresAt.IsZero() && (y < minYear || y > 9999), "expires_at", Invalid)
	}
	p.addIf(w.Permissions != nil && len(w.Permissions) == 0, "permissions", Blank)
	p.addIf(len(w.Permissions) > maxPermissions, "permissions", tooMany(maxPermissions))
	nested := problems{prefix: "permissions_"}
	resources := 0
	for i := range w.Permissions {
		nested.permission(&w.Permissions[i])
		resources += len(w.Permissions[i].Resources)
	}
	p.fields = append(p.fields, nested.fields...)
	p.addIf(resources > maxKeyResources, "permissions_resources", tooMany(maxKeyResources))
	return p.err()
}

func (p *problems) permission(m *Permission) {
	p.text("label", &m.Label)
	p.text("referer", &m.Referer)
	p.addIf(len(m.Methods) == 0, "access_methods", Blank)
	for _, method := range m.Methods {
		p.addIf(!slices.Contains(access.Methods, method), "access_methods", Invalid)
	}
	p.addIf(m.SourceIP != "" && access.CheckSourceIP(m.SourceIP) != nil, "source_ip", Invalid)
	p.addIf(m.MinimumInterval < 0 || m.MinimumInterval > maxMinimum, "minimum_interval", Invalid)
	for _, r := range m.Resources {
		switch {
		case r.Feed == 0 && r.Datastream != "":
			p.add("resources", "need a feed_id where they have a datastream_id")
		case r.Feed == 0 && r.Trigger == 0:
			p.add("resources", "need a feed_id or a datastream_trigger_id")
		case r.Feed != 0 && r.Trigger != 0:
			p.add("resources", "cannot have a feed_id and a datastream_trigger_id at once")
		case r.Datastream != "" && gateway.CheckID(SensorID(r.Datastream)) != nil:
			p.add("resources_datastream_id", Invalid)
		}
	}
}

// triggerTypes are all that there are. The last three have no threshold.
var triggerTypes = []string{TriggerGT, TriggerGTE, TriggerLT, TriggerLTE, TriggerEQ,
	TriggerChange, TriggerFrozen, TriggerLive}

func checkTrigger(w TriggerWrite) error {
	var p problems
	p.required("url", w.URL)
	p.addIf(w.URL != nil && !blank(*w.URL) && !validTarget(*w.URL), "url", Invalid)
	compares := false
	if w.Type != nil {
		p.addIf(!slices.Contains(triggerTypes, *w.Type), "trigger_type", Invalid)
		compares = slices.Contains(triggerTypes[:5], *w.Type)
	}
	p.number("threshold_value", w.Threshold)
	p.addIf(compares && w.Threshold != nil && *w.Threshold == "", "threshold_value", Blank)
	p.addIf(w.Feed != nil && *w.Feed == 0, "environment_id", Invalid)
	if w.Datastream != nil {
		if blank(*w.Datastream) {
			p.add("stream_id", Blank)
		} else {
			p.addIf(gateway.CheckID(SensorID(*w.Datastream)) != nil, "stream_id", Invalid)
		}
	}
	return p.err()
}

// validTarget reports whether s is where a notification can be sent: a URL of
// HTTP with a host and without a user.
func validTarget(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && u.User == nil && u.Opaque == ""
}

func checkUser(w UserWrite) error {
	var p problems
	p.required("login", w.Login)
	p.addIf(w.Login != nil && !blank(*w.Login) && !validLogin(*w.Login), "login", Invalid)
	p.required("password", w.Password)
	p.text("full_name", w.FullName)
	p.text("first_name", w.FirstName)
	p.text("last_name", w.LastName)
	p.text("email", w.Email)
	p.text("about", w.About)
	p.text("website", w.Website)
	p.text("organisation", w.Organisation)
	p.text("time_zone", w.TimeZone)
	return p.err()
}

// validLogin: an account's name must also fit in a level of a topic, for %u in
// rules of access.
func validLogin(s string) bool {
	return access.CheckUserName(s) == nil && gateway.CheckID(s) == nil
}

func checkProduct(w ProductWrite) error {
	var p problems
	p.required("name", w.Name)
	p.text("description", w.Description)
	if w.State != nil {
		p.addIf(*w.State != "develop" && *w.State != "deploy", "state", Invalid)
	}
	if d := w.Defaults; d != nil {
		p.prefix = "feed_defaults_"
		p.text("title", &d.Title)
		p.text("description", &d.Description)
		p.tags("tags", d.Tags)
		ds := make([]DatastreamWrite, len(d.Datastreams))
		for i, id := range d.Datastreams {
			ds[i].ID = id
		}
		p.datastreams(ds)
	}
	return p.err()
}

func checkSerials(serials []string) error {
	var p problems
	p.addIf(len(serials) == 0, "serial", Blank)
	if len(serials) > maxSerials {
		p.add("devices", tooMany(maxSerials))
		return p.err()
	}
	seen := make(map[string]bool, len(serials))
	for _, s := range serials {
		p.addIf(s == "", "serial", Blank)
		p.addIf(s != "" && !validSerial(s), "serial", Invalid)
		p.addIf(seen[s], "serial", "can't come twice")
		seen[s] = true
	}
	return p.err()
}

func validSerial(s string) bool {
	return len(s) <= maxSerial && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune("+-_:,", r)
	})
}
