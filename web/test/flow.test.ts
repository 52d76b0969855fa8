import { describe, expect, it } from 'vitest';
import { setInput } from '../src/document/edits/links';
import { perform, startHistory } from '../src/document/history';
import { edgeId, Flow, type Look } from '../src/state/flow';
import { CATALOG, doc, link } from './fixtures';

const NONE: ReadonlySet<string> = new Set();
const LOOK: Look = { selection: NONE, links: NONE, moving: {}, sizing: {}, shows: NONE, real: null };

function chain(length: number): ReturnType<typeof doc> {
  const nodes: Record<string, [string, Record<string, unknown>]> = { 1: ['Load', {}] };
  for (let i = 2; i <= length; i++) nodes[i] = ['Blur', { image: link(String(i - 1), 'image') }];
  return doc(nodes);
}

describe('the workflow as the canvas wants it', () => {
  it('has a box for each node and a line for each link, with an end at a handle', () => {
    const flow = new Flow();
    const start = chain(1000);
    const nodes = flow.nodesOf(start, CATALOG, LOOK);
    const edges = flow.edgesOf(start, CATALOG, LOOK);
    expect([nodes.length, edges.length]).toEqual([1000, 999]);
    const boxes = new Map(nodes.map((node) => [node.id, node]));
    for (const edge of edges) {
      const ends = (id: string, type: string): unknown[] =>
        boxes
          .get(id)!
          .handles!.filter((handle) => handle.type === type)
          .map((handle) => handle.id);
      expect(ends(edge.source, 'source')).toContain(edge.sourceHandle);
      expect(ends(edge.target, 'target')).toContain(edge.targetHandle);
    }
  });

  it('keeps the identity of all that an edit does not touch', () => {
    const flow = new Flow();
    const log = startHistory(chain(50));
    const before = flow.nodesOf(log.doc, CATALOG, LOOK);
    const lines = flow.edgesOf(log.doc, CATALOG, LOOK);
    const next = perform(log, 'Value', (edit) => setInput(edit, '7', 'radius', 5));
    const after = flow.nodesOf(next.doc, CATALOG, LOOK);
    expect(after.filter((node, i) => node !== before[i]).map((node) => node.id)).toEqual(['7']);
    expect(flow.edgesOf(next.doc, CATALOG, LOOK).every((edge, i) => edge === lines[i])).toBe(true);
  });

  it('draws again only what is moved or chosen', () => {
    const flow = new Flow();
    const start = chain(20);
    const before = flow.nodesOf(start, CATALOG, LOOK);
    const after = flow.nodesOf(start, CATALOG, { ...LOOK, moving: { 3: [5, 6] }, selection: new Set(['9']) });
    expect(after.filter((node, i) => node !== before[i]).map((node) => node.id)).toEqual(['3', '9']);
    expect(after[2]!.data).toBe(before[2]!.data);
  });

  it('keeps what is not installed, with the ends that its links use', () => {
    const odd = doc({ 1: ['Gone', { a: 1 }], 2: ['Blur', { image: link('1', 'out') }] });
    const flow = new Flow();
    expect(flow.nodesOf(odd, CATALOG, LOOK)[0]!.handles!.map((handle) => handle.id)).toEqual(['a', 'out']);
    expect(flow.edgesOf(odd, CATALOG, LOOK).map((edge) => edge.id)).toEqual([edgeId('2', 'image')]);
  });
});
