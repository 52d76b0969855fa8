/** A document becomes another one, as one step that can be undone. */
import type { Edit } from '../change';
import { same } from '../json';
import type { Doc } from '../model';

export function replaceDocument(anywhere: Edit, doc: Doc): void {
  const edit = anywhere.within(null);
  for (const key of Object.keys(edit.doc)) if (!Object.hasOwn(doc, key)) edit.remove([key]);
  for (const [key, value] of Object.entries(doc)) if (!same(edit.at([key]), value)) edit.set([key], value);
}
