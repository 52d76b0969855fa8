/** How this person wants the editor to look and feel; kept in this browser, for all workflows. */
import { create } from 'zustand';

export interface Preferences {
  readonly theme: 'dark' | 'light' | 'system';
  /** nodes keep to a coarse grid when they are dragged */
  readonly snap: boolean;
  readonly grid: boolean;
  readonly map: boolean;
  /** `pan`: for a trackpad, where two fingers move the canvas and a pinch zooms */
  readonly wheel: 'zoom' | 'pan';
}

const KEY = 'preferences';
const THEMES = ['dark', 'light', 'system'] as const;
const FIRST: Preferences = { theme: 'dark', snap: false, grid: true, map: true, wheel: 'zoom' };

export const usePreferences = create<Preferences>()(() => FIRST);

export function prefer(part: Partial<Preferences>): void {
  usePreferences.setState(part);
}

/** Takes over what was kept, and keeps what changes from now on; the theme is put on the page. */
export function startPreferences(): void {
  usePreferences.setState(kept());
  const light = matchMedia('(prefers-color-scheme: light)');
  const paint = (): void => {
    const { theme } = usePreferences.getState();
    document.documentElement.dataset['theme'] = theme === 'system' ? (light.matches ? 'light' : 'dark') : theme;
  };
  paint();
  light.addEventListener('change', paint);
  usePreferences.subscribe((now) => {
    paint();
    try {
      localStorage.setItem(KEY, JSON.stringify(now));
    } catch {
      // a browser that keeps nothing still follows until it is closed
    }
  });
}

function kept(): Partial<Preferences> {
  try {
    const found: unknown = JSON.parse(localStorage.getItem(KEY) ?? '{}');
    if (typeof found !== 'object' || found === null) return {};
    const values = found as Readonly<Record<string, unknown>>;
    const theme = THEMES.find((one) => one === values['theme']);
    return {
      ...(theme === undefined ? {} : { theme }),
      ...(typeof values['snap'] === 'boolean' ? { snap: values['snap'] } : {}),
      ...(typeof values['grid'] === 'boolean' ? { grid: values['grid'] } : {}),
      ...(typeof values['map'] === 'boolean' ? { map: values['map'] } : {}),
      ...(values['wheel'] === 'pan' ? { wheel: 'pan' } : {}),
    };
  } catch {
    return {};
  }
}
