/**
 * What is open, kept in this browser, so that neither a crash here nor one of the server loses an edit. A large workflow is written
 * once, and after that only what changed since: its text would take seconds, in which nobody could work.
 */

interface Known {
  readonly id: string;
  /** under which name it is saved on the server, and what was seen there last */
  readonly name: string | null;
  readonly etag: string | null;
  readonly dirty: boolean;
  readonly order: number;
}

/** A whole workflow, as text. */
export interface Whole extends Known {
  readonly text: string;
}

/** What changed since the text was written that is kept. */
export interface Since extends Known {
  readonly patch: string;
}

export interface Draft extends Whole {
  readonly patch?: string;
}

const STORE = 'drafts';
/** behind the id of the draft: the key of what changed since */
const SINCE = '+';

/** Stays open, so that a draft is written without waiting. */
let opened: IDBDatabase | null = null;

async function open(): Promise<IDBDatabase> {
  const request = indexedDB.open('nodegraph', 1);
  request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: 'id' });
  opened = await done(request);
  opened.onclose = () => {
    opened = null;
  };
  opened.onversionchange = () => {
    opened?.close();
    opened = null;
  };
  return opened;
}

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** Returns when it is written. */
async function write(work: (store: IDBObjectStore) => void): Promise<void> {
  const database = opened ?? (await open());
  return new Promise((resolve, reject) => {
    const transaction = database.transaction(STORE, 'readwrite');
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error);
    work(transaction.objectStore(STORE));
    transaction.commit();
  });
}

export const drafts = {
  all: async (): Promise<readonly Draft[]> => {
    const database = opened ?? (await open());
    return draftsOf(await done<(Whole | Since)[]>(database.transaction(STORE).objectStore(STORE).getAll()));
  },
  put: (draft: Whole | Since): Promise<void> =>
    write((store) => {
      if ('text' in draft) store.delete(draft.id + SINCE);
      store.put('text' in draft ? draft : { ...draft, id: draft.id + SINCE });
    }),
  delete: (id: string): Promise<void> =>
    write((store) => {
      store.delete(id);
      store.delete(id + SINCE);
    }),
};

/** Texts, each with what changed since. */
function draftsOf(found: readonly (Whole | Since)[]): Draft[] {
  const since = new Map(found.filter((one): one is Since => 'patch' in one).map((one) => [one.id, one]));
  const whole = found.filter((one): one is Whole => 'text' in one);
  return whole.map((one) => ({ ...one, ...since.get(one.id + SINCE), id: one.id })).sort((a, b) => a.order - b.order);
}

const LEFT = 'left';

/** What this window had not written yet when it is left, for itself when it is loaded anew: the database takes nothing any more then. */
export function leave(unwritten: readonly (Whole | Since)[]): void {
  try {
    if (unwritten.length > 0) sessionStorage.setItem(LEFT, JSON.stringify(unwritten));
  } catch {
    // too large: what was written a moment before is there
  }
}

/** What was written, with what this window left in its place, which is then gone. */
export function withLeft(written: readonly Draft[]): readonly Draft[] {
  const text = sessionStorage.getItem(LEFT);
  sessionStorage.removeItem(LEFT);
  const left: (Whole | Since)[] = text === null ? [] : JSON.parse(text);
  const whole = left.filter((one): one is Whole => 'text' in one);
  const kept = written.filter((draft) => !whole.some((one) => one.id === draft.id));
  const since = new Map(left.filter((one): one is Since => 'patch' in one).map((one) => [one.id, one]));
  return [...kept.map((draft) => ({ ...draft, ...since.get(draft.id) })), ...whole].sort((a, b) => a.order - b.order);
}

const LEAVING_MILLISECONDS = 2000;
const releases = new Set<() => void>();

/**
 * Whether this window may have a draft: another one that shows it holds a lock, until it is left. mine: this window had it before it was
 * loaded anew, and may still be about to let it go.
 */
export function claim(id: string, mine = false): Promise<boolean> {
  if (!('locks' in navigator)) return Promise.resolve(true);
  const options: LockOptions = mine ? { signal: AbortSignal.timeout(LEAVING_MILLISECONDS) } : { ifAvailable: true };
  return new Promise((resolve) => {
    const hold = (lock: Lock | null): Promise<void> | undefined => {
      resolve(lock !== null);
      return lock === null ? undefined : new Promise((done) => releases.add(done));
    };
    navigator.locks.request(`draft:${id}`, options, hold).catch(() => resolve(false));
  });
}

/** The drafts of this window may be taken by others. */
export function release(): void {
  for (const each of releases) each();
  releases.clear();
}
