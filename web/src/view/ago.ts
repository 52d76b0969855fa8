/** Times as people say them. */
export function ago(time: number): string {
  const past = Math.max(0, Date.now() / 1000 - time);
  if (past < 60) return 'just now';
  if (past < 3600) return `${Math.round(past / 60)} min ago`;
  return past < 86400 ? `${Math.round(past / 3600)} h ago` : new Date(time * 1000).toLocaleDateString();
}
