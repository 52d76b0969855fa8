/** Texts inside PNG pictures, so that a picture of a workflow can be opened as that workflow again. */

const HEAD = 8 + 25; // signature and IHDR

/** The picture with a text under a key, of ASCII letters both; behind its head, where every reader looks. */
export function withText(png: Uint8Array, key: string, text: string): Uint8Array {
  const data = ascii(`${key}\0${text}`);
  const chunk = new Uint8Array(12 + data.length);
  const view = new DataView(chunk.buffer);
  view.setUint32(0, data.length);
  chunk.set(ascii('tEXt'), 4);
  chunk.set(data, 8);
  view.setUint32(8 + data.length, crc32(chunk.subarray(4, 8 + data.length)));
  const found = new Uint8Array(png.length + chunk.length);
  found.set(png.subarray(0, HEAD));
  found.set(chunk, HEAD);
  found.set(png.subarray(HEAD), HEAD + chunk.length);
  return found;
}

/** JSON with every other letter as `\uXXXX`. */
export function asciiJson(json: string): string {
  return json.replace(/[\u0080-\uffff]/g, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0) & 0x7f);
}

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let value = n;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

export function crc32(data: Uint8Array): number {
  let value = 0xffffffff;
  for (const byte of data) value = TABLE[(value ^ byte) & 0xff]! ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}
