/** Whether the server answers, as every request and every followed run finds it. */

let answers = true;
const listeners = new Set<(answers: boolean) => void>();

export const serverAnswers = (): boolean => answers;

/** Tells what was found just now; listeners hear of changes only. */
export function foundLine(now: boolean): void {
  if (now === answers) return;
  answers = now;
  for (const listener of listeners) listener(now);
}

/** Returns how to stop. */
export function onLine(listener: (answers: boolean) => void): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}
