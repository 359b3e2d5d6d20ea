package xively

import (
	"strconv"
	"time"
)

// expiryLayout is how the service wrote a key's end in XML. It has whole
// seconds.
const expiryLayout = "2006-01-02 15:04:05 UTC"

func appendKeyXML(b []byte, k *Key) []byte {
	b = append(b, xmlDeclaration...)
	b = appendKeyAt(b, 0, k)
	return append(b, '\n')
}

func appendKeysXML(b []byte, keys []Key) []byte {
	b = append(b, xmlDeclaration+"\n"+`<keys type="array">`...)
	for i := range keys {
		b = appendKeyAt(b, 1, &keys[i])
	}
	return append(b, "\n</keys>\n"...)
}

// appendKeyAt writes a key that stands depth elements deep. Its id is not in
// the reference: the text of a key is known only where it has just been made.
func appendKeyAt(b []byte, depth int, k *Key) []byte {
	b = appendXMLStart(b, depth, "key")
	b = appendXMLElement(b, depth+1, "id", k.ID)
	b = appendXMLGiven(b, depth+1, "api-key", k.Key)
	b = appendXMLGiven(b, depth+1, "label", k.Label)
	if !k.ExpiresAt.IsZero() {
		b = appendXMLElement(b, depth+1, "expires-at", k.ExpiresAt.UTC().Format(expiryLayout))
	}
	b = appendXMLElement(b, depth+1, "private-access", strconv.FormatBool(k.PrivateAccess))
	b = appendXMLStart(b, depth+1, "permissions")
	for i := range k.Permissions {
		b = appendPermissionXML(b, depth+2, &k.Permissions[i])
	}
	b = appendXMLEnd(appendXMLLine(b, depth+1), "permissions")
	return appendXMLEnd(appendXMLLine(b, depth), "key")
}

func appendPermissionXML(b []byte, depth int, p *Permission) []byte {
	b = appendXMLStart(b, depth, "permission")
	b = appendXMLGiven(b, depth+1, "label", p.Label)
	b = appendXMLGiven(b, depth+1, "referer", p.Referer)
	b = appendXMLGiven(b, depth+1, "source-ip", p.SourceIP)
	if p.MinimumInterval != 0 {
		b = appendXMLInt(b, depth+1, "minimum-interval", p.MinimumInterval)
	}
	b = appendXMLStart(b, depth+1, "access-methods")
	for _, method := range p.Methods {
		b = appendXMLElement(b, depth+2, "access-method", method)
	}
	b = appendXMLEnd(appendXMLLine(b, depth+1), "access-methods")
	if len(p.Resources) > 0 {
		b = appendXMLStart(b, depth+1, "resources")
		for _, r := range p.Resources {
			b = appendXMLStart(b, depth+2, "resource")
			b = appendXMLUint(b, depth+3, "feed-id", r.Feed)
			b = appendXMLGiven(b, depth+3, "datastream-id", r.Datastream)
			b = appendXMLUint(b, depth+3, "datastream-trigger-id", r.Trigger)
			b = appendXMLEnd(appendXMLLine(b, depth+2), "resource")
		}
		b = appendXMLEnd(appendXMLLine(b, depth+1), "resources")
	}
	return appendXMLEnd(appendXMLLine(b, depth), "permission")
}

func appendTriggerXML(b []byte, t *Trigger) []byte {
	b = append(b, xmlDeclaration...)
	b = appendTriggerAt(b, 0, t)
	return append(b, '\n')
}

func appendTriggersXML(b []byte, triggers []Trigger) []byte {
	b = append(b, xmlDeclaration+"\n"+`<datastream-triggers type="array">`...)
	for i := range triggers {
		b = appendTriggerAt(b, 1, &triggers[i])
	}
	return append(b, "\n</datastream-triggers>\n"...)
}

