/** The brush in the hand: strokes, outlines and fills of a mask, by pointer or by keys. */
import { type PointerEvent, useRef } from 'react';
import type { Point } from '../../document/model';
import { areaOf, type Dab, pressed, stroke } from '../../document/painting/brush';
import { type Area, fillOutline, flood, PAINTED } from '../../document/painting/mask';
import type { Painting } from '../../document/painting/painting';
import { toPicture } from '../../document/viewport';
import type { Action } from './Studio';
import type { Hand, Stage } from './useStage';

export type Tool = 'brush' | 'lasso' | 'bucket';

/** radius: in pixels of the picture; opacity: how much of the mask is seen */
export interface Settings {
  readonly tool: Tool;
  readonly radius: number;
  readonly hardness: number;
  readonly erase: boolean;
  readonly opacity: number;
}

interface Paper {
  readonly edit: (area: Area | null, work: () => void) => void;
  readonly finish: () => void;
  readonly draw: (area: Area | null) => void;
}

/** What the pointer, or the ring moved by keys, does to the mask. */
export function useBrush(stage: Stage, settings: Settings, painting: Painting, paper: Paper) {
  const ring = useRef<HTMLDivElement>(null);
  const outline = useRef<SVGPolygonElement>(null);
  const last = useRef<Dab | null>(null);
  const erasing = useRef(false);
  const points = useRef<Point[]>([]);
  const place = useRef<Point | null>(null);
  const { mask } = painting;

  const putRing = (at: Point | null): void => {
    place.current = at;
    const style = ring.current!.style;
    style.visibility = at === null ? 'hidden' : 'visible';
    if (at !== null) style.translate = `${at[0]}px ${at[1]}px`;
  };
  const dabAt = (at: Point, event: PointerEvent | null): Dab => {
    const [x, y] = toPicture(stage.view, at);
    const radius = event === null ? settings.radius : pressed(settings.radius, event.pressure, event.pointerType === 'pen');
    return { x, y, radius };
  };
  const lineTo = (to: Dab): void => {
    const from = last.current ?? to;
    const area = areaOf(from, to, mask);
    if (area !== null) paper.edit(area, () => stroke(mask, from, to, { hardness: settings.hardness, erase: erasing.current }, area));
    last.current = to;
  };
  const showOutline = (): void => outline.current!.setAttribute('points', points.current.map((point) => point.join()).join(' '));
  const value = (): number => (erasing.current ? 0 : PAINTED);

  const hand: Hand = {
    start: (at, event) => {
      erasing.current = settings.erase !== (event.button === 2 || (event.buttons & 32) !== 0);
      if (settings.tool === 'bucket') {
        const [x, y] = toPicture(stage.view, at);
        paper.edit(mask.whole, () => flood(mask, Math.floor(x), Math.floor(y), value()));
      } else if (settings.tool === 'lasso') points.current = [at];
      else {
        if (!event.shiftKey) last.current = null;
        lineTo(dabAt(at, event));
      }
    },
    move: (places, event) => {
      if (settings.tool === 'brush') for (const at of places) lineTo(dabAt(at, event));
      if (settings.tool !== 'lasso') return;
      points.current.push(...places);
      showOutline();
    },
    end: () => {
      if (settings.tool === 'lasso') {
        const outlined = points.current.map((point) => toPicture(stage.view, point));
        if (outlined.length > 2) paper.edit(mask.whole, () => fillOutline(mask, outlined, value()));
        points.current = [];
        showOutline();
      }
      paper.finish();
    },
    cancel: () => {
      paper.draw(painting.drop());
      points.current = [];
      showOutline();
    },
  };
  const byKey = (dx: number, dy: number, far: boolean): void => {
    const room = stage.element.current!;
    const from = place.current ?? [room.clientWidth / 2, room.clientHeight / 2];
    const by = Math.max(2, settings.radius * stage.view.scale * (far ? 2 : 0.5));
    putRing([from[0] + dx * by, from[1] + dy * by]);
  };
  const arrow = (key: string, to: string, dx: number, dy: number): Action[] => [
    { label: `Brush ${to}`, keys: [key], run: () => byKey(dx, dy, false) },
    { label: `Brush far ${to}`, keys: [`Shift+${key}`], run: () => byKey(dx, dy, true) },
  ];
  const dab = (line: boolean): void => {
    const room = stage.element.current!;
    erasing.current = settings.erase;
    if (!line) last.current = null;
    putRing(place.current ?? [room.clientWidth / 2, room.clientHeight / 2]);
    lineTo(dabAt(place.current!, null));
    paper.finish();
  };
  const keys: readonly Action[] = [
    ...arrow('ArrowLeft', 'left', -1, 0),
    ...arrow('ArrowRight', 'right', 1, 0),
    ...arrow('ArrowUp', 'up', 0, -1),
    ...arrow('ArrowDown', 'down', 0, 1),
    { label: 'Paint here', keys: ['Enter'], run: () => dab(false) },
    { label: 'Paint a line to here', keys: ['Shift+Enter'], run: () => dab(true) },
  ];
  const onHover = (event: PointerEvent): void => {
    const { left, top } = stage.element.current!.getBoundingClientRect();
    putRing(event.pointerType === 'touch' ? null : [event.clientX - left, event.clientY - top]);
  };
  return { hand, keys, ring, outline, onHover, onLeave: () => putRing(null) };
}
