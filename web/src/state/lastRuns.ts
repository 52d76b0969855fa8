/**
 * The newest run of each workflow is known again after the page was loaded anew, and of a saved one when it is opened again: its pictures
 * are there, and if it still goes on, it is followed.
 */
import { isObject, parseJson, writeJson } from '../document/json';
import { followInTab } from './actions';
import { useEditor } from './editor';
import { startRun, useRuns } from './runs';

const KEY = 'runs';
const MOST = 40;

/** Begins when the open workflows are known. */
export function startLastRuns(): void {
  const known = kept();
  const recall = (tab: string): void => {
    const run = known.get(tab) ?? known.get(savedKey(tab) ?? '');
    if (run === undefined || useRuns.getState().byTab[tab] !== undefined) return;
    startRun(tab, run);
    followInTab(tab, run);
  };
  const note = (key: string, run: string): void => {
    known.delete(key);
    known.set(key, run);
  };
  useEditor.subscribe((now, before) => {
    if (now.tabs !== before.tabs && noteSaved(known, note)) keep(known);
    if (now.active !== before.active) recall(now.active);
  });
  recall(useEditor.getState().active);
  useRuns.subscribe((now, before) => {
    const fresh = Object.values(now.byTab).filter((state) => state.status !== 'sending' && state.run !== known.get(state.tab));
    if (now.byTab === before.byTab || fresh.length === 0) return;
    for (const { tab, run } of fresh) {
      note(tab, run);
      const key = savedKey(tab);
      if (key !== null) note(key, run);
    }
    keep(known);
  });
}

/** What stands for a saved workflow among the tabs. */
function savedKey(tab: string): string | null {
  const name = useEditor.getState().tabs.find((one) => one.id === tab)?.name;
  return name ? `saved:${name}` : null;
}

/** A workflow that was run before it got its name. Returns whether there is one. */
function noteSaved(known: ReadonlyMap<string, string>, note: (key: string, run: string) => void): boolean {
  let found = false;
  for (const { id } of useEditor.getState().tabs) {
    const [key, run] = [savedKey(id), known.get(id)];
    if (key === null || run === undefined || known.get(key) === run) continue;
    note(key, run);
    found = true;
  }
  return found;
}

function keep(known: ReadonlyMap<string, string>): void {
  try {
    localStorage.setItem(KEY, writeJson(Object.fromEntries([...known].slice(-MOST))));
  } catch {
    // a browser that keeps nothing shows the pictures in the history
  }
}

function kept(): Map<string, string> {
  try {
    const found = parseJson(localStorage.getItem(KEY) ?? '{}');
    return new Map(Object.entries(isObject(found) ? found : {}).filter((one): one is [string, string] => typeof one[1] === 'string'));
  } catch {
    return new Map();
  }
}
