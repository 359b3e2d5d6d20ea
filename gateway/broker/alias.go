package broker

import (
	"strings"

	"github.com/mochi-mqtt/server/v2/packets"
)

// topicAliases is how many topic aliases a client may use, as CONNACK says
// (MQTT 5.0 section 3.2.2.3.8). Mosquitto offers as many.
const topicAliases = 10

// alias gives a topic's alias towards a client that takes some, 0 if there is
// none for it, and whether the client knows it. The first topics have them for
// as long as the connection lasts.
func (c *conn) alias(topic string) (alias uint16, known bool) {
	if alias, known = c.given[topic]; known {
		return alias, true
	}
	if len(c.given) >= min(int(c.asked.aliasMaximum), topicAliases) {
		return 0, false
	}
	return uint16(len(c.given) + 1), false
}

// aliasSent notes that the client knows the topic's alias.
func (c *conn) aliasSent(topic string, alias uint16) {
	if c.given == nil {
		c.given = map[string]uint16{}
	}
	c.given[topic] = alias
}

// resolve gives the topic of a PUBLISH, learning or looking up its alias (MQTT
// 5.0 section 3.3.2.3.4). Mochi's own aliases would leave rights to be asked
// about an empty topic.
func (c *conn) resolve(pk *packets.Packet) (string, error) {
	alias := pk.Properties.TopicAlias
	if c.version != 5 || alias == 0 { // 0 is refused by Check
		return strings.Clone(pk.TopicName), nil
	}
	if pk.TopicName == "" {
		if int(alias) >= len(c.aliases) || c.aliases[alias] == "" {
			return "", violation(codeProtocol, "topic alias %d stands for nothing", alias)
		}
		return c.aliases[alias], nil
	}
	topic := strings.Clone(pk.TopicName)
	if c.aliases == nil {
		c.aliases = make([]string, topicAliases+1)
	}
	c.aliases[alias] = topic
	if most := c.b.limits.TopicBytes; len(topic) > most { // it is refused anyway
		c.aliases[alias] = strings.Clone(topic[:most+1])
	}
	return topic, nil
}
