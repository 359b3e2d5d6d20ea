package config

import (
	"math"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"fieldgate/sensors"
)

// channelNames is what the file says of a channel's place in the model.
type channelNames struct{ name, kind, quantity, unit string }

// ruleKeys are the keys of a channel: what becomes of its values, and what it
// is called.
var ruleKeys = []string{"name", "sensor_kind", "quantity", "unit", "scale", "offset", "points", "limits", "publish"}

// common has the keys asked for that every sensor may have, so that they are
// none of the driver's.
func (t *table) common() {
	for _, key := range append([]string{"channels"}, ruleKeys...) {
		t.get(key)
	}
}

// rules reads what becomes of the values of each channel. The keys stand at the
// sensor itself if it has one channel, else under `channels` by their suffixes;
// `publish` may stand at the sensor for all of them. Sure says that these are the
// channels: they may depend on options, and those may be wrong.
func (t *table) rules(channels []sensors.Channel, sure bool) (map[string]sensors.Rules, []channelNames) {
	var rules map[string]sensors.Rules
	names := make([]channelNames, len(channels))
	var known []string
	for _, ch := range channels {
		known = append(known, ch.Suffix)
	}
	own := t.get("channels").table()
	var all sensors.Publish
	shared := t.get("publish").publish(&all)
	for i, ch := range channels {
		var r sensors.Rules
		if !sure {
			ch.Fixed = false
		}
		if len(channels) == 1 {
			t.channel(ch, &r, &names[i])
		}
		if shared {
			r.Publish = all
		}
		if ch.Suffix != "" {
			if v := own.get(ch.Suffix); v.present() {
				if sub := v.table(); sub.keys != nil {
					sub.channel(ch, &r, &names[i])
					sub.get("publish").publish(&r.Publish)
					sub.close()
				}
			}
		}
		if ch.Fixed && r.Publish.Extremes > 0 {
			t.get("publish").mistake("min_max is for what is measured, and this goes on from where it was", "always, on_change, min or max")
			r.Publish = sensors.Publish{}
		}
		if r.Publish != (sensors.Publish{}) || r.Scale != 0 || r.Offset != 0 || r.Points != nil || r.Limits != nil {
			if rules == nil {
				rules = map[string]sensors.Rules{}
			}
			rules[ch.Suffix] = r
		}
	}
	if len(channels) > 1 && sure {
		for _, key := range ruleKeys {
			if v := t.get(key); v.present() && key != "publish" {
				v.mistake("is for one channel, and there are "+strings.Join(known, ", "), "channels: {"+known[0]+": {"+key+": ...}}")
			}
		}
	}
	for _, key := range own.rest() {
		if !sure {
			own.stray(key)
			continue
		}
		own.unknown(key, "it has "+strings.Join(known, ", "))
	}
	return rules, names
}

// stray checks what stands under a channel that may be there or not.
func (t *table) stray(suffix string) {
	var r sensors.Rules
	if sub := t.get(suffix).table(); sub.keys != nil {
		sub.channel(sensors.Channel{}, &r, &channelNames{})
		sub.get("publish").publish(&r.Publish)
		sub.close()
	}
}

// channel reads the keys of one channel, publish aside.
func (t *table) channel(ch sensors.Channel, r *sensors.Rules, n *channelNames) {
	t.get("name").text(&n.name)
	t.get("sensor_kind").text(&n.kind)
	for _, x := range []struct {
		key   string
		dst   *string
		known func(string) bool
	}{{"quantity", &n.quantity, sensors.KnownQuantity}, {"unit", &n.unit, sensors.KnownUnit}} {
		if v := t.get(x.key); v.text(x.dst) && !x.known(*x.dst) {
			v.warn(short(*x.dst)+" is no "+x.key+" that Waziup knows", "a word such as "+map[string]string{"quantity": "AirTemperature", "unit": "DegreeCelsius"}[x.key])
		}
	}
	scale, offset, points := t.get("scale"), t.get("offset"), t.get("points")
	for _, v := range []value{scale, offset, points} {
		if v.present() && ch.Fixed {
			v.mistake("this value cannot be calibrated", "remove it; `fieldgate sensors` shows the driver's own options")
			return
		}
	}
	if scale.float(&r.Scale) && r.Scale == 0 {
		scale.mistake("is 0, which makes all values the same", "a number other than 0")
	}
	offset.float(&r.Offset)
	if points.present() && (scale.present() || offset.present()) {
		points.mistake("stands beside scale or offset", "one or the other")
	}
	points.points(&r.Points)
	t.get("limits").limits(&r.Limits)
}

