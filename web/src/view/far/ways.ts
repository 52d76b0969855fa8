/** The ways that links take, worked out anew only for those whose ends moved. */
import { boxOf, type Curve, curveThrough } from '../../document/curves';
import { shifted } from '../../document/edits/reroutes';
import type { Box } from '../../document/geometry';
import type { Point } from '../../document/model';
import type { FlowEdge, FlowGroup, FlowNode } from '../../state/flow';

export interface Way {
  readonly curve: Curve;
  readonly box: Box;
  readonly color: string;
  readonly wrong: boolean;
  readonly selected: boolean;
}

interface Kept {
  readonly source: FlowNode;
  readonly target: FlowNode;
  readonly way: Way | null;
}

export class Ways {
  private readonly kept = new WeakMap<FlowEdge, Kept>();

  of(nodes: readonly (FlowNode | FlowGroup)[], edges: readonly FlowEdge[]): Way[] {
    const byId = new Map(nodes.map((node) => [node.id, node]));
    return edges.flatMap((edge) => {
      const [source, target] = [byId.get(edge.source), byId.get(edge.target)];
      if (source?.type !== 'node' || target?.type !== 'node') return [];
      return this.way(edge, source, target) ?? [];
    });
  }

  private way(edge: FlowEdge, source: FlowNode, target: FlowNode): Way | null {
    const old = this.kept.get(edge);
    if (old?.source === source && old.target === target) return old.way;
    const way = wayOf(edge, source, target);
    this.kept.set(edge, { source, target, way });
    return way;
  }
}

function wayOf(edge: FlowEdge, source: FlowNode, target: FlowNode): Way | null {
  const [from, to] = [endAt(source, 'source', edge.sourceHandle), endAt(target, 'target', edge.targetHandle)];
  if (from === null || to === null || edge.data === undefined) return null;
  const curve = curveThrough(from, to, viaOf(edge, source, target));
  return { curve, box: boxOf(curve), color: edge.data.color, wrong: edge.data.wrong, selected: edge.selected === true };
}

/** The outer edge of a handle, where React Flow has a link end too. */
function endAt(node: FlowNode, type: 'source' | 'target', name: string | null | undefined): Point | null {
  const handle = node.handles?.find((one) => one.type === type && one.id === name);
  if (handle === undefined) return null;
  const [width, height] = [handle.width ?? 0, handle.height ?? 0];
  return [node.position.x + handle.x + (type === 'source' ? width : 0), node.position.y + handle.y + height / 2];
}

/** While both ends are dragged, the points between them go along. */
function viaOf(edge: FlowEdge, source: FlowNode, target: FlowNode): readonly Point[] | undefined {
  const via = edge.data?.via;
  const [one, two] = [draggedBy(source), draggedBy(target)];
  return via === undefined || (one[0] === 0 && one[1] === 0) || (two[0] === 0 && two[1] === 0) ? via : via.map(shifted(two));
}

function draggedBy(node: FlowNode): Point {
  const [x, y] = node.data.layout?.pos ?? [0, 0];
  return [node.position.x - x, node.position.y - y];
}
