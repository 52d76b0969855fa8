/** The workflow as the canvas wants it: boxes and lines. What did not change keeps its identity, so that it is not drawn again. */
import type { Edge, Node } from '@xyflow/react';
import type { Catalog, NodeSpec } from '../document/catalog';
import { isNested } from '../document/edits/groups';
import { type Geometry, geometryOf, HEADER, handlesOf } from '../document/geometry';
import { inferenceOf } from '../document/inference';
import { get } from '../document/json';
import { type Doc, type Group, linksInto, NOTE, type NodeEntry, type NodeLayout, type Point } from '../document/model';
import { isCast, type Joint, joint, type Type, type TypeRules, typeName } from '../document/types';

export interface NodeData extends Record<string, unknown> {
  readonly entry: NodeEntry;
  readonly layout: NodeLayout | undefined;
  readonly spec: NodeSpec | undefined;
  readonly geometry: Geometry;
  readonly used: readonly string[];
}
export interface GroupData extends Record<string, unknown> {
  readonly group: Group;
  readonly index: number;
}
export interface LinkData extends Record<string, unknown> {
  readonly color: string;
  /** how the value is converted on the way, in words; empty if it is not */
  readonly cast: string;
  readonly wrong: boolean;
  readonly via: readonly Point[] | undefined;
}
export type FlowNode = Node<NodeData, 'node'>;
export type FlowGroup = Node<GroupData, 'group'>;
export type FlowEdge = Edge<LinkData, 'link'>;

export interface Look {
  readonly selection: ReadonlySet<string>;
  readonly links: ReadonlySet<string>;
  readonly moving: Readonly<Record<string, Point>>;
  readonly sizing: Readonly<Record<string, Point>>;
  /** nodes that show a picture or text */
  readonly shows: ReadonlySet<string>;
  /** nodes with an element in the page; null: all */
  readonly real: ReadonlySet<string> | null;
}

const HANDLE = 12;
/** frames lie behind all nodes, selected or not */
const BEHIND = -3000;
const NONE: readonly string[] = [];

export function edgeId(node: string, input: string): string {
  return JSON.stringify([node, input]);
}

export function endOfEdge(id: string): [string, string] {
  return JSON.parse(id) as [string, string];
}

interface Kept<T> {
  readonly from: readonly unknown[];
  readonly made: T;
}

/** Remembers what was made from what, by name. */
class Memory<T> {
  private kept = new Map<string, Kept<T>>();
  private next = new Map<string, Kept<T>>();

  get(name: string, from: readonly unknown[], make: () => T): T {
    const old = this.kept.get(name);
    const found =
      old !== undefined && old.from.length === from.length && old.from.every((item, i) => item === from[i]) ? old : { from, made: make() };
    this.next.set(name, found);
    return found.made;
  }

  /** What was not asked for since the last time is forgotten. */
  turn(): void {
    this.kept = this.next;
    this.next = new Map();
  }
}

export class Flow {
  private readonly data = new Memory<NodeData>();
  private readonly nodes = new Memory<FlowNode>();
  private readonly groups = new Memory<FlowGroup>();
  private readonly edges = new Memory<FlowEdge>();

  nodesOf(doc: Doc, catalog: Catalog, look: Look): (FlowNode | FlowGroup)[] {
    const used = usedOutputs(doc, catalog);
    const found: (FlowNode | FlowGroup)[] = doc.groups.map((group, index) => this.group(group, index, depthOf(group, doc.groups), look));
    for (const [id, entry] of Object.entries(doc.nodes)) found.push(this.node(doc, id, entry, catalog, look, used.get(id) ?? NONE));
    this.data.turn();
    this.nodes.turn();
    this.groups.turn();
    return found;
  }

  private node(doc: Doc, id: string, entry: NodeEntry, catalog: Catalog, look: Look, used: readonly string[]): FlowNode {
    const layout = get(doc.layout, id);
    const sizing = get(look.sizing, id);
    const shows = look.shows.has(id);
    const names = used.join('\0');
    const data = this.data.get(id, [entry, layout, catalog, sizing, shows, names], () => {
      const spec = catalog.spec(entry.type);
      const place = sizing === undefined ? layout : { ...layout, size: sizing };
      return { entry, layout, spec, geometry: geometryOf(spec, entry, place, shows, used), used };
    });
    const selected = look.selection.has(id);
    const hidden = look.real !== null && !look.real.has(id);
    const [x, y] = get(look.moving, id) ?? layout?.pos ?? [0, 0];
    return this.nodes.get(id, [data, selected, x, y, hidden], () => ({
      id,
      type: 'node',
      data,
      hidden,
      position: { x, y },
      style: placed(x, y),
      width: data.geometry.width,
      height: data.geometry.height,
      measured: { width: data.geometry.width, height: data.geometry.height },
      handles: handles(data),
      selected,
      dragHandle: '.grip',
      ariaLabel: `${entry.title || data.spec?.title || entry.type}`,
    }));
  }

