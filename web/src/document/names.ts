/** A name that is free, made of another one. */
export function freeName(name: string, taken: readonly string[]): string {
  const known = new Set(taken.map((one) => one.toLowerCase()));
  const stem = name.replace(/ \d+$/, '');
  for (let number = 2; ; number++) if (!known.has(`${stem} ${number}`.toLowerCase())) return `${stem} ${number}`;
}
