/** Draws at most once a frame, and again in another theme. */
import { useEffect, useLayoutEffect, useRef } from 'react';

/** `draw`: with the values of the last rendering, after each of which it is called; `watch`: subscribes to more, and returns how to end that. */
export function useDrawn(draw: () => void, watch: (again: () => void) => readonly (() => void)[]): void {
  const latest = useRef(draw);
  latest.current = draw;
  const frame = useRef(0);
  const again = useRef(() => {
    frame.current ||= requestAnimationFrame(() => {
      frame.current = 0;
      latest.current();
    });
  });
  const watching = useRef(watch);
  useEffect(() => {
    const stops = watching.current(again.current);
    const theme = new MutationObserver(again.current);
    theme.observe(document.documentElement, { attributeFilter: ['data-theme'] });
    return () => {
      theme.disconnect();
      for (const stop of stops) stop();
      cancelAnimationFrame(frame.current);
      frame.current = 0;
    };
  }, []);
  useLayoutEffect(() => again.current());
}

/** Fits the dots of a canvas to its place in the page, so that a length of 1 is a pixel of the page. */
export function fitted(canvas: HTMLCanvasElement, width: number, height: number): CanvasRenderingContext2D {
  const [across, down] = [Math.round(width * devicePixelRatio), Math.round(height * devicePixelRatio)];
  if (canvas.width !== across || canvas.height !== down) {
    canvas.width = across;
    canvas.height = down;
  }
  const context = canvas.getContext('2d')!;
  context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
  return context;
}
