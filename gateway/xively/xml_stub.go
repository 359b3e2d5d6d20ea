package xively

func decodeKeyXML(body []byte) (out KeyWrite, err error)         { panic("not yet") }
func decodeTriggerXML(body []byte) (out TriggerWrite, err error) { panic("not yet") }
func decodeUserXML(body []byte) (out UserWrite, err error)       { panic("not yet") }
func appendKeyXML(b []byte, k *Key) []byte                       { panic("not yet") }
func appendKeysXML(b []byte, keys []Key) []byte                  { panic("not yet") }
func appendTriggerXML(b []byte, t *Trigger) []byte               { panic("not yet") }
func appendTriggersXML(b []byte, triggers []Trigger) []byte      { panic("not yet") }
func appendUserXML(b []byte, u *User) []byte                     { panic("not yet") }
func appendUsersXML(b []byte, users []User) []byte               { panic("not yet") }
func appendErrorXML(b []byte, e *Error) []byte                   { panic("not yet") }
