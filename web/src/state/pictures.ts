/** What can be done with pictures: looked at, chosen, painted on, taken as an input. */
import { setInput } from '../document/edits/links';
import { addNode } from '../document/edits/nodes';
import { get } from '../document/json';
import { asLink, type Doc, type Point } from '../document/model';
import { type Mask, maskOfPixels, transparencyOf } from '../document/painting/mask';
import { FOLDER, paintedName } from '../document/painting/names';
import { loaderIn, type PaintTarget, type Picture, pictureInputOf } from '../document/picture';
import { HEAD_BYTES, refusalOf } from '../document/sniff';
import { api } from '../network/api';
import { blobOf, inputAddress, loadPicture, uploadMask, uploadPicture } from '../network/pictures';
import type { Run } from '../wire';
import { attempt } from './actions';
import { currentCatalog, currentDoc, newTab, perform, select, selectedNodes, show, tabOf, tell, useEditor } from './editor';
import { titleAt } from './inside';
import { prefixOf } from './levels';
import { type RunState, useRuns } from './runs';

// ------------------------------------------------------------------------------------------------ looking

export function openViewer(pictures: readonly Picture[], at = 0): void {
  if (pictures.length > 0) show({ kind: 'viewer', pictures, at: Math.max(0, at) });
}

/** All pictures of the workflow in front, inputs and results, beginning with one of them. */
export function viewInTab(url: string): void {
  const pictures = picturesOfTab();
  openViewer(
    pictures,
    pictures.findIndex((picture) => picture.url === url),
  );
}

export function viewRun(run: Run): void {
  openViewer(picturesOfRun(run));
}

function picturesOfTab(): Picture[] {
  const { active } = useEditor.getState();
  const [doc, run] = [currentDoc(), useRuns.getState().byTab[active]];
  const prefix = prefixOf(tabOf(useEditor.getState()));
  return Object.keys(doc.nodes).flatMap((node) => {
    const label = titleOfNode(doc, node);
    return [...inputPictures(doc, node, label), ...(run === undefined ? [] : shownPictures(run, prefix + node))];
  });
}

/** What a node shows; of a subgraph what each node inside it shows. */
function shownPictures(run: RunState, id: string): Picture[] {
  const inside = Object.keys(run.nodes).filter((one) => one.startsWith(`${id}/`) && showsItself(run, one));
  return (inside.length > 0 ? inside : [id]).flatMap((one) => {
    const shown = (get(run.nodes, one)?.shown ?? []).filter((item) => item.url !== undefined && item.kind === 'image');
    return shown.map((item): Picture => ({ url: item.url!, name: item.name ?? '', label: titleAt(one), node: one, run: run.run }));
  });
}

/** Whether it is not a subgraph, which shows what was last shown inside. */
function showsItself(run: RunState, id: string): boolean {
  return get(run.nodes, id)?.shown !== undefined && !Object.keys(run.nodes).some((one) => one.startsWith(`${id}/`));
}

function inputPictures(doc: Doc, node: string, label: string): Picture[] {
  const input = pictureInputOf(doc, currentCatalog(), node);
  const file = input === null ? null : get(get(doc.nodes, node)?.inputs, input);
  return typeof file === 'string' && file !== '' ? [{ url: inputAddress(file), name: file, label, node, file }] : [];
}

function titleOfNode(doc: Doc, node: string): string {
  const entry = get(doc.nodes, node);
  return entry?.title || currentCatalog().spec(entry?.type ?? '')?.title || node;
}

/** What a run left, in the order of its nodes. */
export function picturesOfRun(run: Run): Picture[] {
  return Object.entries(run.outputs).flatMap(([node, items]) =>
    items.flatMap((item): Picture[] => {
      const file = item['file'] as { url?: unknown; name?: unknown } | undefined;
      if (item['kind'] !== 'image' || typeof file?.url !== 'string' || !file.url.startsWith('/')) return [];
      return [{ url: file.url, name: String(file.name ?? ''), node, run: run.id }];
    }),
  );
}

