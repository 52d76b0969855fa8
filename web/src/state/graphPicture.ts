/** The workflow as a PNG: drawn from the document, however far the canvas is zoomed, with the workflow inside. */
import { type Catalog, literalOf } from '../document/catalog';
import { curveThrough, pathOf } from '../document/curves';
import { type Box, boundsOf, type Geometry, geometryOf, HEADER, handlesOf, type Row, WIDGET } from '../document/geometry';
import { inferenceOf } from '../document/inference';
import { get, type Json } from '../document/json';
import { asLink, type Doc, linksInto, type NodeEntry, type Point, positionOf, writeDocument } from '../document/model';
import { asciiJson, withText } from '../document/pngText';
import { usedOutputs } from './flow';

const MARGIN = 40;
const LARGEST_SIDE = 8192;
const MOST_PIXELS = 32e6;
const FONT = 'Inter, "Segoe UI", system-ui, "DejaVu Sans", sans-serif';

/** What is to be drawn of one node. */
interface Drawn {
  readonly id: string;
  readonly entry: NodeEntry;
  readonly box: Box;
  readonly geometry: Geometry;
  readonly used: readonly string[];
}

/** `pictures`: what nodes show, by id; `whole`: the workflow that is put inside, if `doc` is only a level of it. Raises Error where the browser has no room for so large a picture. */
export async function drawGraph(doc: Doc, catalog: Catalog, pictures: ReadonlyMap<string, ImageBitmap>, whole: Doc): Promise<Blob> {
  const nodes = drawnNodes(doc, catalog, pictures);
  const frames = doc.groups.map(({ bounding: [x, y, width, height] }) => ({ x, y, width, height }));
  const all = boundsOf([...nodes.map((node) => node.box), ...frames]) ?? { x: 0, y: 0, width: 200, height: 100 };
  const [width, height] = [all.width + 2 * MARGIN, all.height + 2 * MARGIN];
  const scale = Math.min(2, LARGEST_SIDE / Math.max(width, height), Math.sqrt(MOST_PIXELS / (width * height)));
  const canvas = Object.assign(document.createElement('canvas'), { width: Math.ceil(width * scale), height: Math.ceil(height * scale) });
  const context = canvas.getContext('2d');
  if (context === null) throw new Error('This browser has no room for a picture of this size.');
  const pen = new Pen(context, doc, catalog, pictures);
  pen.background(canvas.width, canvas.height);
  context.setTransform(scale, 0, 0, scale, (MARGIN - all.x) * scale, (MARGIN - all.y) * scale);
  for (const group of doc.groups) pen.group(group.bounding, group.title ?? '', group.color);
  pen.links(nodes);
  for (const node of nodes) pen.node(node);
  return withWorkflow(await blobOf(canvas), whole);
}

async function withWorkflow(png: Blob, doc: Doc): Promise<Blob> {
  const bytes = new Uint8Array(await png.arrayBuffer());
  return new Blob([withText(bytes, 'nodegraph', asciiJson(writeDocument(doc, 0))) as BlobPart], { type: 'image/png' });
}

function blobOf(canvas: HTMLCanvasElement): Promise<Blob> {
  return new Promise((resolve, reject) =>
    canvas.toBlob((blob) => (blob === null ? reject(new Error('This browser could not write the picture.')) : resolve(blob)), 'image/png'),
  );
}

function drawnNodes(doc: Doc, catalog: Catalog, pictures: ReadonlyMap<string, unknown>): Drawn[] {
  const outputs = usedOutputs(doc, catalog);
  return Object.entries(doc.nodes).map(([id, entry]) => {
    const used = outputs.get(id) ?? [];
    const geometry = geometryOf(catalog.spec(entry.type), entry, get(doc.layout, id), pictures.has(id), used);
    const [x, y] = positionOf(doc, id);
    return { id, entry, used, geometry, box: { x, y, width: geometry.width, height: geometry.height } };
  });
}

class Pen {
  private readonly style = getComputedStyle(document.documentElement);

