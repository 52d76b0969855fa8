/**
 * The saved workflow as the editor holds it: the very JSON of the file, never changed in place.
 * Keys that are not known here are carried along, so that saving loses nothing.
 */
import type { InputSpec } from '../wire';
import { get, isObject, type Json, type JsonObject, parseJson, writeJson } from './json';

export const FORMAT = 1;
export const MODES = ['active', 'muted', 'bypassed'] as const;
export type Mode = (typeof MODES)[number];
export type Point = readonly [number, number];

export interface Link {
  readonly node: string;
  readonly output: string;
}

export interface NodeEntry {
  readonly type: string;
  readonly version?: number;
  readonly inputs: Readonly<Record<string, Json>>;
  readonly title?: string;
  readonly mode?: Mode;
}

/** How one node lies on the canvas. `held`: values of linked inputs, for when the link goes; `via`: points a link is led through. */
export interface NodeLayout {
  readonly pos?: Point;
  readonly size?: Point;
  readonly color?: string;
  readonly collapsed?: boolean;
  /** inputs that nobody has set are shown too */
  readonly more?: boolean;
  readonly held?: Readonly<Record<string, Json>>;
  readonly via?: Readonly<Record<string, readonly Point[]>>;
  /** what becomes of a seed after each run, by input: `random` or `increment` */
  readonly after?: Readonly<Record<string, string>>;
}

export interface Group {
  readonly title?: string;
  readonly bounding: readonly [number, number, number, number];
  readonly color?: string;
}

/** An input or output of a subgraph: what its node shows and takes. */
export type Port = InputSpec & { readonly name: string };

/** What nodes of the type `subgraph/ID` stand for. Its border nodes are of the types INLET and OUTLET. */
export interface Definition {
  readonly name: string;
  readonly description?: string;
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  readonly nodes: Readonly<Record<string, NodeEntry>>;
  readonly layout: Readonly<Record<string, NodeLayout>>;
  readonly groups: readonly Group[];
}

/** A remark: its text is never run, and its output is for links of old files only. */
export const NOTE = 'Note';
export const INSTANCE = 'subgraph/';
export const INLET = 'SubgraphInputs';
export const OUTLET = 'SubgraphOutputs';

export interface Doc {
  readonly nodegraph: number;
  readonly nodes: Readonly<Record<string, NodeEntry>>;
  readonly layout: Readonly<Record<string, NodeLayout>>;
  readonly groups: readonly Group[];
  readonly subgraphs: Readonly<Record<string, Definition>>;
  readonly meta: Readonly<Record<string, Json>>;
}

/** What cannot be opened: every fault at once, in words for the user. */
export class NotAWorkflow extends Error {
  constructor(readonly faults: readonly string[]) {
    super(faults.join('\n'));
    this.name = 'NotAWorkflow';
  }
}

export function emptyDocument(title = ''): Doc {
  return { nodegraph: FORMAT, nodes: {}, layout: {}, groups: [], subgraphs: {}, meta: title ? { title } : {} };
}

/** A link if the value is one: exactly `{"link": [node, output]}`. */
export function asLink(value: Json | undefined): Link | null {
  if (!isObject(value)) return null;
  const link = value['link'];
  if (!Array.isArray(link) || link.length !== 2 || Object.keys(value).length !== 1) return null;
  const [node, output] = link;
  return typeof node === 'string' && typeof output === 'string' ? { node, output } : null;
}

export function linkValue(link: Link): Json {
  return { link: [link.node, link.output] };
}

/** The links into a node, by the name of the input. */
export function linksInto(entry: NodeEntry): [string, Link][] {
  const found: [string, Link][] = [];
  for (const [name, value] of Object.entries(entry.inputs)) {
    const link = asLink(value);
    if (link !== null) found.push([name, link]);
  }
  return found;
}

/** Inputs that are fed by a node, or by one of its outputs. */
export function consumersOf(doc: Doc, node: string, output?: string): { node: string; input: string; output: string }[] {
  const found: { node: string; input: string; output: string }[] = [];
  for (const [id, entry] of Object.entries(doc.nodes)) {
    for (const [input, link] of linksInto(entry)) {
      if (link.node === node && (output === undefined || link.output === output)) found.push({ node: id, input, output: link.output });
    }
  }
  return found;
}

const views = new WeakMap<Doc, Map<string, Doc>>();

/** A document as it is inside one of its subgraphs: with that one's nodes, layout and groups. The same for the same state. */
export function viewOf(doc: Doc, level: string | null): Doc {
  const definition = level === null ? undefined : get(doc.subgraphs, level);
  if (level === null || definition === undefined) return doc;
  const known = views.get(doc) ?? new Map<string, Doc>();
  views.set(doc, known);
  const view = known.get(level) ?? { ...doc, nodes: definition.nodes, layout: definition.layout, groups: definition.groups };
  known.set(level, view);
  return view;
}

/** The id of the definition that a node stands for; null for other nodes. */
export function definitionOf(entry: NodeEntry | undefined): string | null {
  return entry?.type.startsWith(INSTANCE) ? entry.type.slice(INSTANCE.length) : null;
}

export function isBorder(entry: NodeEntry | undefined): boolean {
  return entry?.type === INLET || entry?.type === OUTLET;
}

export function positionOf(doc: Doc, id: string): Point {
  return get(doc.layout, id)?.pos ?? [0, 0];
}

export function titleOf(doc: Doc): string {
  const title = doc.meta['title'];
  return typeof title === 'string' && title ? title : 'Untitled';
}

