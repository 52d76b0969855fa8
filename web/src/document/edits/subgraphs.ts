/** Subgraphs are made of nodes, taken apart, and given ports. Ports are named alike on the node outside and on the border nodes inside. */
import type { Catalog, InputSpec } from '../catalog';
import type { Edit } from '../change';
import { enclosedBy } from '../enclosed';
import { type Box, boundsOf, WIDTH } from '../geometry';
import { inferenceOf } from '../inference';
import { get, isObject, type Json, same } from '../json';
import {
  asLink,
  consumersOf,
  type Definition,
  type Doc,
  definitionOf,
  INLET,
  INSTANCE,
  isBorder,
  type Link,
  linksInto,
  linkValue,
  NOTE,
  type NodeEntry,
  OUTLET,
  type Point,
  type Port,
} from '../model';
import { freeName, instancesIn, usedBy } from '../subgraphs';
import { typeText } from '../types';
import { placedBy } from './clipboard';
import { addGroups, deleteGroups } from './groups';
import { connect, disconnect } from './links';
import { freeId } from './nodes';

export type Side = 'inputs' | 'outputs';

/** A new id for a definition, made of its name. */
export function freeDefinitionId(doc: Doc, name: string): string {
  const plain = name.toLowerCase().replace(/[^a-z0-9]+/g, '_');
  return freeName(plain.replace(/^_+|_+$/g, '') || 'subgraph', (id) => Object.hasOwn(doc.subgraphs, id));
}

/** Nodes that are not chosen, but come behind a chosen one and before another: they have to go in too, else there would be a circle. */
export function nodesBetween(doc: Doc, ids: readonly string[]): string[] {
  const chosen = new Set(ids);
  const view = new Map(Object.entries(doc.nodes).map(([id, entry]) => [id, linksInto(entry).map(([, link]) => link.node)]));
  const before = reach(ids, (id) => view.get(id) ?? []);
  const consumers = new Map<string, string[]>();
  for (const [id, sources] of view) for (const source of sources) consumers.set(source, [...(consumers.get(source) ?? []), id]);
  const after = reach(ids, (id) => consumers.get(id) ?? []);
  return Object.keys(doc.nodes).filter((id) => !chosen.has(id) && before.has(id) && after.has(id));
}

function reach(ids: readonly string[], next: (id: string) => readonly string[]): Set<string> {
  const found = new Set<string>();
  const stack = [...ids];
  for (let id = stack.pop(); id !== undefined; id = stack.pop()) {
    for (const other of next(id)) {
      if (found.has(other)) continue;
      found.add(other);
      stack.push(other);
    }
  }
  return found;
}

/** What a port takes over from an input that it feeds: type, range, choices and look, but neither its name nor what is required. */
function portLike(input: InputSpec, type: string): Omit<Port, 'name' | 'required'> {
  const { required: _, default: __, lazy: ___, raw: ____, ...rest } = input;
  return { ...rest, type };
}

function portFor(name: string, input: InputSpec | undefined, type: string, value: Json | undefined): Port {
  const fallback = input === undefined || input.required ? undefined : input.default;
  const start = value === undefined || asLink(value) !== null ? fallback : value;
  const like = input === undefined ? { type } : portLike(input, type);
  return { name, ...like, ...(start === undefined ? {} : { default: start }) } as Port;
}

/** A declared type, or what is known of a generic one. */
function typeFor(input: InputSpec | undefined, source: string, catalog: Catalog): string {
  const declared = input === undefined ? '*' : typeText(catalog.parse(input.type));
  return declared === '*' ? source : declared;
}

/**
 * Puts nodes into a new subgraph and its node in their place. Links across the border become ports, one for each output they come from.
 * Notes and frames among them go in as well. What is open becomes a port, too. `boxes`: how the nodes lie. Returns the id of the new node, or null if there is nothing to put in.
 */
