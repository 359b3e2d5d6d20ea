package sim

import "slices"

// Opcodes (section 11).
const (
	opResetStats        = 0x00
	opClearIrqStatus    = 0x02
	opClearDeviceErrors = 0x07
	opSetDioIrqParams   = 0x08
	opWriteRegister     = 0x0d
	opWriteBuffer       = 0x0e
	opGetStats          = 0x10
	opGetPacketType     = 0x11
	opGetIrqStatus      = 0x12
	opGetRxBufferStatus = 0x13
	opGetPacketStatus   = 0x14
	opGetRssiInst       = 0x15
	opGetDeviceErrors   = 0x17
	opReadRegister      = 0x1d
	opReadBuffer        = 0x1e
	opSetStandby        = 0x80
	opSetRx             = 0x82
	opSetTx             = 0x83
	opSetSleep          = 0x84
	opSetRfFrequency    = 0x86
	opCalibrate         = 0x89
	opSetPacketType     = 0x8a
	opSetModulation     = 0x8b
	opSetPacketParams   = 0x8c
	opSetTxParams       = 0x8e
	opSetBufferBase     = 0x8f
	opSetFallback       = 0x93
	opSetPaConfig       = 0x95
	opSetRegulator      = 0x96
	opSetDIO3AsTCXO     = 0x97
	opCalibrateImage    = 0x98
	opSetDIO2AsSwitch   = 0x9d
	opGetStatus         = 0xc0
	opSetFs             = 0xc1
)

// sx1262Command is how a command has to be used.
type sx1262Command struct {
	name   string
	length int // of its parameters; -n: at least n
	// rc and standby: allowed in these modes only.
	rc, standby bool
	// lora: after SetPacketType.
	lora bool
}

var sx1262Commands = map[byte]sx1262Command{
	opResetStats:        {"ResetStats", 6, false, false, false},
	opClearIrqStatus:    {"ClearIrqStatus", 2, false, false, false},
	opClearDeviceErrors: {"ClearDeviceErrors", 2, false, false, false},
	opSetDioIrqParams:   {"SetDioIrqParams", 8, false, true, false},
	opWriteRegister:     {"WriteRegister", -3, false, false, false},
	opWriteBuffer:       {"WriteBuffer", -2, false, false, false},
	opGetStats:          {"GetStats", 7, false, false, false},
	opGetPacketType:     {"GetPacketType", 2, false, false, false},
	opGetIrqStatus:      {"GetIrqStatus", 3, false, false, false},
	opGetRxBufferStatus: {"GetRxBufferStatus", 3, false, false, false},
	opGetPacketStatus:   {"GetPacketStatus", 4, false, false, false},
	opGetRssiInst:       {"GetRssiInst", 2, false, false, false},
	opGetDeviceErrors:   {"GetDeviceErrors", 3, false, false, false},
	opReadRegister:      {"ReadRegister", -4, false, false, false},
	opReadBuffer:        {"ReadBuffer", -3, false, false, false},
	opSetStandby:        {"SetStandby", 1, false, false, false},
	opSetRx:             {"SetRx", 3, false, false, true},
	opSetTx:             {"SetTx", 3, false, false, true},
	opSetSleep:          {"SetSleep", 1, false, true, false},
	opSetRfFrequency:    {"SetRfFrequency", 4, false, true, true},
	opCalibrate:         {"Calibrate", 1, true, true, false},
	opSetPacketType:     {"SetPacketType", 1, false, true, false},
	opSetModulation:     {"SetModulationParams", 4, false, true, true},
	opSetPacketParams:   {"SetPacketParams", 6, false, true, true},
	opSetTxParams:       {"SetTxParams", 2, false, true, true},
	opSetBufferBase:     {"SetBufferBaseAddress", 2, false, true, false},
	opSetFallback:       {"SetRxTxFallbackMode", 1, false, true, false},
	opSetPaConfig:       {"SetPaConfig", 4, false, true, true},
	opSetRegulator:      {"SetRegulatorMode", 1, true, true, false},
	opSetDIO3AsTCXO:     {"SetDIO3AsTCXOCtrl", 4, true, true, false},
	opCalibrateImage:    {"CalibrateImage", 2, true, true, false},
	opSetDIO2AsSwitch:   {"SetDIO2AsRfSwitchCtrl", 1, false, true, false},
	opGetStatus:         {"GetStatus", 1, false, false, false},
	opSetFs:             {"SetFs", 0, false, false, false},
}

// The status byte's command status (section 13.5.1).
const (
	cmdNone      = 1
	cmdData      = 2
	cmdWrong     = 4
	cmdCannot    = 5
	cmdTxDone    = 6
	noTimeout    = 0x000000
	endless      = 0xffffff
	fallbackXOSC = 0x30
	fallbackFS   = 0x40
)

