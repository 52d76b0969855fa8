/** Pictures that are dropped on a node or pasted: they become its input, or that of a new node. */
import type { Point } from '../document/model';
import { pictureInputOf } from '../document/picture';
import { currentCatalog, currentDoc } from '../state/editor';
import { placePicture, uploadToNode } from '../state/pictures';

/** Whether a file was dropped on a node that takes it. */
export function dropOnNode(target: EventTarget | null, file: File | undefined): boolean {
  const node = target instanceof Element ? target.closest('.react-flow__node')?.getAttribute('data-id') : null;
  const input = node ? pictureInputOf(currentDoc(), currentCatalog(), node) : null;
  if (!node || input === null || file === undefined || /\.json$/i.test(file.name)) return false;
  void uploadToNode(node, input, file);
  return true;
}

/** Whether the clipboard held a picture: it goes into the selected loader, else into a new one. */
export function pastePicture(data: DataTransfer | null, at: Point): boolean {
  const file = [...(data?.files ?? [])].find((one) => one.type.startsWith('image/'));
  if (file === undefined) return false;
  void placePicture(file, at);
  return true;
}
