package feeds

import (
	"net/http"

	"fieldgate/gateway/xively"
)

// handler answers one call.
type handler func(*call)

// routes are what can be done with each resource. HEAD is a GET whose body the
// door leaves out.
func (a *API) routes() map[xively.Resource]map[string]handler {
	const get, put, post, del = http.MethodGet, http.MethodPut, http.MethodPost, http.MethodDelete
	return map[xively.Resource]map[string]handler{
		xively.ResourceFeeds:         {get: a.listFeeds, post: a.createFeed},
		xively.ResourceFeed:          {get: a.getFeed, put: a.putFeed, del: a.deleteFeed},
		xively.ResourceDatastreams:   {get: a.listDatastreams, post: a.createDatastreams},
		xively.ResourceDatastream:    {get: a.getDatastream, put: a.putDatastream, del: a.deleteDatastream},
		xively.ResourceDatapoints:    {get: a.listDatapoints, post: a.createDatapoints, del: a.deleteDatapoints},
		xively.ResourceDatapoint:     {get: a.getDatapoint, put: a.putDatapoint, del: a.deleteDatapoint},
		xively.ResourceKeys:          {get: a.listKeys, post: a.createKey},
		xively.ResourceKey:           {get: a.getKey, put: a.putKey, del: a.deleteKey},
		xively.ResourceKeyRegenerate: {post: a.regenerateKey},
		xively.ResourceTriggers:      {get: a.listTriggers, post: a.createTrigger},
		xively.ResourceTrigger:       {get: a.getTrigger, put: a.putTrigger, del: a.deleteTrigger},
		xively.ResourceUsers:         {get: a.listUsers, post: a.createUser},
		xively.ResourceUser:          {get: a.getUser, put: a.putUser, del: a.deleteUser},
		xively.ResourceProducts:      {get: a.listProducts, post: a.createProduct},
		xively.ResourceProduct:       {get: a.getProduct, put: a.putProduct, del: a.deleteProduct},
		xively.ResourceDevices:       {get: a.listDevices, post: a.createDevices},
		xively.ResourceDevice:        {get: a.getDevice, put: a.putDevice, del: a.deleteDevice},
		xively.ResourceActivation:    {get: a.activate},
	}
}
