/** Saved workflows: opened, saved, renamed, copied, deleted and brought back. */
import { create } from 'zustand';
import { replaceDocument } from '../document/edits/whole';
import type { Doc } from '../document/model';
import { freeName } from '../document/names';
import { ApiError, api } from '../network/api';
import { smallAddress } from '../network/pictures';
import type { Kept } from '../wire';
import { attempt, explain } from './actions';
import { activate, isDirty, markSaved, newTab, performOn, show, type Tab, tell, useEditor } from './editor';
import { isOver, type RunState, useRuns } from './runs';

/** Counts what changed on the server's list of saved workflows, so that whoever shows it asks again. */
export const useSaved = create<{ readonly changes: number }>()(() => ({ changes: 0 }));

function changed(): void {
  useSaved.setState(({ changes }) => ({ changes: changes + 1 }));
}

export async function openTemplate(name: string): Promise<void> {
  const doc = await attempt(() => api.template(name));
  if (doc === null) return;
  newTab(doc);
  show(null);
}

export async function openSaved(name: string): Promise<void> {
  const open = tabNamed(name);
  if (open !== undefined) {
    activate(open.id);
    return;
  }
  const found = await attempt(() => api.workflow(name));
  if (found !== null) newTab(found.doc, name, found.kept.etag);
}

function tabWith(id: string): Tab | undefined {
  return useEditor.getState().tabs.find((tab) => tab.id === id);
}

function tabNamed(name: string): Tab | undefined {
  return useEditor.getState().tabs.find((tab) => tab.name === name);
}

// ------------------------------------------------------------------------------------------------ saving

/** Saves under the present name, or asks for one. */
export async function saveTab(id: string): Promise<void> {
  const tab = tabWith(id);
  if (tab === undefined) return;
  if (tab.name === null) show({ kind: 'save', tab: id });
  else await saveAs(id, tab.name, tab.etag);
}

/** `etag`: what may be replaced; null: nothing. */
export async function saveAs(id: string, name: string, etag: string | null): Promise<void> {
  const tab = tabWith(id);
  if (tab === undefined) return;
  const { doc } = tab.history;
  try {
    const kept: Kept = await api.save(name, doc, etag);
    markSaved(id, kept.name, kept.etag, doc);
    show(null);
    tell(`Saved “${kept.name}”, version ${kept.version}`);
    changed();
    void giveThumbnail(id);
  } catch (error) {
    if (error instanceof ApiError && error.status === 412) show({ kind: 'stale', tab: id, name, etag: error.present?.etag ?? null });
    else {
      const told = explain(error);
      tell(told.message, 'error', told.hint);
    }
  }
}

// ------------------------------------------------------------------------------------------------ pictures of them

/** From now on a saved workflow has the last picture it made as its own. */
export function keepThumbnails(): void {
  useRuns.subscribe((now, before) => {
    for (const run of Object.values(now.byTab)) {
      const tab = tabWith(run.tab);
      if (run !== before.byTab[run.tab] && run.status === 'done' && !wasDone(before.byTab[run.tab]) && tab?.name && !isDirty(tab))
        void giveThumbnail(tab.id);
    }
  });
}

function wasDone(run: RunState | undefined): boolean {
  return run !== undefined && isOver(run);
}

async function giveThumbnail(id: string): Promise<void> {
  const name = tabWith(id)?.name;
  const url = pictureOf(useRuns.getState().byTab[id]);
  if (!name || url === null) return;
  try {
    await api.setThumbnail(name, await (await fetch(smallAddress(url, 384))).blob());
    changed();
  } catch {
    // a workflow without a picture is as good
  }
}

function pictureOf(run: RunState | undefined): string | null {
  const shown = Object.values(run?.nodes ?? {}).flatMap((node) => node.shown ?? []);
  return shown.filter((item) => item.kind === 'image' && item.url !== undefined).at(-1)?.url ?? null;
}

// ------------------------------------------------------------------------------------------------ in the list

export async function renameSaved(kept: Kept, to: string): Promise<void> {
  const done = await attempt(() => api.rename(kept.name, to, kept.etag));
  if (done === null) return;
  useEditor.setState((state) => ({ tabs: state.tabs.map((tab) => (tab.name === kept.name ? { ...tab, name: done.name } : tab)) }));
  changed();
}

export async function copySaved(kept: Kept, taken: readonly string[]): Promise<void> {
  const name = freeName(kept.name, taken);
  await attempt(async () => {
    const { doc } = await api.workflow(kept.name);
    await api.save(name, doc, null);
    if (kept.thumbnail !== null) await api.setThumbnail(name, await (await fetch(kept.thumbnail)).blob());
    changed();
  });
}

/** Its versions stay on the server, so that it can be brought back; whoever has it open keeps it as a draft. */
export async function removeSaved(kept: Kept): Promise<void> {
  const done = await attempt(async () => {
    await api.remove(kept.name, kept.etag);
    return true;
  });
  if (done === null) return;
  const open = tabNamed(kept.name);
  if (open !== undefined) unname(open.id);
  tell(`Deleted “${kept.name}”`, 'info', undefined, {
    label: 'Undo',
    run: () => void restoreSaved(kept.name, kept.version),
  });
  changed();
}

/** Tabs that were kept without changes since take over what was saved elsewhere meanwhile; what was deleted stays as a draft. */
export async function freshenTabs(): Promise<void> {
  const clean = useEditor.getState().tabs.filter((tab) => tab.name !== null && !isDirty(tab));
  if (clean.length === 0) return;
  const there = await api.workflows().catch(() => null);
  for (const tab of there === null ? [] : clean) {
    const kept = there?.find((one) => one.name === tab.name);
    if (kept === undefined) unname(tab.id);
    else if (kept.etag !== tab.etag) {
      const found = await api.workflow(kept.name).catch(() => null);
      const now = tabWith(tab.id);
      if (found !== null && now !== undefined && !isDirty(now)) replaceTab(tab.id, found.doc, found.kept.etag);
    }
  }
}

function unname(id: string): void {
  useEditor.setState((state) => ({
    tabs: state.tabs.map((tab) => (tab.id === id ? { ...tab, name: null, etag: null, saved: null } : tab)),
  }));
}

/** Makes a former version the present one, also in the tab that shows it, unless that has changes of its own. */
export async function restoreSaved(name: string, version: number): Promise<void> {
  const kept = await attempt(() => api.restore(name, version));
  if (kept === null) return;
  changed();
  tell(`“${name}” is what it was in version ${version}`);
  const open = tabNamed(name);
  if (open === undefined || isDirty(open)) return;
  const found = await attempt(() => api.workflow(name));
  if (found !== null) replaceTab(open.id, found.doc, found.kept.etag);
}

/** As one step, so that it can be undone. */
function replaceTab(id: string, doc: Doc, etag: string): void {
  const name = tabWith(id)?.name;
  if (name === undefined || name === null) return;
  performOn(id, 'Take over what is saved', (edit) => replaceDocument(edit, doc));
  const now = tabWith(id);
  if (now !== undefined) markSaved(id, name, etag, now.history.doc);
}
