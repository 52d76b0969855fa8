/** Whether the server answers: what requests found, and asked for now and then when nobody asks anything. */
import { create } from 'zustand';
import { onLine } from '../network/line';
import { refreshQueue } from './actions';

const QUIET_MILLISECONDS = 10_000;
const AWAY_MILLISECONDS = 2_000;

export const useConnection = create<{ readonly online: boolean }>()(() => ({ online: true }));

export function watchConnection(): void {
  onLine((online) => useConnection.setState({ online }));
  const look = async (): Promise<void> => {
    if (!document.hidden) await refreshQueue();
    setTimeout(() => void look(), useConnection.getState().online ? QUIET_MILLISECONDS : AWAY_MILLISECONDS);
  };
  void look();
}
