/** Pictures to and from the server. */
import type { Asset } from '../wire';
import { call, Unreachable } from './api';

const part = encodeURIComponent;

/** A file in a folder of the server, as `/view` names it. */
function place(name: string, folder: string): URLSearchParams {
  const cut = name.lastIndexOf('/');
  return new URLSearchParams({ filename: name.slice(cut + 1), subfolder: name.slice(0, Math.max(0, cut)), type: folder });
}

/** A picture of the input folder as it is; or made anew, of a kind that every browser shows, with (`rgba`) or without its transparency. */
export function inputAddress(name: string, channel?: 'rgb' | 'rgba'): string {
  const query = place(name, 'input');
  if (channel !== undefined) query.set('channel', channel);
  if (channel === 'rgb') query.set('preview', 'jpeg;95');
  if (channel === 'rgba') query.set('preview', 'webp;100');
  return `api/view?${query}`;
}

/** A small one, for lists and widgets. `most`: pixels on a side, on the screen. */
export function thumbnailOf(name: string, most: number): string {
  return `api/view?${place(name, 'input')}&${small(most)}`;
}

/** The same of something that a run made, by its address. Animations play only as they are, so these stay. */
export function smallAddress(url: string, most: number): string {
  const isStill = /filename=[^&]*\.(png|jpe?g)(&|$)/i.test(url);
  return isStill && url.includes('/view?') ? `${url}&${small(most)}` : url;
}

function small(most: number): string {
  return `preview=webp;80&fit=${Math.ceil(most * Math.min(3, Math.max(1, globalThis.devicePixelRatio ?? 1)))}`;
}

/** Raises Error with what the server says if the picture cannot be had. */
export async function loadPicture(url: string): Promise<HTMLImageElement> {
  const image = new Image();
  image.src = url;
  try {
    await image.decode();
    return image;
  } catch {
    throw new Error(await whyNot(url));
  }
}

/** Why an address shows no picture. */
export async function whyNot(url: string): Promise<string> {
  try {
    const blob = await call<unknown>('GET', url).then(() => null);
    return blob ?? 'This picture is damaged, or of a kind that the browser cannot show';
  } catch (error) {
    if (error instanceof SyntaxError) return 'This picture is damaged, or of a kind that the browser cannot show';
    return error instanceof Error ? error.message : String(error);
  }
}

export async function blobOf(url: string): Promise<Blob> {
  const response = await fetch(url).catch(() => {
    throw new Unreachable();
  });
  if (!response.ok) throw new Error(await whyNot(url));
  return response.blob();
}

export function uploadPicture(blob: Blob, name: string, folder = ''): Promise<Asset> {
  const query = `name=${part(name)}${folder ? `&folder=${part(folder)}` : ''}`;
  return call('POST', `api/v1/assets?${query}`, { blob, headers: { 'Content-Type': 'application/octet-stream' } });
}

/** Keeps a picture of the input folder with another transparency, as a new file. Returns its name. */
export async function uploadMask(original: string, transparency: Blob, name: string, folder: string): Promise<string> {
  const form = new FormData();
  form.set('image', transparency, name);
  form.set('original_ref', JSON.stringify(Object.fromEntries(place(original, 'input'))));
  form.set('subfolder', folder);
  form.set('type', 'input');
  const kept = await call<{ name: string; subfolder: string }>('POST', 'api/upload/mask', { blob: form });
  return kept.subfolder ? `${kept.subfolder}/${kept.name}` : kept.name;
}
