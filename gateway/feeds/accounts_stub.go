package feeds

import (
	"context"

	"fieldgate/gateway"
)

// triggers watches datastreams.
type triggers struct{}

// observe takes in a new present value of a sensor. It does not block.
func (t *triggers) observe(d *gateway.Device, r *gateway.Record) { panic("not yet") }

// run sends notifications until ctx ends.
func (t *triggers) run(ctx context.Context) { panic("not yet") }

func (a *API) listKeys(c *call)      { panic("not yet") }
func (a *API) createKey(c *call)     { panic("not yet") }
func (a *API) getKey(c *call)        { panic("not yet") }
func (a *API) putKey(c *call)        { panic("not yet") }
func (a *API) deleteKey(c *call)     { panic("not yet") }
func (a *API) regenerateKey(c *call) { panic("not yet") }
func (a *API) listTriggers(c *call)  { panic("not yet") }
func (a *API) createTrigger(c *call) { panic("not yet") }
func (a *API) getTrigger(c *call)    { panic("not yet") }
func (a *API) putTrigger(c *call)    { panic("not yet") }
func (a *API) deleteTrigger(c *call) { panic("not yet") }
func (a *API) listUsers(c *call)     { panic("not yet") }
func (a *API) createUser(c *call)    { panic("not yet") }
func (a *API) getUser(c *call)       { panic("not yet") }
func (a *API) putUser(c *call)       { panic("not yet") }
func (a *API) deleteUser(c *call)    { panic("not yet") }
func (a *API) listProducts(c *call)  { panic("not yet") }
func (a *API) createProduct(c *call) { panic("not yet") }
func (a *API) getProduct(c *call)    { panic("not yet") }
func (a *API) putProduct(c *call)    { panic("not yet") }
func (a *API) deleteProduct(c *call) { panic("not yet") }
func (a *API) listDevices(c *call)   { panic("not yet") }
func (a *API) createDevices(c *call) { panic("not yet") }
func (a *API) getDevice(c *call)     { panic("not yet") }
func (a *API) putDevice(c *call)     { panic("not yet") }
func (a *API) deleteDevice(c *call)  { panic("not yet") }
func (a *API) activate(c *call)      { panic("not yet") }
