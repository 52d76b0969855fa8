/** The workflow in front as a file. */

import { writeJson } from '../document/json';
import { type Doc, titleOf, writeDocument } from '../document/model';
import { api } from '../network/api';
import { attempt } from './actions';
import { currentCatalog, currentDoc, currentWhole, tabOf, titleOfTab, useEditor } from './editor';
import { drawGraph } from './graphPicture';
import { runOf } from './inside';
import { useRuns } from './runs';

export function download(name: string, content: string | Blob, type = 'application/json'): void {
  const url = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
  const anchor = Object.assign(document.createElement('a'), { href: url, download: name });
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** What the file is called: names of workflows may have what names of files may not. */
export function fileName(doc: Doc, ending: string): string {
  const tab = tabOf(useEditor.getState());
  const title = tab?.history.doc === doc ? titleOfTab(tab) : titleOf(doc);
  const plain = Array.from(title, (letter) => (letter < ' ' || '<>:"/\\|?*'.includes(letter) ? '_' : letter)).join('');
  return `${plain.replace(/^\.+|[. ]+$/g, '').slice(0, 80) || 'workflow'}.${ending}`;
}

export function exportJson(): void {
  const doc = currentWhole();
  download(fileName(doc, 'json'), `${writeDocument(doc)}\n`);
}

export async function exportComfy(): Promise<void> {
  const doc = currentWhole();
  await attempt(async () => download(fileName(doc, 'api.json'), `${writeJson(await api.toComfy(doc), 2)}\n`));
}

export async function exportScript(): Promise<void> {
  const doc = currentWhole();
  await attempt(async () => download(fileName(doc, 'py'), await api.script(doc), 'text/x-python'));
}

export async function exportPicture(): Promise<void> {
  const [doc, whole] = [currentDoc(), currentWhole()];
  await attempt(async () => download(fileName(whole, 'png'), await drawGraph(doc, currentCatalog(), await shownPictures(doc), whole)));
}

/** The first picture of each node that shows one, where one looks. */
async function shownPictures(doc: Doc): Promise<Map<string, ImageBitmap>> {
  const runs = useRuns.getState();
  const found = await Promise.all(
    Object.keys(doc.nodes).map(async (id): Promise<[string, ImageBitmap][]> => {
      const url = runOf(runs, id)?.shown?.find((item) => item.kind === 'image' && item.url !== undefined)?.url;
      if (url === undefined) return [];
      const picture = await fetch(url)
        .then(async (answer) => createImageBitmap(await answer.blob()))
        .catch(() => null);
      return picture === null ? [] : [[id, picture]];
    }),
  );
  return new Map(found.flat());
}
