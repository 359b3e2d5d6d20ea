package xively

func decodeFeedXML(v Version, body []byte) (out FeedWrite, err error)             { panic("not yet") }
func decodeDatastreamXML(v Version, body []byte) (out DatastreamWrite, err error) { panic("not yet") }
func decodeDatastreamsXML(v Version, body []byte) (out []DatastreamWrite, err error) {
	panic("not yet")
}
func decodeDatapointsXML(body []byte) (out []Datapoint, err error)              { panic("not yet") }
func decodeDatapointXML(body []byte) (out Datapoint, err error)                 { panic("not yet") }
func decodeKeyXML(body []byte) (out KeyWrite, err error)                        { panic("not yet") }
func decodeTriggerXML(body []byte) (out TriggerWrite, err error)                { panic("not yet") }
func decodeUserXML(body []byte) (out UserWrite, err error)                      { panic("not yet") }
func appendFeedXML(b []byte, v Version, feed *Feed) []byte                      { panic("not yet") }
func appendFeedsXML(b []byte, v Version, list List, feeds []*Feed) []byte       { panic("not yet") }
func appendDatastreamXML(b []byte, v Version, feed *Feed, d *Datastream) []byte { panic("not yet") }
func appendDatapointXML(b []byte, v Version, feed *Feed, id string, p Datapoint) []byte {
	panic("not yet")
}
func appendKeyXML(b []byte, k *Key) []byte                  { panic("not yet") }
func appendKeysXML(b []byte, keys []Key) []byte             { panic("not yet") }
func appendTriggerXML(b []byte, t *Trigger) []byte          { panic("not yet") }
func appendTriggersXML(b []byte, triggers []Trigger) []byte { panic("not yet") }
func appendUserXML(b []byte, u *User) []byte                { panic("not yet") }
func appendUsersXML(b []byte, users []User) []byte          { panic("not yet") }
func appendErrorXML(b []byte, e *Error) []byte              { panic("not yet") }