  constructor(
    private readonly context: CanvasRenderingContext2D,
    private readonly doc: Doc,
    private readonly catalog: Catalog,
    private readonly pictures: ReadonlyMap<string, ImageBitmap>,
  ) {
    context.textBaseline = 'middle';
  }

  private color(name: string): string {
    return this.style.getPropertyValue(`--${name}`).trim() || '#888';
  }

  background(width: number, height: number): void {
    this.context.fillStyle = this.color('canvas');
    this.context.fillRect(0, 0, width, height);
  }

  private box(box: Box, radius: number, fill: string, line?: string): void {
    const { context } = this;
    context.beginPath();
    context.roundRect(box.x, box.y, box.width, box.height, radius);
    context.fillStyle = fill;
    context.fill();
    if (line === undefined) return;
    context.lineWidth = 1;
    context.strokeStyle = line;
    context.stroke();
  }

  group([x, y, width, height]: readonly [number, number, number, number], title: string, color: string | undefined): void {
    const shade = isColor(color) ? color : '#5b6472';
    this.context.globalAlpha = 0.14;
    this.box({ x, y, width, height }, 8, shade);
    this.context.globalAlpha = 1;
    this.box({ x, y, width, height }, 8, 'transparent', shade);
    this.text(title || 'Group', x + 10, y + 16, width - 20, 16, { color: shade, weight: 600 });
  }

  links(nodes: readonly Drawn[]): void {
    const { context } = this;
    const places = new Map(nodes.map((node) => [node.id, handlesAt(node, this.catalog)]));
    const types = inferenceOf(this.doc, this.catalog);
    context.lineWidth = 2;
    for (const { id, entry } of nodes) {
      for (const [input, link] of linksInto(entry)) {
        const [from, to] = [places.get(link.node)?.get(`output ${link.output}`), places.get(id)?.get(`input ${input}`)];
        if (from === undefined || to === undefined) continue;
        context.strokeStyle = this.catalog.color(types.outputType(link));
        context.stroke(new Path2D(pathOf(curveThrough(from, to, get(get(this.doc.layout, id)?.via, input)))));
      }
    }
  }

  node(node: Drawn): void {
    const { context } = this;
    const { box, entry, geometry } = node;
    const spec = this.catalog.spec(entry.type);
    const color = get(this.doc.layout, node.id)?.color;
    context.globalAlpha = entry.mode === 'muted' ? 0.4 : entry.mode === 'bypassed' ? 0.6 : 1;
    this.box(box, 8, this.color('card'), spec === undefined ? this.color('wrong') : this.color('line'));
    context.save();
    context.beginPath();
    context.roundRect(box.x, box.y, box.width, box.height, 8);
    context.clip();
    context.fillStyle = isColor(color) ? color : this.color('head');
    context.fillRect(box.x, box.y, box.width, HEADER);
    this.text(entry.title || spec?.title || entry.type, box.x + 10, box.y + HEADER / 2, box.width - 20, 12, { weight: 600 });
    for (const row of geometry.rows) this.row(node, row);
    context.restore();
    for (const [name, place] of handlesAt(node, this.catalog)) this.handle(node, name, place);
    context.globalAlpha = 1;
  }

  private row(node: Drawn, row: Row): void {
    const [x, y, width] = [node.box.x, node.box.y + row.y, node.box.width];
    if (row.kind === 'shown') this.picture(node.id, { x: x + 9, y: y + 4, width: width - 18, height: row.height - 8 });
    else if (row.kind === 'widget') this.widget(node, row.input, { x: x + 9, y: y + 2, width: width - 18, height: row.height - 4 });
    else if (row.kind === 'more') return;
    else {
      const dim = { color: this.color('dim') };
      if (row.input !== null) this.text(spaced(row.input), x + 12, y + row.height / 2, width * 0.55, 12, dim);
      if (row.output !== null) this.text(spaced(row.output), x + width - 12, y + row.height / 2, width * 0.55, 12, { ...dim, right: true });
    }
  }