export function makeSubgraph(
  edit: Edit,
  ids: readonly string[],
  catalog: Catalog,
  boxes: Readonly<Record<string, Box>>,
  name = 'Subgraph',
): string | null {
  const { doc } = edit;
  const asked = ids.filter((id) => Object.hasOwn(doc.nodes, id) && !isBorder(doc.nodes[id]));
  if (asked.length === 0) return null;
  const along = enclosedBy(doc, asked, boxes);
  const chosen = [...asked, ...along.notes];
  const inside = new Set(chosen);
  const [inlet, outlet] = [freeName('in', (id) => inside.has(id)), freeName('out', (id) => inside.has(id))];
  const inputs = inputsOf(doc, chosen, inside, catalog);
  const outputs = outputsOf(doc, inside, catalog);
  const area = boundsOf(chosen.map((id) => get(boxes, id) ?? boxAt(doc, id)))!;
  const id = freeDefinitionId(doc, name);
  const definition: Definition = {
    name,
    inputs: inputs.map(({ port }) => port),
    outputs: outputs.map(({ port }) => port),
    nodes: {
      [inlet]: { type: INLET, inputs: {} },
      ...Object.fromEntries(chosen.map((one) => [one, innerEntry(doc.nodes[one]!, inside, inlet, inputs)])),
      [outlet]: { type: OUTLET, inputs: Object.fromEntries(outputs.map(({ port, source }) => [port.name, linkValue(source)])) },
    },
    layout: {
      [inlet]: { pos: [area.x - WIDTH - 100, area.y] },
      ...Object.fromEntries(chosen.filter((one) => Object.hasOwn(doc.layout, one)).map((one) => [one, doc.layout[one]!])),
      [outlet]: { pos: [area.x + area.width + 100, area.y] },
    },
    groups: along.groups.map((index) => doc.groups[index]!),
  };
  edit.set(['subgraphs', id], definition);
  const node = freeId(doc);
  edit.set(['nodes', node], {
    type: INSTANCE + id,
    inputs: Object.fromEntries(inputs.map(({ port, source }) => [port.name, linkValue(source)])),
  });
  edit.set(['layout', node], { pos: middle(area) });
  for (const { port, source } of outputs) {
    for (const consumer of consumersOf(doc, source.node, source.output)) {
      if (!inside.has(consumer.node)) edit.set(['nodes', consumer.node, 'inputs', consumer.input], linkValue({ node, output: port.name }));
    }
  }
  for (const one of chosen) {
    edit.remove(['nodes', one]);
    edit.remove(['layout', one]);
  }
  deleteGroups(edit, along.groups);
  exposeOpen(edit.within(id), asked, catalog, outputs.length === 0);
  return node;
}

/** What has to come from outside and nothing is connected to yet becomes an input; `results`: what nothing takes yet an output. */
function exposeOpen(edit: Edit, ids: readonly string[], catalog: Catalog, results: boolean): void {
  for (const id of ids) {
    const { type, inputs } = edit.doc.nodes[id]!;
    const spec = catalog.spec(type);
    for (const [name, input] of Object.entries(spec?.inputs ?? {})) {
      if (input.required && input.widget === undefined && !Object.hasOwn(inputs, name)) exposeInput(edit, id, name, catalog);
    }
    for (const name of results && type !== NOTE ? Object.keys(spec?.outputs ?? {}) : []) {
      if (consumersOf(edit.doc, id, name).length === 0) exposeOutput(edit, { node: id, output: name }, catalog);
    }
  }
}

function boxAt(doc: Doc, id: string): Box {
  const [x, y] = get(doc.layout, id)?.pos ?? [0, 0];
  return { x, y, width: WIDTH, height: 100 };
}

function middle(area: Box): Point {
  return [Math.round(area.x + (area.width - WIDTH) / 2), Math.round(area.y + area.height / 2 - 60)];
}

interface Crossing {
  readonly port: Port;
  readonly source: Link;
}

/** A port for each output outside that something inside takes. */
function inputsOf(doc: Doc, chosen: readonly string[], inside: ReadonlySet<string>, catalog: Catalog): Crossing[] {
  const found = new Map<string, Crossing>();
  const names = new Set<string>();
  for (const id of chosen) {
    const entry = doc.nodes[id]!;
    for (const [input, link] of linksInto(entry)) {
      const key = JSON.stringify([link.node, link.output]);
      if (inside.has(link.node) || found.has(key)) continue;
      const name = freeName(input, (one) => names.has(one));
      names.add(name);
      const spec = get(catalog.spec(entry.type)?.inputs, input);
      const source = typeText(inferenceOf(doc, catalog).outputType(link));
      const held = get(get(doc.layout, id)?.held, input);
      found.set(key, { port: portFor(name, spec, typeFor(spec, source, catalog), held), source: link });
    }
  }
  return [...found.values()];
}

