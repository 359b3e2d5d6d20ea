package access

import (
	"errors"
	"fmt"
	"strings"
)

// Mode is a direction that a Rule allows, seen from the client.
type Mode uint8

// The modes of a rule.
const (
	Read      Mode = 1 // receive
	Write     Mode = 2 // publish
	ReadWrite Mode = Read | Write
)

// String gives the name used in configurations: read, write or readwrite.
func (m Mode) String() string {
	switch m {
	case Read:
		return "read"
	case Write:
		return "write"
	case ReadWrite:
		return "readwrite"
	}
	return fmt.Sprintf("mode(%d)", uint8(m))
}

// ParseMode reads read, write or readwrite.
func ParseMode(s string) (Mode, error) {
	for _, m := range []Mode{Read, Write, ReadWrite} {
		if m.String() == s {
			return m, nil
		}
	}
	return 0, fmt.Errorf("access: unknown mode %q: read, write or readwrite", s)
}

// MarshalText gives the name used in configurations.
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads read, write or readwrite.
func (m *Mode) UnmarshalText(b []byte) (err error) { *m, err = ParseMode(string(b)); return err }

// Names that a Rule's User may have beside those of accounts.
const (
	AnyUser       = "*"         // everybody who can connect, anonymous clients included
	AnonymousUser = "anonymous" // clients without a name
)

// Rule allows something on the topics outside the dialects.
type Rule struct {
	// Topic is a filter in which %u stands for the user name and %c for the
	// MQTT client id. A rule with %u does not apply to anonymous clients and to
	// API keys. A value that is empty or holds '/', '+' or '#' fills in
	// nothing: the rule does not apply then. Nor does it if the value stands at
	// the very beginning and starts with '$'.
	Topic string `json:"topic"`
	User  string `json:"user"` // AnyUser, AnonymousUser or the name of an account
	Allow Mode   `json:"allow"`
}

// Check says what is wrong with the rule.
func (r Rule) Check() error {
	switch {
	case !ValidFilter(r.Topic):
		return fmt.Errorf("access: %q is no topic filter: at most %d bytes and %d levels, '+' a whole level, '#' the last one",
			r.Topic, MaxTopic, MaxTopicLevels)
	case r.User == "":
		return fmt.Errorf("access: rule for %q names no user: a name, %q or %q", r.Topic, AnyUser, AnonymousUser)
	case r.User == AnonymousUser && strings.Contains(r.Topic, "%u"):
		return fmt.Errorf("access: rule for %q never applies: anonymous clients have no name for %%u", r.Topic)
	case r.Allow < Read || r.Allow > ReadWrite:
		return fmt.Errorf("access: rule for %q allows nothing: read, write or readwrite", r.Topic)
	}
	return nil
}

// ACL says who may use which topics outside the dialects. What no rule allows
// is denied.
type ACL []Rule

// Allows decides whether s, connected as clientID, may publish to topic
// (write) or receive a message with that topic. The gateway itself may do
// everything.
func (a ACL) Allows(s Subject, clientID, topic string, write bool) bool {
	if !ValidTopic(topic) {
		return false
	}
	if s.System {
		return true
	}
	need := Read
	if write {
		need = Write
	}
	for i := range a {
		if a[i].Allow&need == 0 {
			continue
		}
		if p, ok := a[i].pattern(s, clientID); ok && p.match(topic) {
			return true
		}
	}
	return false
}

// Overlaps decides about a subscription: whether s, connected as clientID,
// could be allowed to receive some topic that matches filter (without
// "$share/group/"). Each message is to be checked with Allows all the same.
func (a ACL) Overlaps(s Subject, clientID, filter string) bool {
	if !ValidFilter(filter) {
		return false
	}
	if s.System {
		return true
	}
	for i := range a {
		if a[i].Allow&Read == 0 {
			continue
		}
		if p, ok := a[i].pattern(s, clientID); ok && p.overlaps(filter) {
			return true
		}
	}
	return false
}

// pattern fills the rule in for s; false if the rule is not about s.
func (r *Rule) pattern(s Subject, clientID string) (pattern, bool) {
	user := s.User
	if s.Key != "" {
		user = "" // an API key is narrower than the login of its owner
	}
	switch r.User {
	case AnyUser:
	case AnonymousUser:
		if !s.Anonymous() {
			return pattern{}, false
		}
	default:
		if r.User != user || user == "" {
			return pattern{}, false
		}
	}
	p := pattern{text: r.Topic}
	if placeholder(r.Topic) < 0 {
		return p, true
	}
	if strings.Contains(r.Topic, "%u") {
		if !fillsIn(user) || strings.HasPrefix(r.Topic, "%u") && user[0] == '$' {
			return p, false
		}
		p.user = user
	}
	if strings.Contains(r.Topic, "%c") {
		if !fillsIn(clientID) || strings.HasPrefix(r.Topic, "%c") && clientID[0] == '$' {
			return p, false
		}
		p.client = clientID
	}
	return p, true
}

// fillsIn reports whether value can stand in a level without meaning more.
func fillsIn(value string) bool {
	return value != "" && !strings.ContainsAny(value, "/+#")
}

// MaxUserName is the longest login name, in bytes.
const MaxUserName = 128

// CheckUserName says why name cannot be that of an account: it must be 1 to
// MaxUserName bytes of printable UTF-8 without ':' (which ends the name in HTTP
// Basic authentication, RFC 7617), and none of the names that mean somebody
// else in a Rule.
func CheckUserName(name string) error {
	switch {
	case name == "":
		return errors.New("access: user name is empty")
	case len(name) > MaxUserName:
		return fmt.Errorf("access: user name is longer than %d bytes", MaxUserName)
	case name == AnyUser, name == AnonymousUser:
		return fmt.Errorf("access: user name %q has a meaning in access rules", name)
	case !printable(name):
		return errors.New("access: user name holds a character that cannot be shown")
	case strings.Contains(name, ":"):
		return fmt.Errorf("access: user name %q holds ':', which HTTP cannot carry", name)
	}
	return nil
}