  private widget(node: Drawn, name: string, box: Box): void {
    const input = get(this.catalog.spec(node.entry.type)?.inputs, name);
    const dim = { color: this.color('dim') };
    if (asLink(get(node.entry.inputs, name)) !== null) {
      this.text(spaced(name), box.x + 3, box.y + box.height / 2, box.width, 12, dim);
      return;
    }
    const value = textOf(literalOf(node.entry, name, input));
    this.box(box, 5, this.color('field'));
    if (box.height > WIDGET && value !== '') this.lines(value, box);
    else {
      this.text(spaced(name), box.x + 8, box.y + box.height / 2, box.width * 0.5, 12, dim);
      this.text(value, box.x + box.width - 8, box.y + box.height / 2, box.width * 0.5, 12, { right: true });
    }
  }

  private picture(id: string, box: Box): void {
    this.box(box, 5, this.color('field'));
    const image = this.pictures.get(id);
    if (image === undefined) return;
    const scale = Math.min(box.width / image.width, box.height / image.height);
    const [width, height] = [image.width * scale, image.height * scale];
    this.context.drawImage(image, box.x + (box.width - width) / 2, box.y + (box.height - height) / 2, width, height);
  }

  private handle(node: Drawn, name: string, [x, y]: Point): void {
    const input = name.startsWith('input ');
    const end = name.slice(name.indexOf(' ') + 1);
    const spec = this.catalog.spec(node.entry.type);
    const type = input ? get(spec?.inputs, end)?.type : get(spec?.outputs, end)?.type;
    const isWidget = input && get(spec?.inputs, end)?.widget !== undefined && asLink(get(node.entry.inputs, end)) === null;
    if (isWidget) return;
    this.context.beginPath();
    this.context.arc(x, y, 4.5, 0, 2 * Math.PI);
    this.context.fillStyle = this.catalog.color(this.catalog.parse(type ?? '*'));
    this.context.fill();
  }

  /** Words broken into lines, as many as there is room for. */
  private lines(text: string, box: Box): void {
    const { context } = this;
    context.font = `12px ${FONT}`;
    let y = box.y + 14;
    for (const paragraph of text.slice(0, 2000).split('\n')) {
      let line = '';
      for (const word of paragraph.split(/(?<=\s)/)) {
        if (line !== '' && context.measureText(line + word).width > box.width - 16) {
          this.text(line, box.x + 8, y, box.width - 16, 12);
          [line, y] = ['', y + 17];
        }
        line += word;
        if (y > box.y + box.height - 6) return;
      }
      this.text(line, box.x + 8, y, box.width - 16, 12);
      y += 17;
      if (y > box.y + box.height - 6) return;
    }
  }

  private text(text: string, x: number, y: number, room: number, size: number, how: Partial<Style> = {}): void {
    const { context } = this;
    context.font = `${how.weight ?? 400} ${size}px ${FONT}`;
    context.fillStyle = how.color ?? this.color('text');
    context.textAlign = how.right ? 'right' : 'left';
    context.fillText(this.cut(text.slice(0, 300), room), x, y);
  }

  private cut(text: string, room: number): string {
    if (this.context.measureText(text).width <= room) return text;
    let [short, long] = [0, text.length];
    while (long - short > 1) {
      const middle = (short + long) >> 1;
      if (this.context.measureText(`${text.slice(0, middle)}…`).width <= room) short = middle;
      else long = middle;
    }
    return `${text.slice(0, short)}…`;
  }
}

interface Style {
  readonly color: string;
  readonly weight: number;
  readonly right: boolean;
}

function handlesAt({ geometry, entry, used, box }: Drawn, catalog: Catalog): Map<string, Point> {
  const places = handlesOf(geometry, catalog.spec(entry.type), entry, used);
  return new Map(places.map((one) => [`${one.side} ${one.name}`, [box.x + (one.side === 'input' ? 0 : box.width), box.y + one.y]]));
}

function isColor(color: string | undefined): color is string {
  return color !== undefined && /^#[0-9a-f]{3,8}$/i.test(color);
}

function spaced(name: string): string {
  return name.replaceAll('_', ' ');
}

function textOf(value: Json): string {
  if (value === null) return '';
  return typeof value === 'object' ? JSON.stringify(value, (_, item) => (typeof item === 'bigint' ? `${item}` : item)) : String(value);
}
