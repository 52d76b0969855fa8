/** What is open and how it is looked at. Every edit of a workflow goes through `perform`. */
import { create } from 'zustand';
import { type Catalog, EMPTY_CATALOG, type NodeSpec } from '../document/catalog';
import type { Edit } from '../document/change';
import { followTypes } from '../document/edits/subgraphs';
import { type History, perform as performed, redo, startHistory, undo } from '../document/history';
import type { Missing } from '../document/missing';
import { type Doc, emptyDocument, type Point, titleOf, viewOf } from '../document/model';
import type { PaintTarget, Picture } from '../document/picture';
import type { Loose } from '../document/search';
import { catalogAt, NO_MORE } from '../document/subgraphs';
import type { ErrorJson } from '../wire';
import { levelOf } from './levels';

export interface Tab {
  readonly id: string;
  readonly history: History;
  /** the name on the server */
  readonly name: string | null;
  readonly etag: string | null;
  readonly saved: Doc | null;
  /** the nodes that were entered, outer ones first: where in its subgraphs one looks */
  readonly at?: readonly string[];
}

/** The palette, where it opened and for which loose end of a link. */
export interface Palette {
  readonly screen: Point;
  readonly flow: Point;
  readonly loose: (Loose & { readonly node: string; readonly name: string }) | null;
  /** the end of the link that what is found goes into */
  readonly into?: { readonly node: string; readonly input: string };
}

export interface Notice {
  readonly id: number;
  readonly tone: 'info' | 'error';
  readonly text: string;
  readonly hint?: string;
  readonly action?: NoticeAction;
}

/** What can be done about a notice at once: undo, for instance. */
export interface NoticeAction {
  readonly label: string;
  readonly run: () => void;
}

/** What became of a workflow of another program. */
export interface Report {
  readonly file: string;
  readonly format: string;
  readonly warnings: readonly string[];
  readonly missing: readonly Missing[];
}

export type Dialog =
  | { readonly kind: 'gallery' | 'keys' }
  | { readonly kind: 'save'; readonly tab: string }
  | { readonly kind: 'stale'; readonly tab: string; readonly name: string; readonly etag: string | null }
  | { readonly kind: 'report'; readonly report: Report }
  | { readonly kind: 'viewer'; readonly pictures: readonly Picture[]; readonly at: number; readonly back?: Dialog }
  | { readonly kind: 'vary' }
  | { readonly kind: 'batch'; readonly id: string }
  | { readonly kind: 'paint'; readonly target: PaintTarget };

export interface EditorState {
  readonly catalog: Catalog;
  readonly phase: 'starting' | 'ready' | 'failed';
  readonly tabs: readonly Tab[];
  readonly active: string;
  readonly selection: ReadonlySet<string>;
  readonly links: ReadonlySet<string>;
  /** places and sizes during a gesture, before they are an edit */
  readonly moving: Readonly<Record<string, Point>>;
  readonly sizing: Readonly<Record<string, Point>>;
  readonly loose: Palette['loose'];
  readonly palette: Palette | null;
  readonly dialog: Dialog | null;
  readonly panel: 'files' | 'queue' | null;
  readonly problems: readonly ErrorJson[];
  readonly showProblems: boolean;
  readonly notices: readonly Notice[];
  readonly recent: readonly string[];
  /** nodes of the user's own, by the type that the palette knows them by */
  readonly published: Readonly<Record<string, NodeSpec>>;
}

const NOTHING: ReadonlySet<string> = new Set();

export const useEditor = create<EditorState>()(() => ({
  catalog: EMPTY_CATALOG,
  phase: 'starting',
  tabs: [],
  active: '',
  selection: NOTHING,
  links: NOTHING,
  moving: {},
  sizing: {},
  loose: null,
  palette: null,
  dialog: null,
  panel: null,
  problems: [],
  showProblems: false,
  notices: [],
  recent: [],
  published: NO_MORE,
}));

const set = useEditor.setState;
const EMPTY = startHistory(emptyDocument());

export function tabOf(state: EditorState): Tab | undefined {
  return state.tabs.find((tab) => tab.id === state.active);
}

export function historyOf(state: EditorState): History {
  return tabOf(state)?.history ?? EMPTY;
}

/** What is looked at: the workflow in front, or the inside of one of its subgraphs. */
export function docOf(state: EditorState): Doc {
  const tab = tabOf(state);
  return tab === undefined ? EMPTY.doc : viewOf(tab.history.doc, levelOf(tab));
}

/** What is looked at, now. */
export function currentDoc(): Doc {
  return docOf(useEditor.getState());
}

/** The workflow in front, now, wherever in it one looks. */
export function currentWhole(): Doc {
  return historyOf(useEditor.getState()).doc;
}

/** The node types there are where one looks: the server's, and the subgraphs of the workflow. */
export function catalogOf(state: EditorState): Catalog {
  const tab = tabOf(state);
  return tab === undefined ? state.catalog : catalogAt(state.catalog, tab.history.doc, levelOf(tab), state.published);
}

export function currentCatalog(): Catalog {
  return catalogOf(useEditor.getState());
}

/** Shows another place of the workflow in front. */
export function goToLevel(path: readonly string[]): void {
  changeTab(useEditor.getState().active, () => ({ at: path }));
  set({ selection: NOTHING, links: NOTHING, palette: null });
}