/** A port for each output inside that something outside takes. */
function outputsOf(doc: Doc, inside: ReadonlySet<string>, catalog: Catalog): Crossing[] {
  const found = new Map<string, Crossing>();
  const names = new Set<string>();
  for (const [id, entry] of Object.entries(doc.nodes)) {
    for (const [, link] of inside.has(id) ? [] : linksInto(entry)) {
      const key = JSON.stringify([link.node, link.output]);
      if (!inside.has(link.node) || found.has(key)) continue;
      const name = freeName(link.output, (one) => names.has(one));
      names.add(name);
      found.set(key, { port: { name, type: typeText(inferenceOf(doc, catalog).outputType(link)) } as Port, source: link });
    }
  }
  return [...found.values()];
}

function innerEntry(entry: NodeEntry, inside: ReadonlySet<string>, inlet: string, inputs: readonly Crossing[]): NodeEntry {
  const moved = Object.entries(entry.inputs).map(([name, value]): [string, Json] => {
    const link = asLink(value);
    const crossing = link && !inside.has(link.node) ? inputs.find((one) => same(one.source, link)) : undefined;
    return [name, crossing === undefined ? value : linkValue({ node: inlet, output: crossing.port.name })];
  });
  return { ...entry, inputs: Object.fromEntries(moved) };
}

// ------------------------------------------------------------------------------------------------ taking apart

/** Puts what is inside in the place of the node. Returns the new ids. */
export function unpack(edit: Edit, node: string): string[] {
  const { doc } = edit;
  const outer = get(doc.nodes, node);
  const definition = definitionIn(doc, outer);
  if (outer === undefined || definition === undefined) return [];
  const chosen = Object.keys(definition.nodes).filter((id) => !isBorder(definition.nodes[id]));
  const by = shiftOf(definition, chosen, get(doc.layout, node)?.pos ?? [0, 0]);
  const ids = new Map<string, string>();
  for (const id of chosen) {
    const fresh = freeId(edit.doc);
    ids.set(id, fresh);
    const place = get(definition.layout, id) ?? {};
    edit.set(['nodes', fresh], { ...definition.nodes[id]!, inputs: {} });
    edit.set(['layout', fresh], placedBy(place, by));
  }
  const meant = (value: Json): Json | undefined => unfolded(definition, outer, ids, value);
  for (const [id, fresh] of ids) {
    const inputs = Object.entries(definition.nodes[id]!.inputs).map(([name, value]) => [name, meant(value)] as const);
    edit.set(['nodes', fresh, 'inputs'], Object.fromEntries(inputs.filter(([, value]) => value !== undefined)));
  }
  const results = resultsOf(definition);
  for (const consumer of consumersOf(doc, node)) {
    const value = get(results, consumer.output);
    const found = value === undefined ? undefined : meant(value);
    if (found === undefined) disconnect(edit, consumer.node, consumer.input);
    else edit.set(['nodes', consumer.node, 'inputs', consumer.input], found);
  }
  edit.remove(['nodes', node]);
  edit.remove(['layout', node]);
  addGroups(edit, definition.groups, by);
  dropUnused(edit);
  return [...ids.values()];
}

/** What a value inside a subgraph means outside it; undefined: nothing is set. */
function unfolded(definition: Definition, outer: NodeEntry, ids: ReadonlyMap<string, string>, value: Json): Json | undefined {
  const link = asLink(value);
  if (link === null) return value;
  if (definition.nodes[link.node]?.type === INLET) {
    const port = definition.inputs.find((one) => one.name === link.output);
    return get(outer.inputs, link.output) ?? port?.default;
  }
  const node = ids.get(link.node);
  return node === undefined ? undefined : linkValue({ node, output: link.output });
}

function resultsOf(definition: Definition): Record<string, Json> {
  const outlets = Object.values(definition.nodes).filter((entry) => entry.type === OUTLET);
  return Object.assign({}, ...outlets.map((entry) => entry.inputs));
}

function shiftOf(definition: Definition, ids: readonly string[], at: Point): Point {
  const places = ids.map((id) => get(definition.layout, id)?.pos ?? ([0, 0] as const));
  if (places.length === 0) return [0, 0];
  return [at[0] - Math.min(...places.map(([x]) => x)), at[1] - Math.min(...places.map(([, y]) => y))];
}

export function definitionIn(doc: Doc, entry: NodeEntry | undefined): Definition | undefined {
  const id = definitionOf(entry);
  return id === null ? undefined : get(doc.subgraphs, id);
}

