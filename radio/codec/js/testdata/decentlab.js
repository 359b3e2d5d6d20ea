// Decentlab's frame: version, device id, flags, then 16-bit words for each group
// of sensors whose flag is set. Values with a name to show and a unit. Downlinks
// are a command, a parameter and a CRC-16/MODBUS.
class Frame {
  #view;
  #at = 0;

  constructor(bytes) {
    this.#view = new DataView(Uint8Array.from(bytes).buffer);
  }

  byte() {
    return this.#view.getUint8(this.#at++);
  }

  word() {
    const w = this.#view.getUint16(this.#at);
    this.#at += 2;
    return w;
  }
}

const battery = {battery_voltage: ["Battery voltage", "V", x => x[0] / 1000]};

const groups = {
  573: [
    [1, {temperature: ["Temperature", "°C", x => (x[0] - 32768) / 16]}],
    [1, battery]
  ],
  3005: [
    [1, battery],
    [2, {
      air_temperature: ["Air temperature", "°C", x => 175 * x[0] / 65535 - 45],
      air_humidity: ["Air humidity", "%", x => 100 * x[1] / 65535]
    }],
    [1, {barometric_pressure: ["Barometric pressure", "Pa", x => x[0] * 2]}],
    [2, {
      ambient_light_visible_infrared: ["Ambient light (visible + infrared)", , x => x[0]],
      ambient_light_infrared: ["Ambient light (infrared)", , x => x[1]],
      illuminance: ["Illuminance", "lx", x => Math.max(Math.max(1.0 * x[0] - 1.64 * x[1], 0.59 * x[0] - 0.86 * x[1]), 0) * 1.5504]
    }],
    [3, {
      co2_concentration: ["CO2 concentration", "ppm", x => x[0] - 32768],
      co2_sensor_status: ["CO2 sensor status", , x => x[1]],
      raw_ir_reading: ["Raw IR reading", , x => x[2]]
    }],
    [1, {activity_counter: ["Activity counter", , x => x[0]]}],
    [1, {total_voc: ["Total VOC", "ppb", x => x[0]]}]
  ]
};

function decodeUplink({bytes, fPort}) {
  const frame = new Frame(bytes);
  const version = frame.byte();
  if (version !== 2) {
    return {errors: [`protocol version ${version} doesn't match v2`]};
  }
  const id = frame.word();
  let flags = frame.word();
  const data = {protocol_version: version, device_id: id};
  for (const [words, values] of groups[id]) {
    if (flags & 1) {
      const x = Array.from({length: words}, () => frame.word());
      for (const [name, [displayName, unit, of]] of Object.entries(values)) {
        data[name] = {displayName, value: of(x)};
        if (unit) data[name].unit = unit;
      }
    }
    flags >>= 1;
  }
  return {data};
}

const commands = new Map([["set period", 0x0001], ["set period + save", 0x0002], ["set adr off", 0x0007], ["reset", 0xfefe]]);

const crc16 = bytes => bytes.reduce((crc, b) => {
  crc ^= b;
  for (let i = 0; i < 8; i++) crc = crc & 1 ? crc >> 1 ^ 0xa001 : crc >> 1;
  return crc;
}, 0xffff);

function encodeDownlink({data}) {
  const code = commands.get(data.command);
  if (code === undefined) {
    return {errors: [`unknown command ${data.command}`]};
  }
  const parameter = data.parameter ?? 0;
  const bytes = [code >> 8, code & 0xff, parameter >> 8 & 0xff, parameter & 0xff];
  const crc = crc16(bytes);
  return {bytes: [...bytes, crc >> 8, crc & 0xff], fPort: 1};
}

function decodeDownlink({bytes}) {
  const code = bytes[0] << 8 | bytes[1];
  const [command] = [...commands].find(([, c]) => c === code) ?? [];
  if (command === undefined) return {errors: ["unknown command"]};
  const parameter = bytes[2] << 8 | bytes[3];
  return {data: parameter ? {command, parameter} : {command}};
}
