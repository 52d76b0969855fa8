/** What runs tell, by node. Kept apart from the workflow, and taken over once a frame, however many events come. */
import { create } from 'zustand';
import { type Demand, demanded } from '../document/demand';
import { followRun, type Picture, type RunEvent } from '../network/follow';
import type { ErrorJson, Queue } from '../wire';
import { around } from './levels';

export interface ShownItem {
  readonly kind: string;
  readonly text?: string;
  readonly url?: string;
  readonly name?: string;
}

export interface NodeRun {
  readonly status: 'queued' | 'running' | 'done' | 'cached' | 'failed' | 'blocked';
  readonly value?: number;
  readonly total?: number | null;
  readonly text?: string;
  readonly seconds?: number;
  /** memory that its results take */
  readonly nbytes?: number;
  readonly preview?: string;
  readonly shown?: readonly ShownItem[];
  readonly error?: ErrorJson;
}

export interface RunState {
  readonly tab: string;
  readonly run: string;
  readonly status: 'sending' | 'pending' | 'running' | 'done' | 'failed' | 'cancelled';
  readonly nodes: Readonly<Record<string, NodeRun>>;
  readonly total: number;
  readonly finished: number;
  readonly error: ErrorJson | null;
  readonly seconds: number | null;
  readonly demand: Demand | null;
}

interface Runs {
  /** the newest run of each open workflow */
  readonly byTab: Readonly<Record<string, RunState>>;
  readonly queue: Queue | null;
}

export const useRuns = create<Runs>()(() => ({ byTab: {}, queue: null }));

export function startRun(tab: string, run: string, demand: Demand | null = null): void {
  const before = useRuns.getState().byTab[tab];
  const nodes = Object.fromEntries(Object.entries(before?.nodes ?? {}).flatMap(([id, node]) => kept(id, node)));
  put({ tab, run, status: 'sending', nodes: waiting(nodes, demand, new Set()), total: 0, finished: 0, error: null, seconds: null, demand });
}

/** Marks what will be run, as far as that can be known. */
function waiting(nodes: RunState['nodes'], demand: Demand | null, known: ReadonlySet<string>): RunState['nodes'] {
  if (demand === null) return nodes;
  const rest = Object.entries(nodes).flatMap(([id, node]) => (node.status === 'queued' ? kept(id, node) : [[id, node] as const]));
  const found: Record<string, NodeRun> = Object.fromEntries(rest);
  for (const id of demanded(demand, known)) {
    const { shown } = found[id] ?? {};
    if (found[id] === undefined || found[id].status === 'done') found[id] = { status: 'queued', ...(shown === undefined ? {} : { shown }) };
  }
  return found;
}

/** The last picture of a node stays until the next one comes. */
function kept(id: string, node: NodeRun): [string, NodeRun][] {
  return node.shown === undefined ? [] : [[id, { status: 'done', shown: node.shown }]];
}

export function failRun(tab: string, error: ErrorJson): void {
  const state = useRuns.getState().byTab[tab];
  if (state !== undefined) put({ ...state, status: 'failed', error, nodes: settled(state.nodes) });
}

export function put(state: RunState): void {
  useRuns.setState((runs) => ({ byTab: { ...runs.byTab, [state.tab]: state } }));
}

/** Follows a run until it ends; `onEnd` is called then. Returns how to stop listening. */
export function follow(tab: string, run: string, onEnd: (state: RunState) => void): () => void {
  const events: RunEvent[] = [];
  const pictures = new Map<string, Picture>();
  let _frame = 0;
  const flush = (): void => {
    _frame = 0;
    const before = useRuns.getState().byTab[tab];
    if (before?.run !== run) return;
    const after = withPictures(events.splice(0).reduce(told, before), pictures);
    put(after);
    if (isOver(after) && !isOver(before)) onEnd(after);
  };
  const soon = (): void => {
    _frame ||= document.hidden ? (setTimeout(flush, 200) as unknown as number) : requestAnimationFrame(flush);
  };
  return followRun(run, {
    onEvent: (event) => {
      events.push(event);
      soon();
    },
    onPicture: (picture) => {
      pictures.set(picture.node, picture);
      soon();
    },
    onGone: () => {
      events.push({ event: 'job_ended', seq: 0, time: 0, status: 'cancelled' });
      soon();
    },
  });
}

export function isOver(state: RunState): boolean {
  return state.status === 'done' || state.status === 'failed' || state.status === 'cancelled';
}

