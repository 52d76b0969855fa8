/** What is open, kept in this browser, so that neither a crash here nor one of the server loses an edit. */

export interface Draft {
  readonly id: string;
  readonly text: string;
  /** under which name it is saved on the server, and what was seen there last */
  readonly name: string | null;
  readonly etag: string | null;
  readonly dirty: boolean;
  readonly order: number;
}

const STORE = 'drafts';

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

async function withStore<T>(mode: IDBTransactionMode, work: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
  const database = opened ?? (await open());
  return done(work(database.transaction(STORE, mode).objectStore(STORE)));
}

export const drafts = {
  all: async (): Promise<readonly Draft[]> =>
    (await withStore<Draft[]>('readonly', (store) => store.getAll())).sort((a, b) => a.order - b.order),
  put: async (draft: Draft): Promise<void> => void (await withStore('readwrite', (store) => store.put(draft))),
  delete: (id: string): Promise<undefined> => withStore('readwrite', (store) => store.delete(id)),
};

const LEFT = 'left';

/** What this window had not written yet when it is left, for itself when it is loaded anew: the database takes nothing any more then. */
export function leave(unwritten: readonly Draft[]): void {
  try {
    if (unwritten.length > 0) sessionStorage.setItem(LEFT, JSON.stringify(unwritten));
  } catch {
    // too large: what was written a moment before is there
  }
}

/** What this window left, which is then gone. */
export function takeLeft(): readonly Draft[] {
  const text = sessionStorage.getItem(LEFT);
  sessionStorage.removeItem(LEFT);
  return text === null ? [] : JSON.parse(text);
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
