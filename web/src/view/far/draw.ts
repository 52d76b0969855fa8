/** The canvas from afar: frames, links and nodes as boxes with their names, in the pixels of the screen. */
import { drawable } from '../../document/colors';
import type { Box } from '../../document/geometry';
import type { FlowGroup, FlowNode } from '../../state/flow';
import type { NodeRun } from '../../state/runs';
import { seconds } from '../NodeParts';
import { isPictured } from './FarNode';
import type { Ink } from './ink';
import { fontOf, linesOf } from './labels';
import type { Way } from './ways';

export interface Place {
  readonly x: number;
  readonly y: number;
  readonly zoom: number;
  readonly width: number;
  readonly height: number;
}

/** What is known of a node beside the workflow. */
export interface Fate {
  readonly run: NodeRun | undefined;
  readonly wrong: boolean;
}

export interface Scene {
  readonly nodes: readonly (FlowNode | FlowGroup)[];
  readonly ways: readonly Way[];
  readonly fateOf: (id: string) => Fate;
}

/** below this zoom links lie so close that they would hide the nodes */
const DENSE = 0.15;
const RADIUS = 8;
/** below this many pixels corners are not rounded, and no marks are made */
const TINY = 24;
const LETTERS = 40;
const LARGEST = 12.5;
const SMALLEST = 7;
const LEADING = 1.2;
/** the height of the name of a node with a picture under it */
export const CAPTION = 44;

export function drawScene(context: CanvasRenderingContext2D, scene: Scene, place: Place, ink: Ink): void {
  new Pen(context).draw(scene, place, ink);
}

class Pen {
  constructor(private readonly context: CanvasRenderingContext2D) {}

  draw(scene: Scene, place: Place, ink: Ink): void {
    const { context } = this;
    context.clearRect(0, 0, place.width, place.height);
    const seen = scene.nodes.filter((node) => isSeen(boxOf(node), place));
    for (const node of seen) if (node.type === 'group') this.group(node, on(place, boxOf(node)), ink);
    this.ways(scene.ways, place, ink);
    for (const chosen of [false, true]) {
      for (const node of seen) {
        if (node.type === 'node' && (node.selected === true) === chosen) this.node(node, on(place, boxOf(node)), place.zoom, scene, ink);
      }
    }
  }

  private group(group: FlowGroup, box: Box, ink: Ink): void {
    const { context } = this;
    const color = drawable(group.data.group.color) ?? ink.frame;
    this.outline(box, RADIUS / 2);
    context.globalAlpha = ink.veil;
    context.fillStyle = color;
    context.fill();
    context.globalAlpha = group.selected ? 1 : 0.7;
    context.lineWidth = 1;
    context.strokeStyle = group.selected ? ink.accent : color;
    context.stroke();
    context.globalAlpha = 1;
  }

  // -------------------------------------------------------------------------------------------- links

  /** All of a colour at once; in the width of one pixel, which browsers draw fastest. */
  private ways(ways: readonly Way[], place: Place, ink: Ink): void {
    const seen = ways.filter((way) => isSeen(way.box, place));
    const plain = seen.filter((way) => !way.selected);
    this.context.globalAlpha = place.zoom < DENSE ? 0.4 : 0.65;
    for (const [color, same] of byColor(plain, ink)) this.strokes(same, place, color, 1);
    this.context.globalAlpha = 1;
    this.strokes(
      seen.filter((way) => way.selected),
      place,
      ink.accent,
      2,
    );
  }

  private strokes(ways: readonly Way[], { x, y, zoom }: Place, color: string, width: number): void {
    if (ways.length === 0) return;
    const { context } = this;
    context.beginPath();
    for (const { curve } of ways) {
      context.moveTo(curve[0]! * zoom + x, curve[1]! * zoom + y);
      for (let i = 2; i < curve.length; i += 6) {
        context.bezierCurveTo(
          curve[i]! * zoom + x,
          curve[i + 1]! * zoom + y,
          curve[i + 2]! * zoom + x,
          curve[i + 3]! * zoom + y,
          curve[i + 4]! * zoom + x,
          curve[i + 5]! * zoom + y,
        );
      }
    }
    context.lineWidth = width;
    context.strokeStyle = color;
    context.stroke();
  }

  // -------------------------------------------------------------------------------------------- nodes

