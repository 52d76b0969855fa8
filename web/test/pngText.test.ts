import { describe, expect, it } from 'vitest';
import { asciiJson, crc32, withText } from '../src/document/pngText';

/** The smallest PNG: one grey pixel. */
const PIXEL = Uint8Array.from(
  atob('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=='),
  (letter) => letter.charCodeAt(0),
);

/** Name, contents and check of every chunk. */
function chunks(png: Uint8Array): { type: string; text: string; sound: boolean }[] {
  const found = [];
  const view = new DataView(png.buffer);
  for (let at = 8; at < png.length; ) {
    const size = view.getUint32(at);
    const body = png.subarray(at + 4, at + 8 + size);
    const text = String.fromCharCode(...body);
    found.push({ type: text.slice(0, 4), text: text.slice(4), sound: view.getUint32(at + 8 + size) === crc32(body) });
    at += 12 + size;
  }
  return found;
}

describe('text in a PNG', () => {
  it('has a check that others agree with', () => {
    expect(crc32(new TextEncoder().encode('123456789'))).toBe(0xcbf43926);
    expect(chunks(PIXEL).every((one) => one.sound)).toBe(true);
  });

  it('stands behind the head and leaves the rest as it was', () => {
    const json = asciiJson(JSON.stringify({ title: 'Füchse 狐 \u{1f98a}' }));
    const found = chunks(withText(PIXEL, 'nodegraph', json));
    expect(found.map((one) => one.type)).toEqual(['IHDR', 'tEXt', 'IDAT', 'IEND']);
    expect(found.every((one) => one.sound)).toBe(true);
    const [key, text] = found[1]!.text.split('\0');
    expect(key).toBe('nodegraph');
    expect(JSON.parse(text!)).toEqual({ title: 'Füchse 狐 \u{1f98a}' });
  });
});
