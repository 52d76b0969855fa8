/** Whose title is being typed: the id of a node, or `group:` and the place of a group. */
import { create } from 'zustand';

export const useRenaming = create<{ readonly id: string | null }>()(() => ({ id: null }));

export function rename(id: string | null): void {
  useRenaming.setState({ id });
}
