/** The newest run of each workflow is known again after the page was loaded anew: its pictures are there, and if it still goes on, it is followed. */
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
    const run = known.get(tab);
    if (run === undefined || useRuns.getState().byTab[tab] !== undefined) return;
    startRun(tab, run);
    followInTab(tab, run);
  };
  useEditor.subscribe((now, before) => {
    if (now.active !== before.active) recall(now.active);
  });
  recall(useEditor.getState().active);
  useRuns.subscribe((now, before) => {
    const fresh = Object.values(now.byTab).filter((state) => state.status !== 'sending' && state.run !== known.get(state.tab));
    if (now.byTab === before.byTab || fresh.length === 0) return;
    for (const { tab, run } of fresh) {
      known.delete(tab);
      known.set(tab, run);
    }
    keep(known);
  });
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