// float reads a finite number.
func (v value) float(dst *float64) bool {
	s, ok := v.scalar("a number")
	if !ok {
		return false
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		v.mistake(short(s)+" is no number", "a number such as 1.5")
		return false
	}
	*dst = f
	return true
}

// pair reads a list of two numbers.
func (v value) pair(dst *[2]float64, want string) bool {
	if v.node.Kind != yaml.SequenceNode || len(v.node.Content) != 2 {
		v.mistake("is not two numbers", want)
		return false
	}
	items := v.list()
	return len(items) == 2 && items[0].float(&dst[0]) && items[1].float(&dst[1])
}

// points reads a calibration such as [[measured, true], [measured, true]].
func (v value) points(dst *[]sensors.Point) {
	const want = "[[measured, true], [measured, true], ...] with measured rising"
	if !v.present() {
		return
	}
	if v.node.Kind != yaml.SequenceNode {
		v.mistake("is "+kindOf(v.node), want)
		return
	}
	var out []sensors.Point
	for _, item := range v.list() {
		var p [2]float64
		if !item.pair(&p, want) {
			return
		}
		if n := len(out); n > 0 && p[0] <= out[n-1].Measured {
			item.mistake("does not rise", want)
			return
		}
		out = append(out, sensors.Point{Measured: p[0], True: p[1]})
	}
	if len(out) < 2 || len(out) > 100 {
		v.mistake("is "+strconv.Itoa(len(out))+" points", "2 to 100 of them: "+want)
		return
	}
	*dst = out
}

// limits reads [lowest, highest].
func (v value) limits(dst **sensors.Limits) {
	const want = "[lowest, highest]"
	var p [2]float64
	if !v.present() || !v.pair(&p, want) {
		return
	}
	if p[0] > p[1] {
		v.mistake("has the lowest above the highest", want)
		return
	}
	*dst = &sensors.Limits{Low: p[0], High: p[1]}
}

// publish reads which values are published: `always`, `on_change`, or a table
// of on_change, min, max and min_max.
func (v value) publish(dst *sensors.Publish) bool {
	if !v.present() {
		return false
	}
	if v.node.Kind == yaml.ScalarNode {
		var word string
		if !v.choice(&word, "always", "on_change") {
			return false
		}
		*dst = sensors.Publish{OnChange: word == "on_change"}
		return true
	}
	var p sensors.Publish
	before := len(v.r.mistakes)
	t := v.table()
	if c := t.get("on_change"); c.present() {
		p.OnChange = true
		if c.node.ShortTag() == "!!bool" {
			c.boolean(&p.OnChange)
		} else if c.float(&p.Change) && p.Change < 0 {
			c.mistake("is below 0", "how far a value must be from the one published last")
		}
	}
	least, most, extremes := t.get("min"), t.get("max"), t.get("min_max")
	const longest = 366 * 24 * time.Hour
	least.duration(&p.Min, time.Millisecond, longest)
	most.duration(&p.Max, time.Millisecond, longest)
	extremes.duration(&p.Extremes, time.Millisecond, longest)
	if p.Max > 0 && p.Min > p.Max {
		least.mistake("is longer than max", "the shortest time between two values")
	}
	if extremes.present() && (p.OnChange || least.present() || most.present()) {
		extremes.mistake("stands beside on_change, min or max", "one or the other")
	}
	t.close()
	if len(v.r.mistakes) > before {
		return false
	}
	*dst = p
	return true
}
