/** The list one types into to jump to a node, or to connect one. */
import { create } from 'zustand';

export type Quick =
  | { readonly kind: 'find' }
  /** `input`: only what may be led into that one */
  | { readonly kind: 'connect'; readonly node: string; readonly input: string | null };

export const useQuick = create<{ readonly open: Quick | null }>()(() => ({ open: null }));

export function openQuick(open: Quick | null): void {
  useQuick.setState({ open });
}
