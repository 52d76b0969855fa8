/** Running by itself: a moment after each edit that changes what a run does. */
import { create } from 'zustand';
import { asksForRun } from '../document/autorun';
import { api } from '../network/api';
import { run } from './actions';
import { tabOf, useEditor } from './editor';
import { isOver, useRuns } from './runs';

const WAIT_MILLISECONDS = 350;

export const useAutorun = create<{ readonly on: boolean }>()(() => ({ on: false }));

export function toggleAutorun(): void {
  useAutorun.setState(({ on }) => ({ on: !on }));
}

/** Listens until the returned function is called. */
export function attachAutorun(): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const soon = (wait = WAIT_MILLISECONDS): void => {
    clearTimeout(timer);
    timer = setTimeout(() => void runAnew(), wait);
  };
  const endEdits = useEditor.subscribe((now, before) => {
    if (now.tabs === before.tabs || !useAutorun.getState().on) return;
    const [tab, old] = [tabOf(now), tabOf(before)];
    if (tab !== undefined && tab.id === old?.id && asksForRun(old.history, tab.history)) soon();
  });
  const endToggles = useAutorun.subscribe(({ on }) => {
    if (on) soon(0);
    else clearTimeout(timer);
  });
  return () => {
    clearTimeout(timer);
    endEdits();
    endToggles();
  };
}

/** In place of the run of the workflow in front that still goes on. What keeps it from running is shown, but not pushed forward. */
async function runAnew(): Promise<void> {
  if (!useAutorun.getState().on) return;
  const old = useRuns.getState().byTab[useEditor.getState().active];
  if (old !== undefined && !isOver(old)) await api.cancel(old.run).catch(() => undefined);
  await run(null, true);
}
