/** What a file is, by its first bytes, whatever its name says. */

const KINDS: readonly { readonly name: string; readonly taken: boolean; readonly begins: (text: string) => boolean }[] = [
  { name: 'PNG', taken: true, begins: (text) => text.startsWith('\x89PNG\r\n\x1a\n') },
  { name: 'JPEG', taken: true, begins: (text) => text.startsWith('\xff\xd8\xff') },
  { name: 'WebP', taken: true, begins: (text) => text.startsWith('RIFF') && text.startsWith('WEBP', 8) },
  { name: 'GIF', taken: true, begins: (text) => /^GIF8[79]a/.test(text) },
  { name: 'BMP', taken: true, begins: (text) => text.startsWith('BM') },
  { name: 'TIFF', taken: true, begins: (text) => text.startsWith('II*\0') || text.startsWith('MM\0*') },
  { name: 'AVIF', taken: false, begins: (text) => text.startsWith('ftypavi', 4) },
  { name: 'HEIC', taken: false, begins: (text) => /^ftyp(hei|hev|mif1|msf1)/.test(text.slice(4)) },
  { name: 'SVG', taken: false, begins: (text) => /^\s*(<\?xml[^>]*>\s*)?(<!--[\s\S]*?-->\s*)?(<!DOCTYPE svg[^>]*>\s*)?<svg/i.test(text) },
  { name: 'PDF', taken: false, begins: (text) => text.startsWith('%PDF') },
  { name: 'a film', taken: false, begins: (text) => text.startsWith('ftyp', 4) || text.startsWith('\x1a\x45\xdf\xa3') },
];
export const HEAD_BYTES = 512;
const TAKEN = KINDS.filter((kind) => kind.taken).map((kind) => kind.name);

/** What keeps a file from being a picture that nodes can read, in words for the user; null if nothing does. */
export function refusalOf(name: string, head: Uint8Array): string | null {
  if (head.length === 0) return `${name} is empty`;
  const text = String.fromCharCode(...head.subarray(0, HEAD_BYTES));
  const kind = KINDS.find((one) => one.begins(text));
  if (kind?.taken) return null;
  const takes = `pictures are taken as ${TAKEN.slice(0, -1).join(', ')} or ${TAKEN[TAKEN.length - 1]}`;
  return kind === undefined ? `${name} is not a picture: ${takes}` : `${name} is ${kind.name}; ${takes}`;
}

const HOLDERS = ['nodegraph', 'workflow', 'prompt'];

/** Whether a picture may carry a workflow: what carries one names it in plain letters. */
export function mayHoldWorkflow(bytes: Uint8Array): boolean {
  return HOLDERS.some((word) => includes(bytes, word));
}

function includes(bytes: Uint8Array, word: string): boolean {
  const codes = Uint8Array.from(word, (sign) => sign.charCodeAt(0));
  for (let at = bytes.indexOf(codes[0]!); at >= 0; at = bytes.indexOf(codes[0]!, at + 1)) {
    if (codes.every((code, i) => bytes[at + i] === code)) return true;
  }
  return false;
}
