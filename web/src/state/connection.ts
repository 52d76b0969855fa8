/** Asks the server for the queue now and then, so that one that is gone is noticed when nobody asks anything. */
import { serverAnswers } from '../network/line';
import { refreshQueue } from './actions';

const QUIET_MILLISECONDS = 10_000;
const AWAY_MILLISECONDS = 2_000;

export function watchConnection(): void {
  const look = async (): Promise<void> => {
    if (!document.hidden) await refreshQueue();
    setTimeout(() => void look(), serverAnswers() ? QUIET_MILLISECONDS : AWAY_MILLISECONDS);
  };
  void look();
}