/** The workflow that made a picture: of its run, else the one inside the file. Raises ApiError if there is none. */
export async function workflowOf(picture: Picture): Promise<Doc> {
  if (picture.run !== undefined) return api.runWorkflow(picture.run);
  return (await api.convert(await blobOf(picture.url))).doc;
}

export async function loadWorkflowOf(picture: Picture): Promise<void> {
  const doc = await attempt(() => workflowOf(picture));
  if (doc === null) return;
  newTab(doc);
  show(null);
}

// ------------------------------------------------------------------------------------------------ choosing

export function chooseInput(node: string, input: string, file: string, label = 'Choose picture'): void {
  perform(label, (edit) => setInput(edit, node, input, file));
}

/** The name of a picture after it was put into the input folder; null, and told why, if it is none. */
export async function takePicture(file: File | Blob, name = file instanceof File ? file.name : 'picture.png'): Promise<string | null> {
  return attempt(async () => {
    const refusal = refusalOf(name, new Uint8Array(await file.slice(0, HEAD_BYTES).arrayBuffer()));
    if (refusal !== null) throw new Error(refusal);
    await checkDecodes(file, name);
    const kept = await uploadPicture(file, name);
    return kept.name;
  });
}

/** TIFF is read by nodes, but by few browsers. */
async function checkDecodes(file: Blob, name: string): Promise<void> {
  if (/\.tiff?$/i.test(name)) return;
  const bitmap = await createImageBitmap(file).catch(() => {
    throw new Error(`${name} is damaged: it cannot be read as a picture`);
  });
  bitmap.close();
}

export async function uploadToNode(node: string, input: string, file: File): Promise<void> {
  const name = await takePicture(file);
  if (name !== null && Object.hasOwn(currentDoc().nodes, node)) chooseInput(node, input, name);
}

/** The only selected node that names a picture, and the input that does. */
export function selectedLoader(): { node: string; input: string } | null {
  const found = selectedNodes().flatMap((node) => {
    const input = pictureInputOf(currentDoc(), currentCatalog(), node);
    return input === null ? [] : [{ node, input }];
  });
  return found.length === 1 ? found[0]! : null;
}

/** A picture from anywhere goes into the selected loader, else into a new one. */
export async function placePicture(file: File, at: Point): Promise<void> {
  const name = await takePicture(file);
  if (name === null) return;
  const loader = selectedLoader();
  if (loader !== null) chooseInput(loader.node, loader.input, name);
  else addLoader(name, at);
}

/** A new node that reads a picture from outside. */
export async function addPicture(file: File, at: Point): Promise<void> {
  const name = await takePicture(file);
  if (name !== null) addLoader(name, at);
}

/** Returns its id, null if no node type reads pictures. */
export function addLoader(file: string, at: Point): string | null {
  const kind = loaderIn(currentCatalog());
  const spec = kind && currentCatalog().spec(kind.type);
  if (!kind || !spec) return null;
  let id = '';
  perform(`Add ${spec.title}`, (edit) => {
    id = addNode(edit, spec, at, { [kind.input]: file });
  });
  select([id]);
  return id;
}

/** A copy in the input folder, for the selected loader if there is one. Returns its name. */
export async function sendToInput(picture: Picture): Promise<string | null> {
  const name = await inInput(picture);
  if (name === null) return null;
  const loader = selectedLoader();
  if (loader === null) {
    tell(`${name} is in the input folder`, 'info', 'Select a Load Image node before, and it is chosen there too.');
  } else {
    chooseInput(loader.node, loader.input, name);
    tell(`${name} is chosen in ${titleOfNode(currentDoc(), loader.node)}`);
  }
  return name;
}

async function inInput(picture: Picture): Promise<string | null> {
  if (picture.file !== undefined) return picture.file;
  return attempt(async () => (await uploadPicture(await blobOf(picture.url), plainName(picture.name))).name);
}

function plainName(name: string): string {
  return name.slice(name.lastIndexOf('/') + 1) || 'picture.png';
}

// ------------------------------------------------------------------------------------------------ painting

