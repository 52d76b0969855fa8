/** Every open workflow is kept in this browser, and found again when the page is loaded anew. */
import { parseJson } from '../document/json';
import { checkDocument, type Doc, writeDocument } from '../document/model';
import { patchBetween, patched, readPatch, writePatch } from '../document/patch';
import { claim, type Draft, drafts, leave, release, type Since, type Whole, withLeft } from '../network/drafts';
import { activate, isDirty, isUntouched, openTab, type Tab, tell, useEditor } from './editor';

const WAIT_MILLISECONDS = 400;
/** in letters: of longer ones only what changed is written, until that is long too */
const LONG = 2 ** 20;

interface Written {
  readonly doc: Doc;
  readonly long: boolean;
}

/** The texts that are known to be kept, by tab. */
const texts = new Map<string, Written>();

// ------------------------------------------------------------------------------------------------ finding again

export async function restoreDrafts(): Promise<void> {
  const found = withLeft(await drafts.all().catch(() => []));
  const mine = (sessionStorage.getItem('drafts') ?? '').split(' ');
  const claimed = await Promise.all(found.map((draft) => claim(draft.id, mine.includes(draft.id))));
  for (const draft of found.filter((_, at) => claimed[at])) {
    const doc = docOfDraft(draft);
    if (doc !== null) openTab({ id: draft.id, doc, name: draft.name, etag: draft.etag, saved: draft.dirty ? null : doc });
  }
  const last = sessionStorage.getItem('active');
  if (last !== null && useEditor.getState().tabs.some((tab) => tab.id === last)) activate(last);
}

function docOfDraft({ id, text, patch }: Draft): Doc | null {
  const whole = quietly(() => checkDocument(parseJson(text)));
  if (whole === null) return null;
  texts.set(id, { doc: whole, long: text.length > LONG });
  return patch === undefined ? whole : (quietly(() => patched(whole, readPatch(patch))) ?? whole);
}

function quietly<T>(work: () => T): T | null {
  try {
    return work();
  } catch {
    return null;
  }
}

// ------------------------------------------------------------------------------------------------ keeping

function isSame(one: Tab, other: Tab): boolean {
  return one.history.doc === other.history.doc && one.etag === other.etag && one.name === other.name;
}

/** What is known of the server is noted at once: a page that is left at that moment would not know its name otherwise. */
function isNewlySaved(tab: Tab, before: readonly Tab[]): boolean {
  const old = before.find((one) => one.id === tab.id);
  return old !== undefined && (old.etag !== tab.etag || old.name !== tab.name);
}

/** What is written of a tab. */
function draftOf(tab: Tab, order: number): Whole | Since {
  const { id, name, etag } = tab;
  const known = { id, name, etag, dirty: isDirty(tab), order };
  const base = texts.get(id);
  const patch = base?.long ? writePatch(patchBetween(base.doc, tab.history.doc)) : null;
  return patch !== null && patch.length < LONG ? { ...known, patch } : { ...known, text: writeDocument(tab.history.doc, 0) };
}

/** It is written for seconds, and no page that is left can keep it. */
function isLong(draft: Whole | Since): boolean {
  return 'text' in draft && draft.text.length > LONG;
}

/** A moment after each edit. */
export function keepDrafts(): void {
  const kept = new Map<string, Tab>();
  /** what is being written, by tab */
  const pending = new Map<string, Whole | Since>();
  let told = false;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const put = (tab: Tab, draft: Whole | Since): void => {
    pending.set(tab.id, draft);
    const written = (): void => {
      if (pending.get(tab.id) === draft) pending.delete(tab.id);
      if ('text' in draft) texts.set(tab.id, { doc: tab.history.doc, long: isLong(draft) });
    };
    const refused = (): void => {
      if (!told) tell('This browser keeps no drafts: save on the server.', 'error');
      told = true;
    };
    drafts.put(draft).then(written, refused);
  };
  const write = (): void => {
    const { tabs, active } = useEditor.getState();
    sessionStorage.setItem('active', active);
    sessionStorage.setItem('drafts', tabs.map((tab) => tab.id).join(' '));
    tabs.forEach((tab, order) => {
      const before = kept.get(tab.id);
      if (isUntouched(tab) || (before !== undefined && isSame(before, tab))) return;
      if (before === undefined) void claim(tab.id);
      kept.set(tab.id, tab);
      put(tab, draftOf(tab, order));
    });
    for (const id of [...kept.keys()].filter((id) => !tabs.some((tab) => tab.id === id))) {
      kept.delete(id);
      texts.delete(id);
      pending.delete(id);
      void drafts.delete(id).catch(() => undefined);
    }
  };
  const soon = (): void => {
    timer ??= setTimeout(() => {
      timer = undefined;
      write();
    }, WAIT_MILLISECONDS);
  };
  useEditor.subscribe((now, before) => {
    if (now.tabs !== before.tabs && now.tabs.some((tab) => isNewlySaved(tab, before.tabs))) write();
    else if (now.tabs !== before.tabs || now.active !== before.active) soon();
  });
  addEventListener('pagehide', () => {
    write();
    leave([...pending.values()].filter((draft) => !isLong(draft)));
    release();
  });
  addEventListener('beforeunload', (event) => {
    if ([...pending.values()].some(isLong)) event.preventDefault();
  });
  soon();
}