// appendTriggerAt writes a trigger that stands depth elements deep. Threshold
// and time are there even if they are empty, as in JSON.
func appendTriggerAt(b []byte, depth int, t *Trigger) []byte {
	b = appendXMLStart(b, depth, "datastream-trigger")
	b = appendXMLUint(b, depth+1, "id", t.ID)
	b = appendXMLElement(b, depth+1, "url", t.URL)
	b = appendXMLElement(b, depth+1, "trigger-type", t.Type)
	b = append(appendXMLLine(b, depth+1), `<threshold-value type="float">`...)
	b = appendXMLEnd(appendXMLText(b, t.Threshold), "threshold-value")
	b = append(appendXMLLine(b, depth+1), `<notified-at type="datetime">`...)
	if !t.NotifiedAt.IsZero() {
		b = t.NotifiedAt.UTC().AppendFormat(b, time.RFC3339)
	}
	b = appendXMLEnd(b, "notified-at")
	b = appendXMLGiven(b, depth+1, "user", t.User)
	b = append(appendXMLLine(b, depth+1), `<environment-id type="integer">`...)
	b = appendXMLEnd(strconv.AppendUint(b, t.Feed, 10), "environment-id")
	b = appendXMLElement(b, depth+1, "stream-id", t.Datastream)
	return appendXMLEnd(appendXMLLine(b, depth), "datastream-trigger")
}

func appendUserXML(b []byte, u *User) []byte {
	b = append(b, xmlDeclaration...)
	b = appendUserAt(b, 0, u)
	return append(b, '\n')
}

func appendUsersXML(b []byte, users []User) []byte {
	b = append(b, xmlDeclaration+"\n"+`<users type="array">`...)
	for i := range users {
		b = appendUserAt(b, 1, &users[i])
	}
	return append(b, "\n</users>\n"...)
}

// appendUserAt writes an account that stands depth elements deep.
func appendUserAt(b []byte, depth int, u *User) []byte {
	b = appendXMLStart(b, depth, "user")
	for _, f := range [...]struct{ name, text string }{
		{"login", u.Login}, {"full_name", u.FullName}, {"first_name", u.FirstName}, {"last_name", u.LastName},
		{"email", u.Email}, {"about", u.About}, {"website", u.Website}, {"organisation", u.Organisation},
		{"time_zone", u.TimeZone},
	} {
		b = appendXMLGiven(b, depth+1, f.name, f.text)
	}
	if len(u.Roles) > 0 {
		b = appendXMLStart(b, depth+1, "roles")
		for _, role := range u.Roles {
			b = appendXMLElement(b, depth+2, "role", role)
		}
		b = appendXMLEnd(appendXMLLine(b, depth+1), "roles")
	}
	b = appendXMLInt(b, depth+1, "feeds_count", u.Feeds)
	b = appendXMLInt(b, depth+1, "datastreams_count", u.Datastreams)
	return appendXMLEnd(appendXMLLine(b, depth), "user")
}

// appendErrorXML writes a refusal. No source shows the service's shape; this
// one has the title and each error.
func appendErrorXML(b []byte, e *Error) []byte {
	b = append(b, xmlDeclaration+"\n<errors>"...)
	b = appendXMLElement(b, 1, "title", e.Title)
	if len(e.Fields) == 0 && e.Text != "" {
		b = appendXMLElement(b, 1, "error", e.Text)
	}
	for _, f := range e.Fields {
		b = appendXMLElement(b, 1, "error", f.Field+" "+f.Text)
	}
	return append(b, "\n</errors>\n"...)
}

// appendXMLStart begins an element on a line of its own.
func appendXMLStart(b []byte, depth int, name string) []byte {
	b = append(appendXMLLine(b, depth), '<')
	b = append(b, name...)
	return append(b, '>')
}

// appendXMLUint writes an element with a number, unless that is 0.
func appendXMLUint(b []byte, depth int, name string, n uint64) []byte {
	if n == 0 {
		return b
	}
	return appendXMLElement(b, depth, name, strconv.FormatUint(n, 10))
}