  private node(node: FlowNode, box: Box, zoom: number, scene: Scene, ink: Ink): void {
    const { context } = this;
    const { entry, layout, spec } = node.data;
    const fate = scene.fateOf(node.id);
    const color = drawable(layout?.color);
    const wrong = fate.wrong || fate.run?.status === 'failed';
    const marked = wrong || node.selected === true || fate.run?.status === 'running';
    context.globalAlpha = entry.mode === 'muted' ? 0.4 : entry.mode === 'bypassed' ? 0.6 : 1;
    context.fillStyle = color === undefined ? ink.box : ink.tint(color);
    context.strokeStyle = wrong ? ink.wrong : marked ? ink.accent : ink.line;
    context.lineWidth = marked ? 2 : 1;
    if (spec === undefined || entry.mode === 'bypassed') context.setLineDash([4, 3]);
    this.outline(box, box.width < TINY ? 0 : RADIUS * zoom);
    context.fill();
    context.stroke();
    context.setLineDash([]);
    if (fate.run !== undefined) this.run(fate.run, box, ink);
    if (box.width >= TINY) this.name(node, fate.run, box, zoom, ink);
    context.globalAlpha = 1;
  }

  private outline({ x, y, width, height }: Box, radius: number): void {
    this.context.beginPath();
    if (radius < 1) this.context.rect(x, y, width, height);
    else this.context.roundRect(x, y, width, height, radius);
  }

  /** How the last run went: a bar while it runs, a dot after it. */
  private run(run: NodeRun, { x, y, width, height }: Box, ink: Ink): void {
    const { context } = this;
    if (run.status === 'running') {
      const share = run.total ? Math.min(1, (run.value ?? 0) / run.total) : 1;
      context.fillStyle = ink.accent;
      context.fillRect(x, y + height - 3, width * share, 3);
      return;
    }
    const color = run.status === 'cached' ? ink.good : run.status === 'failed' ? ink.wrong : run.status === 'queued' ? ink.dim : null;
    if (color === null || width < TINY) return;
    context.beginPath();
    context.arc(x + width - 5, y + 5, 2.5, 0, 2 * Math.PI);
    context.fillStyle = color;
    context.fill();
  }

  /** In the middle of the box, or above the picture that the node shows; under it how far it is. */
  private name(node: FlowNode, run: NodeRun | undefined, box: Box, zoom: number, ink: Ink): void {
    const { context } = this;
    const { data } = node;
    const height = isPictured(run) && data.geometry.rows.length > 0 ? Math.min(CAPTION * zoom, box.height) : box.height;
    const size = Math.min(LARGEST, LETTERS * zoom, height * 0.8);
    if (size < SMALLEST) return;
    const more = data.spec === undefined ? 'missing' : noteOf(run);
    const most = Math.max(1, Math.floor((height - 4) / (size * LEADING)));
    const lines = linesOf(context, node.ariaLabel ?? '', (box.width - 6) / size, more !== '' && most > 1 ? most - 1 : most);
    const all = more !== '' && lines.length < most ? [...lines, more] : lines;
    context.font = fontOf(size);
    context.textAlign = 'center';
    context.textBaseline = 'middle';
    all.forEach((line, i) => {
      context.fillStyle = i < lines.length ? ink.text : data.spec === undefined ? ink.wrong : ink.dim;
      context.fillText(line, box.x + box.width / 2, box.y + height / 2 + (i - (all.length - 1) / 2) * size * LEADING);
    });
  }
}

function noteOf(run: NodeRun | undefined): string {
  if (run?.status === 'running') return run.total ? `${run.value}/${run.total}` : '';
  return run?.status === 'done' && run.seconds !== undefined ? seconds(run.seconds) : '';
}

function byColor(ways: readonly Way[], ink: Ink): Map<string, Way[]> {
  const found = new Map<string, Way[]>();
  for (const way of ways) {
    const color = way.wrong ? ink.wrong : way.color;
    const same = found.get(color);
    if (same === undefined) found.set(color, [way]);
    else same.push(way);
  }
  return found;
}

function boxOf({ position, width, height }: FlowNode | FlowGroup): Box {
  return { x: position.x, y: position.y, width: width ?? 0, height: height ?? 0 };
}

function on({ x, y, zoom }: Place, box: Box): Box {
  return { x: box.x * zoom + x, y: box.y * zoom + y, width: box.width * zoom, height: box.height * zoom };
}

function isSeen({ x, y, width, height }: Box, place: Place): boolean {
  const [left, top] = [x * place.zoom + place.x, y * place.zoom + place.y];
  return left < place.width && top < place.height && left + width * place.zoom > 0 && top + height * place.zoom > 0;
}
