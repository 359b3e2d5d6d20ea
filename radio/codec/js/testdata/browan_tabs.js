// Browan TABS, TBHV110 on port 103 and TBWL100 on port 106.
var decoders = {
  103: function (b) {
    return {
      status: b[0] & 0x01,
      tempHumidChanged: b[0] >> 4 & 0x01,
      iaqChanged: b[0] >> 5 & 0x01,
      battery: (25 + (b[1] & 0x0f)) / 10,
      temperatureBoard: (b[2] & 0x7f) - 32,
      humidity: b[3] & 0x7f,
      eco2: b[5] << 8 | b[4],
      voc: b[7] << 8 | b[6],
      iaq: b[9] << 8 | b[8],
      temperature: (b[10] & 0x7f) - 32
    };
  },
  106: function (b) {
    return {
      status: b[0] & 0x01,
      battery: (25 + (b[1] & 0x0f)) / 10,
      temperatureBoard: (b[2] & 0x7f) - 32,
      humidity: b[3] & 0x7f,
      temperature: (b[4] & 0x7f) - 32
    };
  }
};

this.decodeUplink = function (input) {
  var decode = decoders[input.fPort];
  return decode ? {data: decode(input.bytes)} : {errors: ["unknown FPort"]};
};