// execute does what was written, at the end of the transaction.
func (c *SX1262) execute(op byte, p []byte) {
	k, ok := sx1262Commands[op]
	switch {
	case !ok:
		c.violate("opcode 0x%02x", op)
		c.command = cmdWrong
		return
	case k.length >= 0 && len(p) != k.length, k.length < 0 && len(p) < -k.length:
		c.violate("%s with %d bytes", k.name, len(p))
		c.command = cmdWrong
		return
	case k.rc && c.mode != sx1262RC, k.standby && c.mode != sx1262RC && c.mode != sx1262XOSC:
		c.violate("%s in %v", k.name, c.mode)
		c.command = cmdCannot
		return
	case k.lora && len(c.set[opSetPacketType]) != 1:
		c.violate("%s before SetPacketType", k.name)
	}
	if op >= 0x80 && op < opGetStatus || op == opSetDioIrqParams {
		c.set[op] = slices.Clone(p)
		c.command = cmdNone
	}
	switch op {
	case opSetStandby, opSetFs, opSetRx, opSetTx, opSetSleep:
		c.operate(op, p)
	case opCalibrate, opCalibrateImage, opSetDIO3AsTCXO:
		c.calibrate(op, p)
	case opWriteRegister:
		for i, v := range p[2:] {
			c.memory[(int(p[0])<<8+int(p[1])+i)%len(c.memory)] = v
		}
	case opWriteBuffer:
		for i, v := range p[1:] {
			c.buffer[byte(int(p[0])+i)] = v
		}
	case opSetDioIrqParams:
		c.irqMask, c.dio1Mask = word(p), word(p[2:])
		c.raise(0)
	case opClearIrqStatus:
		c.irq &^= word(p)
		c.raise(0)
	case opClearDeviceErrors:
		c.errors = 0
	case opResetStats:
		c.stats = [3]uint16{}
	case opSetPacketType:
		if p[0] != 1 {
			c.violate("SetPacketType %d: only LoRa is simulated", p[0])
		}
	case opSetRfFrequency:
		copy(c.memory[regFrequency:], p)
	case opSetPaConfig:
		c.amplifier(p)
	case opSetPacketParams:
		// It spoils what section 15.4 asks for, whichever is right.
		c.memory[regIQ] &^= 4
		if p[5] != 0 {
			c.memory[regIQ] |= 4
		}
	}
}

// word reads 16 bits.
func word(p []byte) uint16 { return uint16(p[0])<<8 | uint16(p[1]) }

// operate changes the mode.
func (c *SX1262) operate(op byte, p []byte) {
	to := map[byte]sx1262Mode{opSetFs: sx1262FS, opSetRx: sx1262RX, opSetTx: sx1262TX, opSetSleep: sx1262Sleep}[op]
	if op == opSetStandby {
		to = sx1262RC
		if p[0]&1 != 0 {
			to = sx1262XOSC
		}
	}
	from := c.mode
	if from == sx1262TX {
		c.antenna.Stop()
	}
	if to == sx1262Sleep {
		c.change(to, 0)
		c.lower()
		return
	}
	busy := switching[[2]sx1262Mode{from, to}]
	if to != sx1262RC {
		if !c.oscillates() {
			c.errors |= errXOSCStart
			c.command = cmdCannot
			c.change(sx1262RC, 0)
			return
		}
		if from == sx1262RC {
			busy += c.tcxoDelay()
		}
	}
	switch to {
	case sx1262RX:
		c.receive(p, busy)
	case sx1262TX:
		c.transmit(p, busy)
	default:
		c.change(to, busy)
	}
}

// calibrate is what needs or concerns the oscillator.
func (c *SX1262) calibrate(op byte, p []byte) {
	switch op {
	case opSetDIO3AsTCXO:
		c.calOK = false // what was calibrated before is not worth anything
	case opCalibrate:
		c.calibrated(p[0] == 0x7f)
		c.occupy(sx1262Calibrate + c.tcxoDelay())
	case opCalibrateImage:
		c.calFrom, c.calTo = uint32(p[0])*4e6, uint32(p[1])*4e6
		c.calibrated(false)
		c.occupy(sx1262Image + c.tcxoDelay())
	}
}

// amplifier checks SetPaConfig (section 13.1.14), which sets the limit of current
// anew.
func (c *SX1262) amplifier(p []byte) {
	small := c.o.Model == "SX1261"
	if small != (p[2] == 1) || p[2] > 1 {
		c.violate("SetPaConfig for another chip than %s", c.o.Model)
	}
	if p[3] != 1 {
		c.violate("SetPaConfig with paLut %d", p[3])
	}
	if p[0] > 4 && !small || p[0] > 7 || p[1] > 7 {
		c.violate("SetPaConfig with duty cycle %d and hpMax %d", p[0], p[1])
	}
	c.memory[regOCP] = 0x38
	if small {
		c.memory[regOCP] = 0x18
	}
}