function withPictures(state: RunState, pictures: Map<string, Picture>): RunState {
  if (pictures.size === 0) return state;
  const nodes = { ...state.nodes };
  for (const [node, picture] of pictures) {
    for (const id of [node, ...around(node)]) {
      const old = nodes[id]?.preview;
      if (old !== undefined) URL.revokeObjectURL(old);
      nodes[id] = { ...(nodes[id] ?? { status: 'running' }), preview: URL.createObjectURL(picture.jpeg) };
    }
  }
  pictures.clear();
  return { ...state, nodes };
}

/** The state of a run after one more event. */
export function told(state: RunState, event: RunEvent): RunState {
  switch (event.event) {
    case 'run_started': {
      const all = new Set(event.cached.flatMap((id) => [id, ...around(id)]));
      const cached = Object.fromEntries([...all].map((id) => [id, { ...state.nodes[id], status: 'cached' as const }]));
      const nodes = waiting({ ...state.nodes, ...cached }, state.demand, all);
      return { ...state, status: 'running', nodes, total: event.total, finished: 0 };
    }
    case 'job_started':
      return { ...state, status: 'running' };
    case 'node_started':
      return withNode(state, event.node, { status: 'running' });
    case 'progress':
      return withNode(state, event.node, { status: 'running', value: event.value, total: event.total, text: event.text });
    case 'node_finished':
      return finished(state, event);
    case 'node_blocked':
      return withNode(state, event.node, { status: 'blocked', text: event.reason });
    case 'node_failed':
      return withNode(state, event.node, { status: 'failed', error: event.error });
    case 'run_finished':
      return { ...state, seconds: event.seconds };
    case 'job_ended':
      return { ...state, status: event.status, error: event.error ?? null, nodes: settled(state.nodes) };
    default:
      return state;
  }
}

/** What happens to a node happens to the subgraphs that it is in as well. */
function withNode(state: RunState, id: string, change: NodeRun): RunState {
  const nodes = { ...state.nodes, [id]: { ...state.nodes[id], ...change } };
  for (const outer of around(id)) nodes[outer] = { ...state.nodes[outer], ...change };
  return { ...state, nodes };
}

type NodeFinished = Extract<RunEvent, { event: 'node_finished' }>;

function finished(state: RunState, event: NodeFinished): RunState {
  const old = state.nodes[event.node];
  const shown = event.shown.length > 0 ? event.shown.map(shownItem) : old?.shown;
  const node: NodeRun = {
    status: event.cached ? 'cached' : 'done',
    seconds: event.seconds,
    nbytes: event.nbytes,
    ...(old?.preview === undefined ? {} : { preview: old.preview }),
    ...(shown === undefined ? {} : { shown }),
  };
  const done = event.cached ? 0 : 1;
  const nodes = { ...state.nodes, [event.node]: node };
  for (const outer of around(event.node)) nodes[outer] = outside(state.nodes[outer], event, shown);
  return { ...state, nodes, finished: state.finished + done };
}

/** A subgraph in which a node has finished: it has taken the time of all of them, and shows what the last one showed. */
function outside(old: NodeRun | undefined, event: NodeFinished, shown: readonly ShownItem[] | undefined): NodeRun {
  const { value: _, total: __, text: ___, ...rest } = old ?? { status: 'cached' as const };
  const status = event.cached && rest.status === 'cached' ? 'cached' : 'done';
  return { ...rest, status, seconds: (rest.seconds ?? 0) + event.seconds, ...(shown === undefined ? {} : { shown }) };
}

function shownItem(item: Readonly<Record<string, unknown>>): ShownItem {
  const file = item['file'] as { url?: string; name?: string } | undefined;
  const found: { kind: string; text?: string; url?: string; name?: string } = { kind: String(item['kind'] ?? '') };
  if (typeof item['text'] === 'string') found.text = item['text'];
  if (typeof file?.url === 'string' && file.url.startsWith('/')) found.url = file.url;
  if (typeof file?.name === 'string') found.name = file.name;
  return found;
}

/** Nothing runs any more. */
function settled(nodes: RunState['nodes']): RunState['nodes'] {
  return Object.fromEntries(
    Object.entries(nodes).flatMap(([id, node]) =>
      node.status !== 'running' && node.status !== 'queued' ? [[id, node]] : node.shown ? [[id, { ...node, status: 'done' as const }]] : [],
    ),
  );
}
