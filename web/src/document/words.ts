/** Searching: what is typed are words, and all of them must be in a text, in any order. */
export function matcherOf(query: string): (text: string) => boolean {
  const words = query.toLowerCase().split(/\s+/);
  return (text) => {
    const lower = text.toLowerCase();
    return words.every((word) => lower.includes(word));
  };
}
