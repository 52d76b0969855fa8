/** The lists one types into: nodes to jump to, and ends that a node's ends may be connected with. */
import { connect, disconnect } from '../document/edits/links';
import { inferenceOf } from '../document/inference';
import { get } from '../document/json';
import { asLink, consumersOf, type Doc, type Link, linksInto } from '../document/model';
import { joint } from '../document/types';
import { currentCatalog, currentDoc, perform } from '../state/editor';
import type { Quick } from '../state/quick';
import { canvas } from './command';
import { goTo } from './moving';

export interface Choice {
  readonly key: string;
  readonly label: string;
  readonly note: string;
  readonly color?: string;
  readonly run: () => void;
}

/** Everything that can be chosen; what is typed is looked for in label and note. */
export function choicesOf(open: Quick): readonly Choice[] {
  return open.kind === 'find' ? nodesToFind() : endsToConnect(open.node, open.input);
}

/** What has all the words, that which begins with the first of them before the rest. */
export function matching(choices: readonly Choice[], query: string, most = 100): readonly Choice[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const found = choices.filter(({ label, note }) => words.every((word) => `${label} ${note}`.toLowerCase().includes(word)));
  const begins = ({ label }: Choice): number => (label.toLowerCase().startsWith(words[0] ?? '') ? 0 : 1);
  return found.sort((a, b) => begins(a) - begins(b)).slice(0, most);
}

export function nameOf(doc: Doc, id: string): string {
  const entry = get(doc.nodes, id);
  return entry?.title || currentCatalog().spec(entry?.type ?? '')?.title || entry?.type || id;
}

/** By title, type, id, and the text in its widgets. */
function nodesToFind(): Choice[] {
  const doc = currentDoc();
  const nodes = Object.entries(doc.nodes).map(([id, entry]): Choice => {
    const texts = Object.values(entry.inputs).filter((value) => typeof value === 'string');
    const note = [entry.type, `#${id}`, ...texts].join(' · ').slice(0, 160);
    return { key: id, label: nameOf(doc, id), note, run: () => goTo(id) };
  });
  const groups = doc.groups.map((group, i): Choice => {
    const id = `group:${i}`;
    return { key: id, label: group.title || 'Group', note: 'group', run: () => canvas().fit([id]) };
  });
  return [...nodes, ...groups];
}

const pretty = (name: string): string => name.replaceAll('_', ' ');

/** What a node's ends may be connected with: those that stand nearest come first, and what is connected now can be cut. */
function endsToConnect(id: string, only: string | null): Choice[] {
  const doc = currentDoc();
  const spec = currentCatalog().spec(get(doc.nodes, id)?.type ?? '');
  if (spec === undefined) return [];
  const inputs = Object.keys(spec.inputs).filter((name) => only === null || name === only);
  const outputs = only === null ? Object.keys(spec.outputs) : [];
  return [
    ...cuts(doc, id, inputs),
    ...outputs.flatMap((name) => goals(doc, { node: id, output: name })),
    ...inputs.flatMap((name) => sources(doc, id, name)),
  ];
}

function cuts(doc: Doc, id: string, inputs: readonly string[]): Choice[] {
  return inputs.flatMap((input) => {
    const link = asLink(get(get(doc.nodes, id)?.inputs, input));
    if (link === null) return [];
    const note = `from ${nameOf(doc, link.node)} · ${pretty(link.output)}`;
    return [
      {
        key: `cut ${input}`,
        label: `Disconnect ${pretty(input)}`,
        note,
        run: () => perform('Disconnect', (edit) => disconnect(edit, id, input)),
      },
    ];
  });
}

function goals(doc: Doc, from: Link): Choice[] {
  const catalog = currentCatalog();
  const type = inferenceOf(doc, catalog).outputType(from);
  const barred = closure(from.node, (node) => linksInto(get(doc.nodes, node)!).map(([, link]) => link.node), doc);
  return byDistance(
    from.node,
    Object.keys(doc.nodes).filter((id) => !barred.has(id)),
  ).flatMap((id) =>
    Object.entries(catalog.spec(get(doc.nodes, id)!.type)?.inputs ?? {}).flatMap(([input, spec]) => {
      const now = asLink(get(get(doc.nodes, id)!.inputs, input));
      const same = now?.node === from.node && now.output === from.output;
      if (same || joint(catalog.parse(spec.type), type, spec.mapped === true, catalog.rules) === null) return [];
      return [choice(doc, from, id, input, `${pretty(from.output)} → ${nameOf(doc, id)} · ${pretty(input)}`, now !== null)];
    }),
  );
}

function sources(doc: Doc, id: string, input: string): Choice[] {
  const catalog = currentCatalog();
  const spec = get(catalog.spec(get(doc.nodes, id)?.type ?? '')?.inputs, input);
  if (spec === undefined) return [];
  const view = inferenceOf(doc, catalog);
  const wanted = catalog.parse(spec.type);
  const now = asLink(get(get(doc.nodes, id)?.inputs, input));
  const barred = closure(id, (node) => consumersOf(doc, node).map((one) => one.node), doc);
  return byDistance(
    id,
    Object.keys(doc.nodes).filter((other) => !barred.has(other)),
  ).flatMap((other) =>
    Object.keys(catalog.spec(get(doc.nodes, other)!.type)?.outputs ?? {}).flatMap((output) => {
      const from = { node: other, output };
      if (now?.node === other && now.output === output) return [];
      if (joint(wanted, view.outputType(from), spec.mapped === true, catalog.rules) === null) return [];
      return [choice(doc, from, id, input, `${pretty(input)} ← ${nameOf(doc, other)} · ${pretty(output)}`, false)];
    }),
  );
}

function choice(doc: Doc, from: Link, node: string, input: string, label: string, replaces: boolean): Choice {
  const catalog = currentCatalog();
  return {
    key: JSON.stringify([from.node, from.output, node, input]),
    label,
    note: replaces ? 'replaces a link' : '',
    color: catalog.color(inferenceOf(doc, catalog).outputType(from)),
    run: () => perform('Connect', (edit) => connect(edit, from, node, input)),
  };
}

/** A node and all that is reached from it: connecting with those would make a cycle. */
function closure(start: string, next: (id: string) => readonly string[], doc: Doc): ReadonlySet<string> {
  const found = new Set([start]);
  for (const id of found) for (const other of next(id)) if (Object.hasOwn(doc.nodes, other)) found.add(other);
  return found;
}

function byDistance(from: string, ids: readonly string[]): string[] {
  const boxes = canvas().boxes();
  const at = boxes[from];
  const far = (id: string): number => Math.hypot((boxes[id]?.x ?? 0) - (at?.x ?? 0), (boxes[id]?.y ?? 0) - (at?.y ?? 0));
  return [...ids].sort((a, b) => far(a) - far(b));
}
