/** What a command is, and what commands need to know of the canvas. */
import type { Box } from '../document/geometry';
import type { Point } from '../document/model';

/** Given by the view. */
export interface Canvas {
  readonly boxes: () => Readonly<Record<string, Box>>;
  readonly pointer: () => { screen: Point; flow: Point };
  readonly toScreen: (flow: Point) => Point;
  readonly fit: (ids?: readonly string[]) => void;
  readonly zoom: (by: number) => void;
  /** brings a node into view and gives it the focus */
  readonly reveal: (id: string) => void;
}

let attached: Canvas = {
  boxes: () => ({}),
  pointer: () => ({ screen: [0, 0], flow: [0, 0] }),
  toScreen: (flow) => flow,
  fit: () => undefined,
  zoom: () => undefined,
  reveal: () => undefined,
};

export function attachCanvas(one: Canvas): void {
  attached = one;
}

export function canvas(): Canvas {
  return attached;
}

export interface Command {
  readonly id: string;
  readonly label: string;
  readonly section: 'Edit' | 'Nodes' | 'Move about' | 'View' | 'Run' | 'File';
  /** `Mod` is Ctrl, or Cmd on a Mac; the first is shown in menus */
  readonly keys: readonly string[];
  readonly run: () => void;
}

export function command(id: string, label: string, section: Command['section'], keys: string, act: () => void): Command {
  return { id, label, section, keys: keys === '' ? [] : keys.split(' | '), run: act };
}
