package xively

import (
	"math"
	"strings"
	"time"
)

// maxOffset is the farthest from UTC that a zone lies, in hours.
const maxOffset = 14

// maxZone is the longest name of a zone, in bytes.
const maxZone = 64

// zone reads a time zone: hours from UTC ("-3.5"), a name of the IANA time zone
// database or one of Ruby on Rails. It is UTC if it is not given.
func (p *parameters) zone(name string) *time.Location {
	s := strings.TrimSpace(p.q.Get(name))
	switch s {
	case "", "UTC", "GMT", "Z":
		return time.UTC
	}
	if hours, ok := decimal(s); ok {
		p.fail(math.Abs(hours) > maxOffset, name, "is too far from UTC")
		if p.err != nil {
			return time.UTC
		}
		return time.FixedZone("", int(math.Round(hours*60))*60)
	}
	if iana, ok := railsZones[s]; ok {
		s = iana
	}
	if zoneName(s) {
		if zone, err := time.LoadLocation(s); err == nil {
			return zone
		}
	}
	p.fail(true, name, "is not known here: give the hours from UTC")
	return time.UTC
}

// zoneName reports whether s can be the name of a zone in the IANA database,
// and no other file than one of it: one to three words, "America/Indiana/Knox".
// "Local", which Go gives a meaning, is none.
func zoneName(s string) bool {
	if len(s) > maxZone || s == "Local" {
		return false
	}
	words := strings.Split(s, "/")
	for _, word := range words {
		if word == "" || !letter(word[0]) {
			return false
		}
		for i := 1; i < len(word); i++ {
			if c := word[i]; !letter(c) && (c < '0' || c > '9') && c != '_' && c != '+' && c != '-' {
				return false
			}
		}
	}
	return len(words) <= 3
}

func letter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

// railsZones are the common ones of the names that ActiveSupport::TimeZone of
// Ruby on Rails has, which the API took.
var railsZones = map[string]string{
	"Hawaii": "Pacific/Honolulu", "Alaska": "America/Juneau",
	"Pacific Time (US & Canada)": "America/Los_Angeles", "Mountain Time (US & Canada)": "America/Denver",
	"Central Time (US & Canada)": "America/Chicago", "Eastern Time (US & Canada)": "America/New_York",
	"Arizona": "America/Phoenix", "Indiana (East)": "America/Indiana/Indianapolis",
	"Atlantic Time (Canada)": "America/Halifax", "Newfoundland": "America/St_Johns",
	"Mexico City": "America/Mexico_City", "Bogota": "America/Bogota", "Lima": "America/Lima",
	"Caracas": "America/Caracas", "La Paz": "America/La_Paz", "Santiago": "America/Santiago",
	"Brasilia": "America/Sao_Paulo", "Buenos Aires": "America/Argentina/Buenos_Aires",
	"Montevideo": "America/Montevideo", "Azores": "Atlantic/Azores",
	"London": "Europe/London", "Edinburgh": "Europe/London", "Dublin": "Europe/Dublin", "Lisbon": "Europe/Lisbon",
	"Casablanca": "Africa/Casablanca", "Monrovia": "Africa/Monrovia", "West Central Africa": "Africa/Algiers",
	"Amsterdam": "Europe/Amsterdam", "Berlin": "Europe/Berlin", "Bern": "Europe/Zurich", "Brussels": "Europe/Brussels",
	"Budapest": "Europe/Budapest", "Copenhagen": "Europe/Copenhagen", "Madrid": "Europe/Madrid", "Paris": "Europe/Paris",
	"Prague": "Europe/Prague", "Rome": "Europe/Rome", "Stockholm": "Europe/Stockholm", "Vienna": "Europe/Vienna",
	"Warsaw": "Europe/Warsaw", "Athens": "Europe/Athens", "Bucharest": "Europe/Bucharest", "Helsinki": "Europe/Helsinki",
	"Istanbul": "Europe/Istanbul", "Kyiv": "Europe/Kiev", "Cairo": "Africa/Cairo", "Harare": "Africa/Harare",
	"Pretoria": "Africa/Johannesburg", "Nairobi": "Africa/Nairobi", "Jerusalem": "Asia/Jerusalem",
	"Baghdad": "Asia/Baghdad", "Riyadh": "Asia/Riyadh", "Moscow": "Europe/Moscow", "Tehran": "Asia/Tehran",
	"Abu Dhabi": "Asia/Muscat", "Kabul": "Asia/Kabul", "Karachi": "Asia/Karachi", "Islamabad": "Asia/Karachi",
	"New Delhi": "Asia/Kolkata", "Mumbai": "Asia/Kolkata", "Chennai": "Asia/Kolkata", "Kolkata": "Asia/Kolkata",
	"Kathmandu": "Asia/Kathmandu", "Dhaka": "Asia/Dhaka", "Rangoon": "Asia/Rangoon", "Bangkok": "Asia/Bangkok",
	"Hanoi": "Asia/Bangkok", "Jakarta": "Asia/Jakarta", "Beijing": "Asia/Shanghai", "Hong Kong": "Asia/Hong_Kong",
	"Singapore": "Asia/Singapore", "Taipei": "Asia/Taipei", "Perth": "Australia/Perth", "Seoul": "Asia/Seoul",
	"Tokyo": "Asia/Tokyo", "Osaka": "Asia/Tokyo", "Adelaide": "Australia/Adelaide", "Darwin": "Australia/Darwin",
	"Brisbane": "Australia/Brisbane", "Melbourne": "Australia/Melbourne", "Sydney": "Australia/Sydney",
	"Hobart": "Australia/Hobart", "Auckland": "Pacific/Auckland", "Wellington": "Pacific/Auckland", "Fiji": "Pacific/Fiji",
}
