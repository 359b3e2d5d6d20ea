package xively

func appendUserJSON(b []byte, u *User) []byte {
	b = append(appendMember(append(b, '{'), "user"), '{')
	b = appendText(b, "login", u.Login)
	b = appendText(b, "full_name", u.FullName)
	b = appendText(b, "first_name", u.FirstName)
	b = appendText(b, "last_name", u.LastName)
	b = appendText(b, "email", u.Email)
	b = appendText(b, "about", u.About)
	b = appendText(b, "website", u.Website)
	b = appendText(b, "organisation", u.Organisation)
	b = appendText(b, "time_zone", u.TimeZone)
	b = appendTexts(b, "roles", u.Roles)
	b = appendIntMember(b, "feeds_count", u.Feeds)
	b = appendIntMember(b, "datastreams_count", u.Datastreams)
	return append(b, '}', '}')
}

func appendUsersJSON(b []byte, users []User) []byte {
	b = append(b, '[')
	for i := range users {
		b = appendUserJSON(appendComma(b), &users[i])
	}
	return append(b, ']')
}

// decodeUserJSON takes what a user may write; roles, counters and keys are not
// among it.
func decodeUserJSON(body []byte) (out UserWrite, err error) {
	doc, err := rootObject(body, "user")
	if err != nil {
		return out, err
	}
	var r jsonReader
	out.Login = r.text("login", doc["login"])
	out.Password = r.text("password", doc["password"])
	out.FullName = r.metadata("full_name", doc["full_name"])
	out.FirstName = r.metadata("first_name", doc["first_name"])
	out.LastName = r.metadata("last_name", doc["last_name"])
	out.Email = r.metadata("email", doc["email"])
	out.About = r.metadata("about", doc["about"])
	out.Website = r.metadata("website", doc["website"])
	out.Organisation = r.metadata("organisation", doc["organisation"])
	out.TimeZone = r.metadata("time_zone", doc["time_zone"])
	return out, r.err()
}
