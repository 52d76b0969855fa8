/** The stage a picture is looked at on: it can be zoomed and moved with the wheel, fingers, a dragging hand and keys. */
import { type PointerEvent, type RefObject, useCallback, useEffect, useLayoutEffect, useRef, useState } from 'react';
import type { Point } from '../../document/model';
import { centred, fitted, inSight, panned, pinched, type Size, type Viewport, zoomedAt } from '../../document/viewport';
import type { Action } from './Studio';

export interface Stage {
  /** how much room there is */
  readonly room: Size;
  readonly element: RefObject<HTMLDivElement | null>;
  readonly view: Viewport;
  readonly fit: () => void;
  readonly actual: () => void;
  readonly zoom: (by: number, at?: Point) => void;
  readonly pan: (by: Point) => void;
  readonly move: (change: (view: Viewport) => Viewport) => void;
}

const WHEEL = 0.0015;

export function useStage(width: number, height: number): Stage {
  const element = useRef<HTMLDivElement>(null);
  const [view, setView] = useState<Viewport>({ x: 0, y: 0, scale: 1 });
  const [size, setSize] = useState<Size>({ width: 1, height: 1 });
  const fits = useRef(true);
  const room = useCallback((): Size => ({ width: element.current?.clientWidth || 1, height: element.current?.clientHeight || 1 }), []);
  const fit = useCallback(() => {
    fits.current = true;
    if (width > 0) setView(fitted({ width, height }, room()));
  }, [width, height, room]);
  const move = useCallback(
    (change: (view: Viewport) => Viewport) => {
      fits.current = false;
      setView((now) => inSight(change(now), { width, height }, room()));
    },
    [width, height, room],
  );
  const zoom = useCallback(
    (by: number, at?: Point) => move((now) => zoomedAt(now, by, at ?? [room().width / 2, room().height / 2])),
    [move, room],
  );
  const actual = useCallback(() => move(() => centred({ width, height }, room(), 1)), [move, room, width, height]);
  const pan = useCallback((by: Point) => move((now) => panned(now, by)), [move]);

  useLayoutEffect(() => {
    fit();
    setSize(room());
    const watcher = new ResizeObserver(() => {
      setSize(room());
      if (fits.current) fit();
    });
    watcher.observe(element.current!);
    return () => watcher.disconnect();
  }, [fit, room]);

  useEffect(() => {
    const stage = element.current!;
    const onWheel = (event: WheelEvent): void => {
      event.preventDefault();
      const lines = event.deltaMode === 1 ? 16 : 1;
      zoom(Math.exp(-event.deltaY * lines * (event.ctrlKey ? 6 : 1) * WHEEL), placeIn(stage, event));
    };
    stage.addEventListener('wheel', onWheel, { passive: false });
    return () => stage.removeEventListener('wheel', onWheel);
  }, [zoom]);

  return { room: size, element, view, fit, actual, zoom, pan, move };
}

const STEP = 80;

/** What the keyboard does on every stage. */
export function lookingKeys(stage: Stage): readonly Action[] {
  const pan = (label: string, key: string, by: Point): Action => ({ label, keys: [`Alt+${key}`], run: () => stage.pan(by) });
  return [
    { label: 'Zoom in', keys: ['+', '=', 'Shift++'], run: () => stage.zoom(1.25) },
    { label: 'Zoom out', keys: ['-'], run: () => stage.zoom(0.8) },
    pan('Move left', 'ArrowLeft', [STEP, 0]),
    pan('Move right', 'ArrowRight', [-STEP, 0]),
    pan('Move up', 'ArrowUp', [0, STEP]),
    pan('Move down', 'ArrowDown', [0, -STEP]),
  ];
}

function placeIn(stage: Element, event: { readonly clientX: number; readonly clientY: number }): Point {
  const { left, top } = stage.getBoundingClientRect();
  return [event.clientX - left, event.clientY - top];
}

/** What one pointer does where it does not move the picture. Places are on the stage. */
export interface Hand {
  readonly start: (at: Point, event: PointerEvent) => void;
  readonly move: (places: readonly Point[], event: PointerEvent) => void;
  readonly end: () => void;
  /** a second finger came: nothing of it counts */
  readonly cancel: () => void;
}

interface Handlers {
  readonly onPointerDown: (event: PointerEvent<HTMLElement>) => void;
  readonly onPointerMove: (event: PointerEvent<HTMLElement>) => void;
  readonly onPointerUp: (event: PointerEvent<HTMLElement>) => void;
  readonly onPointerCancel: (event: PointerEvent<HTMLElement>) => void;
}

/** Two fingers and the middle button always move the picture; one pointer does what the hand does, and moves it without one. */
export function useHands(stage: Stage, hand: Hand | null): Handlers {
  const down = useRef(new Map<number, Point>());
  const mode = useRef<'none' | 'hand' | 'pan' | 'pinch'>('none');
  const at = (event: PointerEvent): Point => placeIn(stage.element.current!, event);

  const end = (event: PointerEvent): void => {
    if (!down.current.delete(event.pointerId)) return;
    if (mode.current === 'hand') hand?.end();
    mode.current = 'none';
  };
  return {
    onPointerDown: (event) => {
      event.currentTarget.setPointerCapture(event.pointerId);
      down.current.set(event.pointerId, at(event));
      if (down.current.size === 2 && event.pointerType === 'touch') {
        if (mode.current === 'hand') hand?.cancel();
        mode.current = 'pinch';
      } else if (down.current.size === 1) {
        mode.current = hand === null || event.button === 1 ? 'pan' : 'hand';
        if (mode.current === 'hand') hand?.start(at(event), event);
      }
    },
    onPointerMove: (event) => {
      const from = down.current.get(event.pointerId);
      const to = at(event);
      if (from === undefined) return;
      if (mode.current === 'pan') stage.pan([to[0] - from[0], to[1] - from[1]]);
      if (mode.current === 'hand') {
        const all = event.nativeEvent.getCoalescedEvents?.() ?? [];
        hand?.move(all.length > 0 ? all.map((one) => placeIn(stage.element.current!, one)) : [to], event);
      }
      if (mode.current === 'pinch') {
        const other = [...down.current].find(([id]) => id !== event.pointerId)?.[1];
        if (other !== undefined) stage.move((view) => pinched(view, [from, other], [to, other]));
      }
      down.current.set(event.pointerId, to);
    },
    onPointerUp: end,
    onPointerCancel: (event) => {
      if (mode.current === 'hand') hand?.cancel();
      mode.current = 'none';
      down.current.delete(event.pointerId);
    },
  };
}
