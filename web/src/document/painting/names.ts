/** How files with painted masks are called. */
import type { Mask } from './mask';

export const FOLDER = 'painted';

/** A name for a picture with this mask: another mask gives another one, and painting again does not make it longer. */
export function paintedName(original: string, mask: Mask): string {
  const base = original.slice(original.lastIndexOf('/') + 1).replace(/\.[^.]*$/, '');
  const plain = base.replace(/-mask-[0-9a-f]{8}( \(\d+\))?$/, '') || 'picture';
  return `${plain.slice(0, 80)}-mask-${digest(mask)}.png`;
}

/** FNV-1a, 32 bit: names need no secrecy, and a clash is settled by the server, which never overwrites. */
function digest(mask: Mask): string {
  let hash = 0x811c9dc5;
  const mix = (byte: number): void => {
    hash = Math.imul(hash ^ byte, 0x01000193);
  };
  for (const byte of [mask.width & 255, mask.width >> 8, mask.height & 255, mask.height >> 8]) mix(byte);
  for (const byte of mask.data) mix(byte);
  return (hash >>> 0).toString(16).padStart(8, '0');
}
