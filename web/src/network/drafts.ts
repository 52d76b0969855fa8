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

function open(): Promise<IDBDatabase> {
  const request = indexedDB.open('nodegraph', 1);
  request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: 'id' });
  return done(request);
}

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function withStore<T>(mode: IDBTransactionMode, work: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
  const database = await open();
  try {
    return await done(work(database.transaction(STORE, mode).objectStore(STORE)));
  } finally {
    database.close();
  }
}

export const drafts = {
  all: async (): Promise<readonly Draft[]> =>
    (await withStore<Draft[]>('readonly', (store) => store.getAll())).sort((a, b) => a.order - b.order),
  put: async (draft: Draft): Promise<void> => void (await withStore('readwrite', (store) => store.put(draft))),
  delete: (id: string): Promise<undefined> => withStore('readwrite', (store) => store.delete(id)),
};

/** Whether this window may have a draft: another one that shows it holds a lock. The lock is kept until the window closes. */
export function claim(id: string): Promise<boolean> {
  if (!('locks' in navigator)) return Promise.resolve(true);
  return new Promise((resolve) => {
    void navigator.locks.request(`draft:${id}`, { ifAvailable: true }, (lock) => {
      resolve(lock !== null);
      return lock === null ? undefined : new Promise(() => undefined);
    });
  });
}
