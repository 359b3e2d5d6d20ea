package drivers

import "context"

// adcFamily is the Family of the converters and of what reads their inputs:
// several items may share one converter, each with its own input.
const adcFamily = "adc"

// adc is one input of an analogue-to-digital converter.
type adc interface {
	// volts measures once.
	volts(ctx context.Context) (float64, error)
	// Close lets go of the bus.
	Close() error
}
