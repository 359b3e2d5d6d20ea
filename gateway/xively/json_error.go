package xively

// appendErrorJSON writes {"title":..,"errors":..}: a text, or, where fields are
// wrong, an object with the texts of each.
func appendErrorJSON(b []byte, e *Error) []byte {
	b = appendString(appendMember(append(b, '{'), "title"), e.Title)
	b = appendMember(b, "errors")
	if len(e.Fields) == 0 {
		return append(appendString(b, e.Text), '}')
	}
	b = append(b, '{')
	for i, f := range e.Fields {
		if named(e.Fields[:i], f.Field) {
			continue // its texts stand with the first
		}
		b = append(appendString(appendComma(b), f.Field), ':', '[')
		for _, other := range e.Fields[i:] {
			if other.Field == f.Field {
				b = appendString(appendComma(b), other.Text)
			}
		}
		b = append(b, ']')
	}
	return append(b, '}', '}')
}

func named(fields []FieldError, name string) bool {
	for _, f := range fields {
		if f.Field == name {
			return true
		}
	}
	return false
}