/** Opens the painting of a mask: on the picture of its loader, else on a copy in the input folder. */
export async function paintOn(picture: Picture): Promise<void> {
  if (picture.file !== undefined && picture.node !== undefined) {
    paintNode(picture.node);
    return;
  }
  const file = await inInput(picture);
  if (file === null) return;
  const loader = selectedLoader();
  show({ kind: 'paint', target: { file, node: loader?.node ?? null, input: loader?.input ?? '' } });
}

export function paintNode(node: string): void {
  const input = pictureInputOf(currentDoc(), currentCatalog(), node);
  const file = input === null ? undefined : get(get(currentDoc().nodes, node)?.inputs, input);
  if (input === null || typeof file !== 'string' || file === '' || asLink(file) !== null) tell('Choose a picture first');
  else show({ kind: 'paint', target: { file, node, input } });
}

/** Keeps the picture with its mask as a new file, and has the node read that: one step of undo. */
export async function savePainted(target: PaintTarget, mask: Mask): Promise<boolean> {
  const name = await attempt(async () => uploadMask(target.file, await pngOf(mask), paintedName(target.file, mask), FOLDER));
  if (name === null) return false;
  if (target.node !== null && Object.hasOwn(currentDoc().nodes, target.node)) chooseInput(target.node, target.input, name, 'Paint mask');
  else addLoader(name, freePlace());
  return true;
}

/** Right of everything. */
function freePlace(): Point {
  const places = Object.values(currentDoc().layout).map((place) => place.pos ?? [0, 0]);
  if (places.length === 0) return [0, 0];
  return [Math.min(...places.map(([x]) => x)), Math.min(...places.map(([, y]) => y)) - 320];
}

async function pngOf(mask: Mask): Promise<Blob> {
  const canvas = Object.assign(document.createElement('canvas'), { width: mask.width, height: mask.height });
  canvas.getContext('2d')!.putImageData(new ImageData(transparencyOf(mask), mask.width, mask.height), 0, 0);
  return encoded(canvas);
}

function encoded(canvas: HTMLCanvasElement): Promise<Blob> {
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob === null ? reject(new Error('This picture is too large for the browser')) : resolve(blob)), 'image/png');
  });
}

export const MOST_PAINTED = 64_000_000;

/**
 * A picture of the input folder, to be seen without its transparency, and the mask that this is. Raises Error.
 * What the browser can read itself is not made anew by the server, which takes seconds for large pictures.
 */
export async function openToPaint(file: string): Promise<{ picture: HTMLImageElement; mask: Mask }> {
  const plain = await loadPicture(inputAddress(file)).catch(() => loadPicture(inputAddress(file, 'rgba')));
  const { naturalWidth: width, naturalHeight: height } = plain;
  if (width * height > MOST_PAINTED) {
    throw new Error(`${file} has ${width} × ${height} pixels; at most ${MOST_PAINTED / 1e6} million can be painted on`);
  }
  const canvas = Object.assign(document.createElement('canvas'), { width, height });
  const context = canvas.getContext('2d', { willReadFrequently: true })!;
  context.drawImage(plain, 0, 0);
  const mask = maskOfPixels(canvas, context.getImageData(0, 0, width, height).data);
  return { picture: mask.isEmpty() ? plain : await loadPicture(inputAddress(file, 'rgb')), mask };
}

// ------------------------------------------------------------------------------------------------ copying

/** As PNG, which is what other programs take from the clipboard. */
export async function copyPicture(picture: Picture): Promise<void> {
  await attempt(async () => {
    if (!('ClipboardItem' in globalThis) || navigator.clipboard === undefined) {
      throw new Error('The browser lets pages copy pictures only from https addresses and from this machine itself');
    }
    await navigator.clipboard.write([new ClipboardItem({ 'image/png': asPng(picture.url) })]);
    tell('Copied the picture');
  });
}

async function asPng(url: string): Promise<Blob> {
  const blob = await blobOf(url);
  if (blob.type === 'image/png') return blob;
  const picture = await createImageBitmap(blob);
  const canvas = Object.assign(document.createElement('canvas'), { width: picture.width, height: picture.height });
  canvas.getContext('2d')!.drawImage(picture, 0, 0);
  return encoded(canvas);
}
