package xively

func decodeKeyJSON(body []byte) (out KeyWrite, err error)                          { panic("not yet") }
func decodeTriggerJSON(body []byte) (out TriggerWrite, err error)                  { panic("not yet") }
func decodeUserJSON(body []byte) (out UserWrite, err error)                        { panic("not yet") }
func decodeProductJSON(body []byte) (out ProductWrite, err error)                  { panic("not yet") }
func decodeSerialsJSON(body []byte) (out []string, err error)                      { panic("not yet") }
func appendKeyJSON(b []byte, k *Key) []byte                                        { panic("not yet") }
func appendKeysJSON(b []byte, keys []Key) []byte                                   { panic("not yet") }
func appendTriggerJSON(b []byte, t *Trigger) []byte                                { panic("not yet") }
func appendTriggersJSON(b []byte, triggers []Trigger) []byte                       { panic("not yet") }
func appendUserJSON(b []byte, u *User) []byte                                      { panic("not yet") }
func appendUsersJSON(b []byte, users []User) []byte                                { panic("not yet") }
func appendProductJSON(b []byte, p *Product) []byte                                { panic("not yet") }
func appendProductsJSON(b []byte, list List, products []Product) []byte            { panic("not yet") }
func appendProductDeviceJSON(b []byte, d *ProductDevice) []byte                    { panic("not yet") }
func appendProductDevicesJSON(b []byte, list List, devices []ProductDevice) []byte { panic("not yet") }
func appendActivationJSON(b []byte, a *Activation) []byte                          { panic("not yet") }
func appendNotificationJSON(b []byte, n *Notification) []byte                      { panic("not yet") }
func appendErrorJSON(b []byte, e *Error) []byte                                    { panic("not yet") }