  /** Selected by its title alone: a frame drawn around nodes in it with the mouse is about the nodes. */
  private group(group: Group, index: number, depth: number, look: Look): FlowGroup {
    const id = `group:${index}`;
    const [x, y] = get(look.moving, id) ?? [group.bounding[0], group.bounding[1]];
    const [width, height] = get(look.sizing, id) ?? [group.bounding[2], group.bounding[3]];
    const selected = look.selection.has(id);
    return this.groups.get(id, [group, x, y, width, height, selected, depth], () => ({
      id,
      type: 'group',
      data: { group, index },
      position: { x, y },
      style: placed(x, y),
      width,
      height,
      measured: { width, height },
      selected,
      selectable: false,
      zIndex: BEHIND + depth,
      dragHandle: '.grip',
      ariaLabel: `Group ${group.title ?? ''}`,
    }));
  }

  edgesOf(doc: Doc, catalog: Catalog, look: Pick<Look, 'links'>): FlowEdge[] {
    const view = inferenceOf(doc, catalog);
    const found: FlowEdge[] = [];
    for (const [target, entry] of Object.entries(doc.nodes)) {
      const spec = catalog.spec(entry.type);
      for (const [input, link] of linksInto(entry)) {
        if (!Object.hasOwn(doc.nodes, link.node)) continue;
        const source = view.outputType(link);
        const wanted = spec && get(spec.inputs, input);
        const how = wanted === undefined ? null : joint(catalog.parse(wanted.type), source, wanted.mapped === true, catalog.rules);
        const cast = wanted === undefined ? '' : castOf(how, catalog.parse(wanted.type), source, catalog.rules);
        const data = {
          color: catalog.color(source),
          cast,
          wrong: spec !== undefined && how === null,
          via: get(get(doc.layout, target)?.via, input),
        };
        const id = edgeId(target, input);
        const selected = look.links.has(id);
        const from = [link.node, link.output, data.color, cast, data.wrong, data.via, selected];
        found.push(
          this.edges.get(id, from, () => ({
            id,
            type: 'link',
            source: link.node,
            sourceHandle: link.output,
            target,
            targetHandle: input,
            data,
            selected,
            ariaLabel: `Link from ${link.node} ${link.output} to ${target} ${input}`,
          })),
        );
      }
    }
    this.edges.turn();
    return found;
  }
}

/** By its corner: React Flow's own transform of each node costs a browser far more when many are drawn anew. */
function placed(x: number, y: number): NonNullable<FlowNode['style']> {
  return { transform: 'none', left: x, top: y };
}

/** In how many other frames one lies: it is drawn above those. */
function depthOf(group: Group, all: readonly Group[]): number {
  return all.filter((other) => other !== group && isNested(other, group)).length;
}

function castOf(how: Joint | null, wanted: Type, source: Type, rules: TypeRules): string {
  if (how === 'wrap') return `${typeName(source)} becomes a list of one`;
  if (how === 'each') return `one call for each of a ${typeName(source)}`;
  return isCast(wanted, source, rules) ? `${typeName(source)} becomes ${typeName(wanted)}` : '';
}

function handles(data: NodeData): NonNullable<FlowNode['handles']> {
  return handlesOf(data.geometry, data.spec, data.entry, data.used).map((place) => ({
    id: place.name,
    type: place.side === 'input' ? 'target' : 'source',
    position: (place.side === 'input' ? 'left' : 'right') as never,
    x: place.side === 'input' ? -HANDLE / 2 : data.geometry.width - HANDLE / 2,
    y: place.y - HANDLE / 2,
    width: HANDLE,
    height: HANDLE,
  }));
}

/** Outputs that links use, of nodes that are not installed, where that is all that is known of them, and of remarks. */
export function usedOutputs(doc: Doc, catalog: Catalog): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const entry of Object.values(doc.nodes)) {
    for (const [, link] of linksInto(entry)) {
      const source = get(doc.nodes, link.node);
      if (source === undefined || (catalog.spec(source.type) !== undefined && source.type !== NOTE)) continue;
      const names = found.get(link.node) ?? [];
      if (!names.includes(link.output)) found.set(link.node, [...names, link.output]);
    }
  }
  return found;
}

/** The boxes of nodes, for lining them up and framing them. */
export function boxesOf(nodes: readonly (FlowNode | FlowGroup)[]): Record<string, { x: number; y: number; width: number; height: number }> {
  return Object.fromEntries(
    nodes.map((node) => [node.id, { x: node.position.x, y: node.position.y, width: node.width ?? 0, height: node.height ?? HEADER }]),
  );
}
