/** Workflows from files: our JSON is read here, everything else with the server's help. What was lost is told once. */
import { isObject, type Json, parseJson } from '../document/json';
import { missingTypes } from '../document/missing';
import { checkDocument, type Doc, NotAWorkflow, titleOf } from '../document/model';
import { api } from '../network/api';
import { attempt } from './actions';
import { currentCatalog, newTab, show } from './editor';

const MOST_BYTES = 64 * 2 ** 20;

/** A file that was dropped or chosen. */
export async function importFile(file: File): Promise<void> {
  await attempt(async () => {
    if (file.size > MOST_BYTES) throw new NotAWorkflow([`${file.name} is too large: at most 64 MiB are taken`]);
    if (file.type.startsWith('image/')) await importWith(file, file);
    else await importText(await file.text(), file);
  });
}

async function importText(text: string, file: File): Promise<void> {
  let data: Json;
  try {
    data = parseJson(text.replace(/^\uFEFF/, ''));
  } catch (error) {
    throw new NotAWorkflow([error instanceof RangeError ? `${file.name} is nested too deeply` : `${file.name} is not JSON`]);
  }
  if (isObject(data) && 'nodegraph' in data) opened(checkDocument(data), file, 'nodegraph', []);
  else await importWith(data, file);
}

async function importWith(workflow: Json | Blob, file: File): Promise<void> {
  const found = await api.convert(workflow);
  opened(found.doc, file, found.format, found.warnings);
}

function opened(doc: Doc, file: File, format: string, warnings: readonly string[]): void {
  const title = file.name.replace(/\.\w+$/, '');
  newTab(titleOf(doc) === 'Untitled' ? { ...doc, meta: { ...doc.meta, title } } : doc);
  const missing = missingTypes(doc, currentCatalog());
  if (warnings.length > 0 || missing.length > 0) show({ kind: 'report', report: { file: file.name, format, warnings, missing } });
}
