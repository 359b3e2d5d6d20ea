// Milesight EM300-TH: channel, type, value; TTN v2's entry beside v3's.
var readInt16LE = function (b) {
  var v = b[1] << 8 | b[0];
  return v > 0x7fff ? v - 0x10000 : v;
};

function Decoder(bytes, port) {
  var decoded = {};
  for (var i = 0; i < bytes.length;) {
    var id = bytes[i++], type = bytes[i++];
    if (id === 0x01 && type === 0x75) {
      decoded.battery = bytes[i];
      i += 1;
    } else if (id === 0x03 && type === 0x67) {
      decoded.temperature = readInt16LE(bytes.slice(i, i + 2)) / 10;
      i += 2;
    } else if (id === 0x04 && type === 0x68) {
      decoded.humidity = bytes[i] / 2;
      i += 1;
    } else if (id === 0x20 && type === 0xce) {
      var p = {timestamp: (bytes[i + 3] << 24 | bytes[i + 2] << 16 | bytes[i + 1] << 8 | bytes[i]) >>> 0};
      p.temperature = readInt16LE(bytes.slice(i + 4, i + 6)) / 10;
      p.humidity = bytes[i + 6] / 2;
      (decoded.history = decoded.history || []).push(p);
      i += 7;
    } else {
      break;
    }
  }
  return decoded;
}

function decodeUplink(input) {
  return {data: Decoder(input.bytes, input.fPort)};
}

function normalizeUplink(input) {
  return {
    data: [
      {air: {temperature: input.data.temperature, relativeHumidity: input.data.humidity}},
      {battVolt: input.data.battery}
    ]
  };
}
