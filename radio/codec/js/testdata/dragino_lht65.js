// Dragino LHT65, in the form that runs on The Things Stack and on ChirpStack v3
// and v4.
function Decode(fPort, bytes, variables) {
  var data = {};
  data.BatV = ((bytes[0] << 8 | bytes[1]) & 0x3fff) / 1000;
  data.Bat_status = bytes[0] >> 6;
  data.TempC_SHT = parseFloat(((bytes[2] << 24 >> 16 | bytes[3]) / 100).toFixed(2));
  data.Hum_SHT = parseFloat((((bytes[4] << 8 | bytes[5]) & 0xfff) / 10).toFixed(1));
  switch (bytes[6]) {
    case 1:
      data.Ext_sensor = "Temperature Sensor";
      data.TempC_DS = parseFloat(((bytes[7] << 24 >> 16 | bytes[8]) / 100).toFixed(2));
      break;
    case 5:
      data.Ext_sensor = "Illumination Sensor";
      data.ILL_lx = bytes[7] << 8 | bytes[8];
      break;
    default:
      data.Ext_sensor = "None";
  }
  return data;
}

function decodeUplink(input) {
  if (input.fPort !== 2) {
    return {errors: ["unknown FPort"]};
  }
  return {data: Decode(input.fPort, input.bytes, input.variables)};
}