/** Definitions that no node stands for any more go. */
export function dropUnused(edit: Edit): void {
  const used = usedBy(edit.whole, instancesIn(edit.within(null).doc.nodes));
  for (const id of Object.keys(edit.whole.subgraphs)) if (!used.has(id) && id !== edit.level) edit.remove(['subgraphs', id]);
}

/** A definition of its own for one node, so that changes inside leave the others alone. */
export function makeIndependent(edit: Edit, node: string): string | null {
  const id = definitionOf(get(edit.doc.nodes, node));
  const definition = id === null ? undefined : get(edit.whole.subgraphs, id);
  if (definition === undefined) return null;
  const name = freeName(definition.name, (one) => Object.values(edit.whole.subgraphs).some((other) => other.name === one));
  const fresh = freeDefinitionId(edit.whole, name);
  edit.set(['subgraphs', fresh], { ...definition, name });
  edit.set(['nodes', node, 'type'], INSTANCE + fresh);
  return fresh;
}

export function renameDefinition(edit: Edit, id: string, name: string): void {
  if (Object.hasOwn(edit.whole.subgraphs, id) && name !== '') edit.set(['subgraphs', id, 'name'], name);
}

// ------------------------------------------------------------------------------------------------ ports

/** Every level of the document: the canvas and each definition. */
function levels(edit: Edit): Edit[] {
  return [edit.within(null), ...Object.keys(edit.whole.subgraphs).map((id) => edit.within(id))];
}

function setPorts(edit: Edit, id: string, side: Side, ports: readonly Port[]): void {
  edit.set(['subgraphs', id, side], ports);
}

function portsOf(edit: Edit, id: string, side: Side): readonly Port[] {
  return get(edit.whole.subgraphs, id)?.[side] ?? [];
}

/** The border node of a side, inside a definition. */
export function borderOf(doc: Doc, side: Side): string | null {
  const type = side === 'inputs' ? INLET : OUTLET;
  return Object.keys(doc.nodes).find((id) => doc.nodes[id]!.type === type) ?? null;
}

export function renamePort(edit: Edit, id: string, side: Side, from: string, wanted: string): void {
  const ports = portsOf(edit, id, side);
  if (wanted === '' || wanted === from || !ports.some((port) => port.name === from)) return;
  const to = freeName(wanted, (name) => name !== from && ports.some((port) => port.name === name));
  setPorts(
    edit,
    id,
    side,
    ports.map((port) => (port.name === from ? { ...port, name: to } : port)),
  );
  forEnds(edit, id, side, (level, node, what) => {
    if (what === 'inputs') renameInput(level, node, from, to);
    else relabel(level, node, from, to);
  });
}

function renameInput(level: Edit, node: string, from: string, to: string): void {
  for (const path of [
    ['nodes', node, 'inputs'],
    ['layout', node, 'held'],
    ['layout', node, 'via'],
    ['layout', node, 'after'],
  ]) {
    const now = level.at(path);
    if (!isObject(now) || !Object.hasOwn(now, from)) continue;
    level.set(path, Object.fromEntries(Object.entries(now).map(([name, value]) => [name === from ? to : name, value])));
  }
}

function relabel(level: Edit, node: string, from: string, to: string): void {
  for (const consumer of consumersOf(level.doc, node, from)) {
    level.set(['nodes', consumer.node, 'inputs', consumer.input], linkValue({ node, output: to }));
  }
}

/** The nodes that have a port: each instance outside on the same side, the border node inside on the other. */
function forEnds(edit: Edit, id: string, side: Side, act: (level: Edit, node: string, what: Side) => void): void {
  for (const level of levels(edit)) {
    for (const [node, entry] of Object.entries(level.doc.nodes)) {
      if (entry.type === INSTANCE + id) act(level, node, side);
      if (level.level === id && entry.type === (side === 'inputs' ? INLET : OUTLET))
        act(level, node, side === 'inputs' ? 'outputs' : 'inputs');
    }
  }
}

export function removePort(edit: Edit, id: string, side: Side, name: string): void {
  const ports = portsOf(edit, id, side);
  if (!ports.some((port) => port.name === name)) return;
  forEnds(edit, id, side, (level, node, what) => {
    if (what === 'outputs') for (const consumer of consumersOf(level.doc, node, name)) disconnect(level, consumer.node, consumer.input);
    else {
      disconnect(level, node, name);
      level.remove(['nodes', node, 'inputs', name]);
    }
  });
  setPorts(
    edit,
    id,
    side,
    ports.filter((port) => port.name !== name),
  );
}

