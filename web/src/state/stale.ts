/** Somebody else saved the same workflow meanwhile: what both did is put together, or one of them is kept beside. */
import { replaceDocument } from '../document/edits/whole';
import { merge, type Side } from '../document/merge';
import type { Doc } from '../document/model';
import { ApiError, api } from '../network/api';
import type { Kept } from '../wire';
import { markSaved, performOn, useEditor } from './editor';
import { saveAs } from './files';

export interface Stale {
  readonly mine: Doc;
  /** null: it was deleted */
  readonly theirs: { readonly doc: Doc; readonly kept: Kept } | null;
  /** what both began with; null if that is not known any more */
  readonly base: Doc | null;
}

/** `tab`: what could not be saved under `name`. */
export async function readStale(tab: string, name: string): Promise<Stale> {
  const open = useEditor.getState().tabs.find((one) => one.id === tab);
  if (open === undefined) throw new Error('This workflow is not open any more.');
  const mine = open.history.doc;
  const theirs = await api.workflow(name).catch((error: unknown) => {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  });
  const began = open.name === name && open.etag !== null && theirs !== null ? await versionWith(name, open.etag) : null;
  return { mine, theirs, base: began };
}

async function versionWith(name: string, etag: string): Promise<Doc | null> {
  const found = (await api.versions(name)).find((one) => one.etag === etag);
  return found === undefined ? null : api.version(name, found.version);
}

/** Puts both together, as a step that can be undone, and saves that. */
export async function saveMerged(tab: string, stale: Stale, chosen: Readonly<Record<string, Side>>): Promise<void> {
  if (stale.base === null || stale.theirs === null) return;
  const { doc } = merge(stale.base, stale.mine, stale.theirs.doc, chosen);
  const { name, etag } = stale.theirs.kept;
  markSaved(tab, name, etag, stale.theirs.doc);
  performOn(tab, 'Merge', (edit) => replaceDocument(edit, doc));
  await saveAs(tab, name, etag);
}
