// Elsys ERS: type and value, one after the other; arrow functions and a table in
// module.exports.
const types = {
  0x01: ["temperature", 2, v => (v << 16 >> 16) / 10],
  0x02: ["humidity", 1, v => v],
  0x04: ["light", 2, v => v],
  0x05: ["motion", 1, v => v],
  0x06: ["co2", 2, v => v],
  0x07: ["vdd", 2, v => v]
};

const decode = bytes => {
  const data = {}, warnings = [];
  for (let i = 0; i < bytes.length;) {
    const type = types[bytes[i++]];
    if (!type) {
      warnings.push(`something wrong with data at byte ${i - 1}`);
      break;
    }
    const [name, length, of] = type;
    data[name] = of(bytes.slice(i, i + length).reduce((v, b) => v * 256 + b, 0));
    i += length;
  }
  return {data, warnings};
};

module.exports = {decodeUplink: input => decode(input.bytes)};
