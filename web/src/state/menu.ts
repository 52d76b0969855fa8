/** The context menu: where it is open, and for what. */
import { create } from 'zustand';
import type { Point } from '../document/model';

export type MenuTarget =
  | { readonly kind: 'canvas' | 'selection' }
  /** `input`: the widget or input that was pointed at */
  | { readonly kind: 'node'; readonly id: string; readonly input: string | null }
  | { readonly kind: 'link'; readonly id: string }
  | { readonly kind: 'reroute'; readonly id: string; readonly index: number }
  | { readonly kind: 'group'; readonly index: number };

export interface OpenMenu {
  readonly target: MenuTarget;
  readonly screen: Point;
  readonly flow: Point;
}

export const useMenu = create<{ readonly open: OpenMenu | null }>()(() => ({ open: null }));

export function openMenu(open: OpenMenu): void {
  useMenu.setState({ open });
}

export function closeMenu(): void {
  useMenu.setState({ open: null });
}
