package xively

import (
	"encoding/xml"
	"strconv"
	"strings"
	"time"
)

// Keys and triggers have names with hyphens, accounts with underscores; either
// is read for all of them. Attributes like type="array" and nil="true", which
// the service's own documents have, do not count.

func decodeKeyXML(body []byte) (w KeyWrite, err error) {
	r := newXMLReader(body)
	if _, err := r.root("key"); err != nil {
		return w, err
	}
	err = r.children(func(e xml.StartElement) error {
		switch hyphenated(e.Name.Local) {
		case "label":
			return r.textInto(&w.Label)
		case "private-access":
			s, err := r.text()
			if err != nil {
				return err
			}
			private, ok := parseXMLBool(s)
			if !ok && s != "" { // empty, it takes the right away
				return Unprocessable(FieldError{"private_access", Invalid})
			}
			w.PrivateAccess = &private
		case "expires-at":
			s, err := r.text()
			if err != nil {
				return err
			}
			w.ExpiresAt = &time.Time{}
			if s != "" { // "2030-01-01 00:00:00 UTC" or ISO 8601
				if *w.ExpiresAt, err = ParseTime(s); err != nil {
					return Unprocessable(FieldError{"expires_at", Invalid})
				}
			}
		case "permissions":
			if w.Permissions == nil {
				w.Permissions = []Permission{}
			}
			return r.each("permission", func() error {
				p, err := r.permission()
				w.Permissions = append(w.Permissions, p)
				return err
			})
		default:
			return r.skip()
		}
		return nil
	})
	if err == nil {
		err = r.end()
	}
	return w, err
}

func (r *xmlReader) permission() (p Permission, err error) {
	err = r.children(func(e xml.StartElement) (err error) {
		switch hyphenated(e.Name.Local) {
		case "label":
			p.Label, err = r.text()
		case "referer":
			p.Referer, err = r.text()
		case "source-ip":
			p.SourceIP, err = r.text()
		case "minimum-interval":
			var seconds uint64
			seconds, err = r.uint("permissions_minimum_interval", 31)
			p.MinimumInterval = int(seconds)
		case "access-methods":
			err = r.each("access-method", func() error {
				method, err := r.text()
				p.Methods = append(p.Methods, strings.ToLower(method))
				return err
			})
		case "resources":
			err = r.each("resource", func() error {
				resource, err := r.keyResource()
				p.Resources = append(p.Resources, resource)
				return err
			})
		default:
			err = r.skip()
		}
		return err
	})
	return p, err
}

func (r *xmlReader) keyResource() (k KeyResource, err error) {
	err = r.children(func(e xml.StartElement) (err error) {
		switch hyphenated(e.Name.Local) {
		case "feed-id":
			k.Feed, err = r.uint("permissions_feed_id", 64)
		case "datastream-id":
			k.Datastream, err = r.text()
		case "datastream-trigger-id":
			k.Trigger, err = r.uint("permissions_datastream_trigger_id", 64)
		default:
			err = r.skip()
		}
		return err
	})
	return k, err
}

func decodeTriggerXML(body []byte) (w TriggerWrite, err error) {
	r := newXMLReader(body)
	if _, err := r.root("datastream-trigger", "trigger"); err != nil {
		return w, err
	}
	err = r.children(func(e xml.StartElement) error {
		switch hyphenated(e.Name.Local) {
		case "url":
			return r.textInto(&w.URL)
		case "trigger-type":
			return r.textInto(&w.Type)
		case "threshold-value":
			return r.textInto(&w.Threshold)
		case "stream-id":
			return r.textInto(&w.Datastream)
		case "environment-id":
			id, err := r.uint("environment_id", 64)
			if id != 0 {
				w.Feed = &id
			}
			return err
		}
		return r.skip()
	})
	if err == nil {
		err = r.end()
	}
	return w, err
}

func decodeUserXML(body []byte) (w UserWrite, err error) {
	r := newXMLReader(body)
	if _, err := r.root("user"); err != nil {
		return w, err
	}
	fields := map[string]**string{
		"login": &w.Login, "full-name": &w.FullName, "first-name": &w.FirstName, "last-name": &w.LastName,
		"email": &w.Email, "about": &w.About, "website": &w.Website, "organisation": &w.Organisation,
		"time-zone": &w.TimeZone,
	}
	err = r.children(func(e xml.StartElement) error {
		name := hyphenated(e.Name.Local)
		if name == "password" { // white space is part of it
			s, err := r.rawText()
			w.Password = &s
			return err
		}
		if to, ok := fields[name]; ok {
			return r.textInto(to)
		}
		return r.skip()
	})
	if err == nil {
		err = r.end()
	}
	return w, err
}

// each calls f for each child of that name of the element that was entered; f
// has to read it to its end.
func (r *xmlReader) each(name string, f func() error) error {
	return r.children(func(e xml.StartElement) error {
		if hyphenated(e.Name.Local) != name {
			return r.skip()
		}
		return f()
	})
}

// uint is the number in the element that was entered; 0 if it is empty. Errors
// call it field. A number of more than these bits is none.
func (r *xmlReader) uint(field string, bits int) (uint64, error) {
	s, err := r.text()
	if err != nil || s == "" {
		return 0, err
	}
	n, err := strconv.ParseUint(s, 10, bits)
	if err != nil {
		return 0, Unprocessable(FieldError{field, Invalid})
	}
	return n, nil
}