export function isDirty(tab: Tab): boolean {
  return tab.saved !== tab.history.doc;
}

export function setCatalog(catalog: Catalog): void {
  set({ catalog, phase: 'ready' });
}

function changeTab(id: string, change: (tab: Tab) => Partial<Tab>): void {
  set((state) => ({ tabs: state.tabs.map((tab) => (tab.id === id ? { ...tab, ...change(tab) } : tab)) }));
}

/** One step of the user on the workflow in front. `key`: steps with the same one that follow quickly become one. */
export function perform(label: string, edit: (edit: Edit) => void, key = ''): void {
  performOn(useEditor.getState().active, label, edit, key);
}

/** The same on any workflow that is open. */
export function performOn(id: string, label: string, edit: (edit: Edit) => void, key = ''): void {
  changeTab(id, (tab) => {
    const level = levelOf(tab);
    const { catalog, published } = useEditor.getState();
    const work = (one: Edit): void => {
      edit(one);
      if (level !== null) followTypes(one, catalogAt(catalog, one.whole, level, published));
    };
    return { history: performed(tab.history, label, work, key, Date.now(), level) };
  });
}

function step(move: (history: History) => History): void {
  changeTab(useEditor.getState().active, (tab) => ({ history: move(tab.history) }));
  select([...useEditor.getState().selection].filter((id) => id.startsWith('group:') || Object.hasOwn(currentDoc().nodes, id)));
}

export const undoStep = (): void => step(undo);
export const redoStep = (): void => step(redo);

export function select(nodes: Iterable<string>, links: Iterable<string> = []): void {
  set({ selection: new Set(nodes), links: new Set(links) });
}

/** The selected nodes that are there; groups left out. */
export function selectedNodes(): string[] {
  const { nodes } = currentDoc();
  return [...useEditor.getState().selection].filter((id) => Object.hasOwn(nodes, id));
}

export function selectedGroups(): number[] {
  return [...useEditor.getState().selection].filter((id) => id.startsWith('group:')).map((id) => Number(id.slice(6)));
}

// ------------------------------------------------------------------------------------------------ tabs

/** Opens a workflow in front; in place of one that is empty and untouched. */
export function openTab(tab: Omit<Tab, 'history'> & { readonly doc: Doc }): void {
  const { doc, ...rest } = tab;
  set((state) => {
    const tabs = [...state.tabs.filter((other) => !isUntouched(other)), { ...rest, history: startHistory(doc) }];
    return { tabs, active: tab.id, dialog: dialogWith(tabs, state.dialog), selection: NOTHING, links: NOTHING, problems: [] };
  });
}

/** A dialog about a tab goes with the tab. */
function dialogWith(tabs: readonly Tab[], dialog: Dialog | null): Dialog | null {
  return dialog !== null && 'tab' in dialog && !tabs.some((tab) => tab.id === dialog.tab) ? null : dialog;
}

export function isUntouched(tab: Tab): boolean {
  return tab.name === null && tab.history.past.length === 0 && Object.keys(tab.history.doc.nodes).length === 0;
}

export function newTab(doc: Doc = emptyDocument('Untitled'), name: string | null = null, etag: string | null = null): string {
  const id = freshId();
  openTab({ id, doc, name, etag, saved: name === null ? null : doc });
  return id;
}

export function activate(id: string): void {
  set({ active: id, selection: NOTHING, links: NOTHING, palette: null, problems: [] });
}

export function closeTab(id: string): void {
  set((state) => {
    const at = state.tabs.findIndex((tab) => tab.id === id);
    const tabs = state.tabs.filter((tab) => tab.id !== id);
    const next = state.active === id ? (tabs[Math.max(0, at - 1)]?.id ?? '') : state.active;
    return { tabs, active: next, dialog: dialogWith(tabs, state.dialog), selection: NOTHING, links: NOTHING };
  });
  if (useEditor.getState().tabs.length === 0) newTab();
}

export function markSaved(id: string, name: string, etag: string, doc: Doc): void {
  changeTab(id, () => ({ name, etag, saved: doc }));
}

export function titleOfTab(tab: Tab): string {
  return tab.name ?? titleOf(tab.history.doc);
}

// ------------------------------------------------------------------------------------------------ the rest

let notices = 0;

export function tell(text: string, tone: Notice['tone'] = 'info', hint?: string, action?: NoticeAction): void {
  const notice: Notice = {
    id: ++notices,
    tone,
    text,
    ...(hint === undefined ? {} : { hint }),
    ...(action === undefined ? {} : { action }),
  };
  set((state) => ({ notices: [...state.notices.slice(-3), notice] }));
  setTimeout(() => dismiss(notice.id), tone === 'error' || action !== undefined ? 12_000 : 4000);
}

export function dismiss(id: number): void {
  set((state) => ({ notices: state.notices.filter((notice) => notice.id !== id) }));
}

export function noteUsed(type: string): void {
  set((state) => ({ recent: [type, ...state.recent.filter((other) => other !== type)].slice(0, 8) }));
}

export const show = (dialog: Dialog | null): void => set({ dialog });
export const change = (part: Partial<EditorState>): void => set(part);

/** Also where the page is not served from a safe address, which has no `randomUUID`. */
export function freshId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
