/** What a user can ask for that needs the server. */

import { AFTER_RUN } from '../document/autorun';
import { Catalog } from '../document/catalog';
import type { Edit } from '../document/change';
import { demandOf } from '../document/demand';
import { setInput } from '../document/edits/links';
import { get, type Json } from '../document/json';
import { asLink, type Doc, titleOf, viewOf } from '../document/model';
import { catalogAt } from '../document/subgraphs';
import { ApiError, api } from '../network/api';
import { onLine } from '../network/line';
import type { ErrorJson } from '../wire';
import { keepDrafts, restoreDrafts } from './drafting';
import {
  change,
  currentCatalog,
  currentDoc,
  currentWhole,
  type EditorState,
  freshId,
  newTab,
  perform,
  setCatalog,
  show,
  tabOf,
  tell,
  useEditor,
} from './editor';
import { pathOf, prefixOf } from './levels';
import { failRun, follow, type RunState, startRun, useRuns } from './runs';

export function explain(error: unknown): ErrorJson {
  if (error instanceof ApiError) return error.error;
  return { code: '', error: '', message: error instanceof Error ? error.message : String(error) };
}

/** Does something that may fail; a failure is told. */
export async function attempt<T>(work: () => Promise<T>): Promise<T | null> {
  try {
    return await work();
  } catch (error) {
    const told = explain(error);
    tell(told.errors?.[0]?.message ?? told.message, 'error', told.hint);
    return null;
  }
}

// ------------------------------------------------------------------------------------------------ start

export async function start(): Promise<void> {
  await loadCatalog();
  await restoreDrafts();
  if (useEditor.getState().tabs.length === 0) {
    newTab();
    show({ kind: 'gallery' });
  }
  keepDrafts();
  keepChecking();
}

async function loadCatalog(): Promise<void> {
  for (let wait = 300; ; wait = Math.min(5000, wait * 2)) {
    try {
      setCatalog(new Catalog(await api.nodes()));
      return;
    } catch (error) {
      change({ phase: 'failed' });
      if (error instanceof ApiError && error.status === 401) tell(error.error.message, 'error', error.error.hint);
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }
}

// ------------------------------------------------------------------------------------------------ checking

const CHECK_MILLISECONDS = 600;
const TOO_LARGE = 413;

/** The server's judgement of the workflow in front, a moment after each edit. */
function keepChecking(): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let running = new AbortController();
  /** tabs whose workflow the server does not take: sending it again after each edit would keep the editor busy for nothing */
  const refused = new Set<string>();
  const check = async (): Promise<void> => {
    running.abort();
    running = new AbortController();
    const { active } = useEditor.getState();
    const doc = currentWhole();
    if (refused.has(active)) return;
    if (Object.keys(doc.nodes).length === 0) {
      change({ problems: [] });
      return;
    }
    try {
      const verdict = await api.check(doc, running.signal);
      if (currentWhole() === doc) change({ problems: [...verdict.problems, ...verdict.left_out] });
    } catch (error) {
      if (error instanceof ApiError && error.status === TOO_LARGE) {
        refused.add(active);
        tell('This workflow is too large for the server to check, run or save; it can be edited and downloaded.', 'error');
      }
    }
  };
  const soon = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => void check(), CHECK_MILLISECONDS);
  };
  const docIn = (state: EditorState): unknown => tabOf(state)?.history.doc;
  useEditor.subscribe((now, before) => {
    if (docIn(now) !== docIn(before)) soon();
  });
  onLine((answers) => answers && soon());
  soon();
}

// ------------------------------------------------------------------------------------------------ running

const following = new Map<string, () => void>();

/** Queues the workflow in front, or only what some of its nodes need. `quiet`: what is wrong with it is not pushed into view. */
export async function run(targets: readonly string[] | null = null, quiet = false): Promise<void> {
  const tab = tabOf(useEditor.getState());
  if (tab === undefined || Object.keys(tab.history.doc.nodes).length === 0) return;
  const { doc } = tab.history;
  const id = freshId();
  const { catalog, published } = useEditor.getState();
  const roots = targets === null || pathOf(tab).length === 0 ? targets : pathOf(tab).slice(0, 1);
  startRun(tab.id, id, demandOf(doc, catalogAt(catalog, doc, null, published), roots));
  try {
    const prefix = prefixOf(tab);
    await api.submit(doc, { id, title: tab.name ?? titleOf(doc), targets: targets?.map((target) => prefix + target) ?? null });
  } catch (error) {
    const told = explain(error);
    failRun(tab.id, told);
    change({ problems: told.errors ?? [told], ...(quiet ? {} : { showProblems: true }) });
    return;
  }
  followInTab(tab.id, id, ended);
  advanceSeeds(doc);
  void refreshQueue();
}

/** In place of the run that this workflow had before. */
export function followInTab(tab: string, run: string, onEnd: (end: RunState) => void = () => undefined): void {
  following.get(tab)?.();
  following.set(tab, follow(tab, run, onEnd));
}

function ended(end: RunState): void {
  void refreshQueue();
  if (end.status !== 'failed' || end.error === null) return;
  change({ problems: end.error.errors ?? [end.error], showProblems: true });
}

export async function cancelRun(): Promise<void> {
  const state = useRuns.getState().byTab[useEditor.getState().active];
  if (state !== undefined) await attempt(() => api.cancel(state.run));
  void refreshQueue();
}

export async function refreshQueue(): Promise<void> {
  const queue = await api.queue().catch(() => null);
  if (queue !== null) useRuns.setState({ queue });
}

/** Seeds that are to change after each run. */
function advanceSeeds(doc: Doc): void {
  const edits: ((edit: Edit) => void)[] = [];
  for (const level of [null, ...Object.keys(doc.subgraphs)]) {
    const { nodes, layout: places } = viewOf(doc, level);
    for (const [id, layout] of Object.entries(places)) {
      for (const [input, how] of Object.entries(layout.after ?? {})) {
        const value = get(get(nodes, id)?.inputs, input);
        if (asLink(value) === null) edits.push((edit) => setInput(edit.within(level), id, input, nextSeed(value ?? 0, how)));
      }
    }
  }
  if (edits.length > 0) perform('Seed after the run', (edit) => edits.forEach((one) => void one(edit)), AFTER_RUN);
}

export function nextSeed(value: Json, how: string): Json {
  if (how === 'random') return randomSeed();
  if (typeof value === 'bigint') return value + 1n;
  return typeof value === 'number' ? value + 1 : value;
}

/** Small enough to be an exact number everywhere. */
export function randomSeed(): number {
  const [high, low] = crypto.getRandomValues(new Uint32Array(2)) as unknown as [number, number];
  return (high % 2 ** 20) * 2 ** 32 + low;
}

export async function openRun(id: string): Promise<void> {
  const doc = await attempt(() => api.runWorkflow(id));
  if (doc !== null) newTab(doc);
}

/** Names a file widget may take; asked anew each time, as files come and go. */
export async function filesOf(folder: string): Promise<readonly string[]> {
  return (await attempt(() => api.files(folder))) ?? [];
}

export function specOfNode(id: string): ReturnType<Catalog['spec']> {
  const entry = get(currentDoc().nodes, id);
  return entry && currentCatalog().spec(entry.type);
}
