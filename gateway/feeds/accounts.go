package feeds

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
)

// accounts is what the API keeps of people and their products.
type accounts struct {
	cfg Config
	log *slog.Logger

	keys    sync.Mutex    // one change of keys at a time: none comes back by a change of what was deleted
	hashing chan struct{} // holds one while a password is hashed, which takes much memory

	editing  sync.Mutex // one change of profiles and accounts at a time
	mu       sync.RWMutex
	profiles map[string]profile // by login; never more than there are rows in the table

	products products
}

// newAccounts loads profiles and products.
func newAccounts(cfg Config) (*accounts, error) {
	s := &accounts{cfg: cfg, log: cfg.Logger, hashing: make(chan struct{}, 1), profiles: map[string]profile{}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	err := cfg.Tables.Profiles.Each(func(login string, raw []byte) error {
		var p profile
		if err := json.Unmarshal(raw, &p); err != nil {
			s.log.Warn("profile cannot be read and is skipped", "login", login, "error", err)
			return nil
		}
		s.profiles[login] = p
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("feeds: profiles: %w", err)
	}
	return s, s.products.load(cfg.Tables.Products, s.log)
}

// profile is what an account says of itself.
type profile struct {
	FullName     string `json:"full_name,omitempty"`
	FirstName    string `json:"first_name,omitempty"`
	LastName     string `json:"last_name,omitempty"`
	Email        string `json:"email,omitempty"`
	About        string `json:"about,omitempty"`
	Website      string `json:"website,omitempty"`
	Organisation string `json:"organisation,omitempty"`
	TimeZone     string `json:"time_zone,omitempty"`
}

func (s *accounts) profile(login string) profile {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.profiles[login]
}

// putProfile stores the profile of login; nil deletes it. s.editing is held.
func (s *accounts) putProfile(login string, p *profile) error {
	var raw []byte
	if p != nil {
		var err error
		if raw, err = json.Marshal(p); err != nil {
			return fmt.Errorf("feeds: profile: %w", err)
		}
	}
	if err := s.cfg.Tables.Profiles.Write(map[string][]byte{login: raw}); err != nil {
		return fmt.Errorf("feeds: profile: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p == nil {
		delete(s.profiles, login)
	} else {
		s.profiles[login] = *p
	}
	return nil
}
