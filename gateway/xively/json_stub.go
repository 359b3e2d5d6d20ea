package xively

func decodeFeedJSON(v Version, body []byte) (out FeedWrite, err error)             { panic("not yet") }
func decodeDatastreamJSON(v Version, body []byte) (out DatastreamWrite, err error) { panic("not yet") }
func decodeDatastreamsJSON(v Version, body []byte) (out []DatastreamWrite, err error) {
	panic("not yet")
}
func decodeDatapointsJSON(body []byte) (out []Datapoint, err error)                { panic("not yet") }
func decodeDatapointJSON(body []byte) (out Datapoint, err error)                   { panic("not yet") }
func decodeKeyJSON(body []byte) (out KeyWrite, err error)                          { panic("not yet") }
func decodeTriggerJSON(body []byte) (out TriggerWrite, err error)                  { panic("not yet") }
func decodeUserJSON(body []byte) (out UserWrite, err error)                        { panic("not yet") }
func decodeProductJSON(body []byte) (out ProductWrite, err error)                  { panic("not yet") }
func decodeSerialsJSON(body []byte) (out []string, err error)                      { panic("not yet") }
func appendFeedJSON(b []byte, v Version, feed *Feed) []byte                        { panic("not yet") }
func appendFeedsJSON(b []byte, v Version, list List, feeds []*Feed) []byte         { panic("not yet") }
func appendDatastreamJSON(b []byte, v Version, d *Datastream) []byte               { panic("not yet") }
func appendDatapointJSON(b []byte, p Datapoint) []byte                             { panic("not yet") }
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
