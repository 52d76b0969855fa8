/** Pictures that are dropped or pasted: they become the input of a node that is there, or of a new one. */
import type { Point } from '../document/model';
import { PICTURE_NAME, pictureInputOf } from '../document/picture';
import { mayHoldWorkflow } from '../document/sniff';
import { currentCatalog, currentDoc } from '../state/editor';
import { importFile } from '../state/imports';
import { addPicture, placePicture, uploadToNode } from '../state/pictures';

/** Files dropped from outside: on a node that takes a picture, else workflows are opened and other pictures get a node to read them. */
export async function dropFiles(target: EventTarget | null, files: readonly File[], at: Point): Promise<void> {
  const node = target instanceof Element ? target.closest('.react-flow__node')?.getAttribute('data-id') : null;
  const input = node ? pictureInputOf(currentDoc(), currentCatalog(), node) : null;
  const [first] = files;
  if (node && input !== null && first !== undefined && !/\.json$/i.test(first.name)) {
    await uploadToNode(node, input, first);
    return;
  }
  let place = at;
  for (const file of files) {
    if (await isPlainPicture(file)) {
      await addPicture(file, place);
      place = [place[0] + STEP, place[1] + STEP];
    } else await importFile(file);
  }
}

const STEP = 32;

async function isPlainPicture(file: File): Promise<boolean> {
  if (!file.type.startsWith('image/') && !PICTURE_NAME.test(file.name)) return false;
  return file.size < MOST_READ && !mayHoldWorkflow(new Uint8Array(await file.arrayBuffer()));
}

const MOST_READ = 512 * 2 ** 20;

/** Whether the clipboard held a picture: it goes into the selected loader, else into a new one. */
export function pastePicture(data: DataTransfer | null, at: Point): boolean {
  const file = [...(data?.files ?? [])].find((one) => one.type.startsWith('image/'));
  if (file === undefined) return false;
  void placePicture(file, at);
  return true;
}