/** Puts a port `by` places further down. */
export function movePort(edit: Edit, id: string, side: Side, name: string, by: number): void {
  const ports = [...portsOf(edit, id, side)];
  const at = ports.findIndex((port) => port.name === name);
  const to = Math.min(ports.length - 1, Math.max(0, at + by));
  if (at < 0 || at === to) return;
  const [port] = ports.splice(at, 1);
  ports.splice(to, 0, port!);
  setPorts(edit, id, side, ports);
}

/** Makes an input of a node inside settable from outside: a new port with its present value as the default. */
export function exposeInput(edit: Edit, node: string, input: string, catalog: Catalog): string | null {
  const entry = get(edit.doc.nodes, node);
  const spec = entry && get(catalog.spec(entry.type)?.inputs, input);
  if (edit.level === null || entry === undefined || spec === undefined || isBorder(entry)) return null;
  const ports = portsOf(edit, edit.level, 'inputs');
  const name = freeName(input, (one) => ports.some((port) => port.name === one));
  const link = asLink(get(entry.inputs, input));
  const type = typeFor(spec, link === null ? '*' : typeText(inferenceOf(edit.doc, catalog).outputType(link)), catalog);
  setPorts(edit, edit.level, 'inputs', [...ports, portFor(name, spec, type, get(entry.inputs, input))]);
  connect(edit, { node: bordered(edit, 'inputs'), output: name }, node, input);
  return name;
}

/** Makes an output of a node inside an output of the subgraph. */
export function exposeOutput(edit: Edit, from: Link, catalog: Catalog): string | null {
  const entry = get(edit.doc.nodes, from.node);
  if (edit.level === null || entry === undefined || isBorder(entry)) return null;
  const ports = portsOf(edit, edit.level, 'outputs');
  const name = freeName(from.output, (one) => ports.some((port) => port.name === one));
  const type = typeText(inferenceOf(edit.doc, catalog).outputType(from));
  setPorts(edit, edit.level, 'outputs', [...ports, { name, type } as Port]);
  edit.set(['nodes', bordered(edit, 'outputs'), 'inputs', name], linkValue(from));
  return name;
}

/** The border node of a side; made if a file came without it. */
function bordered(edit: Edit, side: Side): string {
  const found = borderOf(edit.doc, side);
  if (found !== null) return found;
  const id = freeName(side === 'inputs' ? 'in' : 'out', (one) => Object.hasOwn(edit.doc.nodes, one));
  edit.set(['nodes', id], { type: side === 'inputs' ? INLET : OUTLET, inputs: {} });
  edit.set(['layout', id], { pos: [0, 0] });
  return id;
}

/** Brings the types of ports to what they are connected to inside; names, order and defaults stay. */
export function followTypes(edit: Edit, catalog: Catalog): void {
  const { level, doc } = edit;
  const definition = level === null ? undefined : get(edit.whole.subgraphs, level);
  if (level === null || definition === undefined) return;
  const [inlet, outlet] = [borderOf(doc, 'inputs'), borderOf(doc, 'outputs')];
  const inputs = definition.inputs.map((port) => (inlet === null ? port : asFed(doc, port, inlet, catalog)));
  if (inputs.some((port, i) => port !== definition.inputs[i])) setPorts(edit, level, 'inputs', inputs);
  const outputs = definition.outputs.map((port) => {
    const link = asLink(get(get(doc.nodes, outlet ?? '')?.inputs, port.name));
    const type = link === null ? '*' : typeText(inferenceOf(doc, catalog).outputType(link));
    return type === '*' || type === port.type ? port : { ...port, type };
  });
  if (outputs.some((port, i) => port !== definition.outputs[i])) setPorts(edit, level, 'outputs', outputs);
}

function asFed(doc: Doc, port: Port, inlet: string, catalog: Catalog): Port {
  const consumer = consumersOf(doc, inlet, port.name)[0];
  const entry = consumer && get(doc.nodes, consumer.node);
  const input = consumer && entry && get(catalog.spec(entry.type)?.inputs, consumer.input);
  if (input === undefined) return port;
  const type = typeText(catalog.parse(input.type));
  if (type === '*' || type === port.type) return port;
  const fallback = input.required ? {} : { default: input.default ?? null };
  return { name: port.name, ...portLike(input, type), ...fallback } as Port;
}
