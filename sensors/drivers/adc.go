package drivers

// adcFamily is the Family of the converters and of what reads their inputs:
// several items may share one converter, each with its own input.
const adcFamily = "adc"
