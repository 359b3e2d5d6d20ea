// Package js runs codecs that users write in JavaScript, in the forms that The
// Things Stack (TTN v2 and v3) and ChirpStack (v3 and v4) have. A script that
// works there works here unchanged.
//
// # Functions
//
// Of each row the first that a script has is called. They are functions of the
// script's global scope or of its module.exports.
//
//	up      decodeUplink({bytes, fPort, recvTime, variables}) -> {data, warnings, errors}
//	        Decode(fPort, bytes, variables) -> data          ChirpStack v3
//	        Decoder(bytes, port) -> data                     TTN v2
//	up, 2nd normalizeUplink({data}) -> {data, warnings, errors}
//	down    encodeDownlink({data, variables, fPort}) -> {bytes, fPort, warnings, errors}
//	        Encode(fPort, data, variables) -> bytes
//	        Encoder(data, port) -> bytes
//	back    decodeDownlink({bytes, fPort, variables}) -> {data, warnings, errors}
//
// bytes is a real Array of numbers, recvTime a Date (an invalid one while the
// gateway's clock is unset), variables an object of strings. A function may
// return a Promise that is settled by the time it returns. The data of a downlink
// has the commanded actuators by their names.
//
// # Values
//
// Each leaf of data is a value. Nested objects give names joined with "_":
// {gps: {fix: 3}} is gps_fix. One value each, in JSON, are arrays, typed arrays,
// and objects with latitude and longitude (or lat and lon, lng or long), which
// get the quantity Position. null is no value. NaN, the infinities, undefined,
// functions and symbols are dropped with a warning. Numbers and strings are
// exactly what JSON.stringify prints. Data that is no object is one value
// called "value".
//
// In names, '/', '+', '#', white space and control characters become "_"; one that
// is longer than 64 bytes is cut and ends in a hash of all of it. A name that is
// there already is dropped with a warning.
//
// An object {value, kind, quantity, unit, time, actuator}, in which only value
// must be there, is one value with its words. So is {value, unit, displayName},
// which several vendors give. Signs of units such as "°C" become Waziup's words.
// time (RFC 3339, a Date, or milliseconds since 1970) gives the value's age.
// What is in data.actuators are the states of actuators of those names, and so
// is a value with actuator: true.
//
// normalizeUplink gives measurements of TTN's payload schema. They are added to
// the values of data, as TTN does, under their names there (air_temperature),
// with Waziup's words; Options.Normalized changes that.
//
// # Bounds
//
// Every call has a runtime of its own: nothing is kept from one uplink to the
// next, nor between devices. There are no require, timers, files and network; eval
// and the Function constructor throw. A call is stopped after Options.Timeout,
// or when the heap grew by more than Options.Memory. Depth of calls, length of
// results, of console output and of the source are bounded too.
//
// goja stops scripts between instructions, not inside its built-in functions.
// Therefore loops over array elements that are not there look at a switch (see
// brake), and built-ins that make something of a size that the script names
// check it first (see guards.go). Regular expressions that backtrack end after
// MaxTimeout. What is left, such as Array.prototype methods on an object that
// only claims a length, ends in ErrStuck: the caller goes on, the codec is
// refused until the function has ended, and other codecs do not notice. The
// bounds are against mistakes; they are no sandbox for scripts of strangers.
//
// # Language
//
// ECMAScript 5.1 and nearly all of 6, with later things: classes with private
// fields, destructuring, spread, generators, async functions, ?. and ??, **,
// Map, Set, Symbol, Proxy, typed arrays, DataView, BigInt (shifts by at most 4096
// bits, powers up to 64), named groups and look-behind. Missing: ES modules
// (import, export), async generators, for await, the regular expression flag v,
// WeakRef, Intl, and what is not of the language: Buffer, TextDecoder, atob,
// structuredClone, setTimeout. toLocaleString knows no locales.
package js
