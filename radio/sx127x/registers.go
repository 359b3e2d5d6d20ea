package sx127x

// Registers in LoRa mode (datasheet, LoRa register table).
const (
	regFIFO            = 0x00
	regOpMode          = 0x01
	regFrf             = 0x06 // 3 bytes; the lowest one has it take effect
	regPaConfig        = 0x09
	regOcp             = 0x0b
	regLna             = 0x0c
	regFIFOAddrPtr     = 0x0d
	regFIFOBase        = 0x0e // of TX, then of RX
	regFIFORxCurrent   = 0x10
	regIRQMask         = 0x11
	regIRQFlags        = 0x12
	regRSSI            = 0x1b
	regModemConfig1    = 0x1d // then ModemConfig2, SymbTimeout, PreambleLength (2)
	regPayloadLength   = 0x22 // then MaxPayloadLength, HopPeriod
	regModemConfig3    = 0x26 // then PpmCorrection
	regFEI             = 0x28 // 3 bytes, frequency error
	regIfFreq1         = 0x2f // then IfFreq2, DetectOptimize; see errata 2.3
	regDetectOptimize  = 0x31
	regInvertIQ        = 0x33
	regHighBwOptimize1 = 0x36 // then DetectionThreshold; see errata 2.1
	regSyncWord        = 0x39
	regHighBwOptimize2 = 0x3a // see errata 2.1
	regInvertIQ2       = 0x3b
	regImageCal        = 0x3b // in FSK mode
	regDioMapping1     = 0x40
	regVersion         = 0x42
	regPaDac           = 0x4d
)

// Bits and values.
const (
	opLongRange    = 0x80
	opLowFrequency = 0x08 // for the port below 525 MHz
	opModes        = 0x07
	opSleep        = 0
	opStandby      = 1
	opTX           = 3
	opRXContinuous = 5

	irqRxDone   = 0x40
	irqCRCError = 0x20
	irqHeader   = 0x10
	irqTxDone   = 0x08
	// irqUnused masks RxTimeout, CadDone, FhssChangeChannel and CadDetected. It is
	// read back with the flags: a wire that is off reads as another value.
	irqUnused = 0x87

	dio0RxDone = 0x00
	dio0TxDone = 0x40

	imageCalStart   = 0xc2 // beside the values after a reset
	imageCalRunning = 0x20

	hopCrcOnPayload = 0x40

	bandwidth500 = 9
)

// bandwidths are bits 7 to 4 of ModemConfig1 by the bandwidth in Hz, and how far
// above the channel the receiver is tuned with it (errata 2.3), in Hz.
var bandwidths = map[uint32]struct {
	code  byte
	above uint32
}{
	7800: {0, 7810}, 10400: {1, 10420}, 15600: {2, 15620}, 20800: {3, 20830}, 31250: {4, 31250}, 41700: {5, 41670},
	62500: {6, 0}, 125000: {7, 0}, 250000: {8, 0}, 500000: {bandwidth500, 0},
}

// bands are the frequencies of the chip in Hz (datasheet, table of frequency bands), and whether
// they are on its low-frequency port.
var bands = []struct {
	low, high uint32
	lf        bool
}{
	{137e6, 175e6, true}, {410e6, 525e6, true}, {862e6, 1020e6, false},
}

// bandOf says on which port a frequency is; not ok: on none.
func bandOf(hz uint32) (lf, ok bool) {
	for _, b := range bands {
		if hz >= b.low && hz <= b.high {
			return b.lf, true
		}
	}
	return false, false
}