/** A document from a file's text. Raises NotAWorkflow. */
export function readDocument(text: string): Doc {
  let data: Json;
  try {
    data = parseJson(text.replace(/^\uFEFF/, ''));
  } catch (error) {
    throw new NotAWorkflow([`This is not JSON: ${(error as Error).message}`]);
  }
  return checkDocument(data);
}

/** The same from parsed JSON; missing parts are filled in, unknown ones kept. Raises NotAWorkflow. */
export function checkDocument(data: Json): Doc {
  if (!isObject(data) || !('nodegraph' in data)) throw new NotAWorkflow(['This is JSON, but no nodegraph workflow.']);
  const faults = [...faultsOfForm(data)];
  if (faults.length > 0) throw new NotAWorkflow(faults.slice(0, 100));
  const subgraphs = Object.entries((data['subgraphs'] ?? {}) as JsonObject).map(([id, one]) => [id, filledDefinition(one as JsonObject)]);
  return { ...filledLevel(data), subgraphs: Object.fromEntries(subgraphs), meta: data['meta'] ?? {} } as unknown as Doc;
}

/** Nodes, layout and groups, of the canvas or of a subgraph. */
function filledLevel(data: JsonObject): JsonObject {
  const nodes: [string, Json][] = Object.entries((data['nodes'] ?? {}) as JsonObject).map(([id, node]) => [id, filled(node as JsonObject)]);
  const layout: [string, Json][] = Object.entries((data['layout'] ?? {}) as JsonObject).map(([id, place]) => [id, usable(place)]);
  return { ...data, nodes: Object.fromEntries(nodes), layout: Object.fromEntries(layout), groups: data['groups'] ?? [] };
}

function filledDefinition(data: JsonObject): JsonObject {
  return { name: '', inputs: [], outputs: [], ...filledLevel(data) };
}

function filled(node: JsonObject): JsonObject {
  return 'inputs' in node ? node : { ...node, inputs: {} };
}

/** A layout whose numbers can be drawn; what else it holds is left as it is. */
function usable(place: Json): Json {
  if (!isObject(place)) return {};
  const broken = ['pos', 'size'].filter((key) => key in place && !isPoint(place[key]));
  if (broken.length === 0) return place;
  return Object.fromEntries(Object.entries(place).filter(([key]) => !broken.includes(key)));
}

function isPoint(value: Json | undefined): boolean {
  return Array.isArray(value) && value.length === 2 && value.every((item) => typeof item === 'number' && Math.abs(item) < 1e7);
}

function* faultsOfForm(data: JsonObject): Generator<string> {
  const number = data['nodegraph'];
  if (typeof number !== 'number' || !Number.isInteger(number) || number < 1) yield 'Its format number is missing or wrong.';
  else if (number > FORMAT) yield `It has format ${number}; this editor knows formats up to ${FORMAT}. Update nodegraph.`;
  for (const key of ['layout', 'meta', 'subgraphs']) {
    if (key in data && !isObject(data[key])) yield `\`${key}\` must be an object.`;
  }
  if (isObject(data['subgraphs'])) for (const [id, one] of Object.entries(data['subgraphs'])) yield* faultsOfDefinition(id, one);
  yield* faultsOfGroups(data['groups']);
  if (!isObject(data['nodes'])) yield '`nodes` must be an object of nodes by id.';
  else for (const [id, node] of Object.entries(data['nodes'])) yield* faultsOfNode(id, node);
}

function* faultsOfDefinition(id: string, one: Json): Generator<string> {
  const name = `Subgraph ${JSON.stringify(id.slice(0, 40))}`;
  if (id === '' || id.includes('/')) yield `${name}: an id is not empty and has no slash.`;
  const parts = isObject(one) ? ['nodes', 'layout'].every((key) => one[key] === undefined || isObject(one[key])) : false;
  if (!isObject(one) || !parts || typeof (one['name'] ?? '') !== 'string') {
    yield `${name} is no subgraph.`;
    return;
  }
  for (const side of ['inputs', 'outputs']) {
    const ports = one[side] ?? [];
    if (!Array.isArray(ports) || !ports.every((port) => isObject(port) && typeof port['name'] === 'string' && port['name'] !== '')) {
      yield `${name}: each of its ${side} needs a name.`;
    }
  }
  for (const [inner, node] of Object.entries((one['nodes'] ?? {}) as JsonObject)) {
    for (const fault of faultsOfNode(inner, node)) yield `${name}: ${fault}`;
  }
  for (const fault of faultsOfGroups(one['groups'])) yield `${name}: ${fault}`;
}

function* faultsOfGroups(groups: Json | undefined): Generator<string> {
  if (groups === undefined) return;
  if (!Array.isArray(groups)) yield '`groups` must be a list.';
  else if (!groups.every((group) => isObject(group) && isBox(group['bounding']))) yield 'A group needs `bounding`: four numbers.';
}

function isBox(value: Json | undefined): boolean {
  return Array.isArray(value) && value.length === 4 && value.every((item) => typeof item === 'number');
}

function* faultsOfNode(id: string, node: Json): Generator<string> {
  const name = `Node ${JSON.stringify(id.slice(0, 40))}`;
  if (id === '' || id.length > 500) yield `${name}: an id has 1 to 500 characters.`;
  if (!isObject(node) || typeof node['type'] !== 'string') {
    yield `${name} has no type.`;
    return;
  }
  if ('inputs' in node && !isObject(node['inputs'])) yield `${name}: \`inputs\` must be an object.`;
  if ('mode' in node && !MODES.includes(node['mode'] as Mode)) yield `${name}: unknown mode.`;
  if (node['title'] !== undefined && node['title'] !== null && typeof node['title'] !== 'string') yield `${name}: its title is no text.`;
}

export function writeDocument(doc: Doc, indent = 2): string {
  return writeJson(doc, indent);
}
