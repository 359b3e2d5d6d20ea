package config

import (
	"fmt"

	"fieldgate/gateway/access"
)

// access decodes the accounts, keys and rules.
func (c *Config) access(t *table) {
	t.get("anonymous").boolean(&c.Access.Anonymous)
	first := map[string]int{} // line of each name
	for _, u := range t.get("users").tables() {
		c.user(u, first)
	}
	keys := map[string]int{}
	for _, k := range t.get("keys").tables() {
		c.key(k, keys)
	}
	for _, a := range t.get("acl").tables() {
		c.rule(a)
	}
	t.close()
	if beyond := c.Listen.Beyond(); c.Access.Anonymous && len(beyond) > 0 {
		t.get("anonymous").warn("anybody who can reach "+beyond[0]+" may connect without a name",
			"set it to false, or listen on 127.0.0.1")
	}
}

func (c *Config) user(t *table, first map[string]int) {
	var u access.User
	name, hash := t.get("name"), t.get("password_hash")
	if !name.present() {
		name.missing("the name that the user logs in with")
	} else if name.text(&u.Name) {
		if err := access.CheckUserName(u.Name); err != nil {
			name.mistake(reason(err), "letters, digits, '.', '-', '_' and '@' are always fine")
		}
		unique(name, "user", u.Name, first)
	}
	var phc Secret
	switch {
	case !hash.present():
		hash.warn("missing, so that nobody can log in as this user", "`fieldgate user hash` makes one")
	case hash.secret(&phc):
		u.PasswordHash = string(phc)
		if err := access.CheckHash(u.PasswordHash); err != nil {
			hash.mistake(reason(err), "`fieldgate user hash` makes one")
		}
	}
	t.get("admin").boolean(&u.Admin)
	t.close()
	c.Access.Users = append(c.Access.Users, u)
}

func (c *Config) rule(t *table) {
	var rule access.Rule
	var allow string
	topic, user, mode := t.get("topic"), t.get("user"), t.get("allow")
	whole := topic.text(&rule.Topic)
	if !topic.present() {
		topic.missing("a topic filter, %u standing for the user, %c for the client id")
	}
	if !user.present() {
		user.missing(`a user's name, "*" for everybody or "anonymous"`)
		whole = false
	} else if user.text(&rule.User) && rule.User != access.AnyUser && rule.User != access.AnonymousUser {
		c.known(user, rule.User)
	}
	if !mode.present() {
		mode.missing("read, write or readwrite")
		whole = false
	} else if mode.choice(&allow, "read", "write", "readwrite") {
		rule.Allow, _ = access.ParseMode(allow)
	} else {
		whole = false
	}
	t.close()
	if whole && rule.User != "" {
		if err := rule.Check(); err != nil {
			topic.mistake(reason(err), `write a topic filter such as "factory/%u/#"`)
		}
	}
	c.Access.ACL = append(c.Access.ACL, rule)
}

// known warns of a user that the file does not declare: it may be an account
// made at run time, or a slip that gives rights to nobody.
func (c *Config) known(v value, name string) {
	names := make([]string, len(c.Access.Users))
	for i, u := range c.Access.Users {
		if u.Name == name {
			return
		}
		names[i] = u.Name
	}
	remedy := "add the user to access.users, or make the account with fieldgate user add"
	if near := nearest(name, names); near != "" {
		remedy = "did you mean " + near + "? Or " + remedy
	}
	v.warn(fmt.Sprintf("there is no user %.40q in this file", name), remedy)
}

// unique reports a name that is there already; first holds the line of each.
func unique(v value, what, name string, first map[string]int) {
	if line, twice := first[name]; twice {
		v.mistake(fmt.Sprintf("%s %.40q is there twice, first in line %d", what, name, line), "give each its own")
		return
	}
	first[name] = v.at.Line
}
