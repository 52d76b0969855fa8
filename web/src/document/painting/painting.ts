/** A mask with its undo: of each step only the squares that it touched are kept. */
import type { Area, Mask } from './mask';

const TILE = 64;
const MOST_BYTES = 128 * 2 ** 20;

type Tiles = ReadonlyMap<number, Uint8Array>;

interface Step {
  readonly before: Tiles;
  readonly after: Tiles;
  readonly bytes: number;
}

export class Painting {
  private past: Step[] = [];
  private future: Step[] = [];
  private touched = new Map<number, Uint8Array>();
  private readonly across: number;

  /** most: bytes that the undo may take; the oldest steps are forgotten first */
  constructor(
    readonly mask: Mask,
    private readonly most = MOST_BYTES,
  ) {
    this.across = Math.ceil(mask.width / TILE);
  }

  get canUndo(): boolean {
    return this.past.length > 0;
  }

  get canRedo(): boolean {
    return this.future.length > 0;
  }

  /** Changes something inside `area`, as a part of the step that is open. */
  change(area: Area, work: () => void): void {
    for (const tile of this.tilesIn(area)) if (!this.touched.has(tile)) this.touched.set(tile, this.read(tile));
    work();
  }

  /** Ends a step. Nothing is kept of one that changed nothing. Tells whether there was one. */
  finish(): boolean {
    const after = new Map<number, Uint8Array>();
    for (const [tile, before] of this.touched) {
      const now = this.read(tile);
      if (now.some((value, i) => value !== before[i])) after.set(tile, now);
    }
    const before = new Map([...this.touched].filter(([tile]) => after.has(tile)));
    this.touched = new Map();
    if (after.size === 0) return false;
    this.past.push({ before, after, bytes: 2 * after.size * TILE * TILE });
    this.future = [];
    this.forget();
    return true;
  }

  /** Takes back what the open step did so far. Returns where. */
  drop(): Area | null {
    const area = this.write(this.touched);
    this.touched = new Map();
    return area;
  }

  /** Where something changed; null if there is nothing to take back. */
  undo(): Area | null {
    const step = this.past.pop();
    if (step === undefined) return null;
    this.future.push(step);
    return this.write(step.before);
  }

  redo(): Area | null {
    const step = this.future.pop();
    if (step === undefined) return null;
    this.past.push(step);
    return this.write(step.after);
  }

  private forget(): void {
    let bytes = this.past.reduce((sum, step) => sum + step.bytes, 0);
    while (bytes > this.most && this.past.length > 1) bytes -= this.past.shift()!.bytes;
  }

  private *tilesIn(area: Area): Generator<number> {
    const [left, right] = [Math.floor(area.x / TILE), Math.floor((area.x + area.width - 1) / TILE)];
    const [top, bottom] = [Math.floor(area.y / TILE), Math.floor((area.y + area.height - 1) / TILE)];
    for (let y = top; y <= bottom; y++) for (let x = left; x <= right; x++) yield y * this.across + x;
  }

  private areaOf(tile: number): Area {
    const [x, y] = [(tile % this.across) * TILE, Math.floor(tile / this.across) * TILE];
    return { x, y, width: Math.min(TILE, this.mask.width - x), height: Math.min(TILE, this.mask.height - y) };
  }

  private read(tile: number): Uint8Array {
    const { x, y, width, height } = this.areaOf(tile);
    const found = new Uint8Array(width * height);
    for (let row = 0; row < height; row++) {
      const from = (y + row) * this.mask.width + x;
      found.set(this.mask.data.subarray(from, from + width), row * width);
    }
    return found;
  }

  private write(tiles: Tiles): Area | null {
    let [left, top, right, bottom] = [this.mask.width, this.mask.height, 0, 0];
    for (const [tile, pixels] of tiles) {
      const { x, y, width, height } = this.areaOf(tile);
      for (let row = 0; row < height; row++) {
        this.mask.data.set(pixels.subarray(row * width, (row + 1) * width), (y + row) * this.mask.width + x);
      }
      [left, top, right, bottom] = [Math.min(left, x), Math.min(top, y), Math.max(right, x + width), Math.max(bottom, y + height)];
    }
    return right > left ? { x: left, y: top, width: right - left, height: bottom - top } : null;
  }
}
