/** The panel about the selected node: its help, and what the last run says of it. */
import { create } from 'zustand';

export const useInfo = create<{ readonly open: boolean }>()(() => ({ open: false }));

export function showInfo(open: boolean): void {
  useInfo.setState({ open });
}
