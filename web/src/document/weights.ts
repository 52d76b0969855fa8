/** Weights in prompts, `(word:1.2)`: where they are, and how they are changed. The rules are those of `nodegraph/diffusion/prompt.py`. */
import { get } from './json';

export interface Weighted {
  readonly start: number;
  readonly end: number;
  /** what the words in it count, outer groups included */
  readonly weight: number;
}

export interface Edited {
  readonly text: string;
  /** what is selected afterwards */
  readonly start: number;
  readonly end: number;
}

const PAIR = 1.1;
const STEP = 0.05;
const NUMBER = /:\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*$/;
const CLOSING: Readonly<Record<string, string>> = { ')': '(', ']': '[' };

interface Open {
  readonly at: number;
  readonly kind: string;
}

/** Groups with a weight, inner ones before the outer ones around them. Parentheses without a partner are text. */
export function groupsIn(text: string): Weighted[] {
  const stack: Open[] = [];
  const found: Weighted[] = [];
  for (let i = 0; i < text.length; i++) {
    const letter = text[i]!;
    if (letter === '\\') i++;
    else if (letter === '(' || letter === '[') stack.push({ at: i, kind: letter });
    else if (get(CLOSING, letter) !== undefined) {
      const open = stack.findLastIndex((one) => one.kind === CLOSING[letter]);
      if (open < 0) continue;
      const { at } = stack[open]!;
      stack.length = open;
      found.push({ start: at, end: i + 1, weight: weightOf(text.slice(at + 1, i), letter) });
    }
  }
  return found;
}

function weightOf(inner: string, letter: string): number {
  if (letter === ']') return 1 / PAIR;
  const number = NUMBER.exec(inner);
  return number === null ? PAIR : Number(number[1]);
}

/** Stretches of a text that count more or less than 1, in order, none over another. */
export function stretchesOf(text: string): Weighted[] {
  const groups = groupsIn(text);
  const edges = [...new Set(groups.flatMap((group) => [group.start, group.end]))].sort((a, b) => a - b);
  return edges.slice(1).flatMap((end, i) => {
    const start = edges[i]!;
    const around = groups.filter((group) => group.start <= start && group.end >= end);
    const weight = total(text, around);
    return around.length === 0 ? [] : [{ start, end, weight }];
  });
}

/** A written number counts for all that is around it; pairs multiply. */
function total(text: string, inwards: readonly Weighted[]): number {
  let weight = 1;
  for (const group of inwards) {
    weight *= group.weight;
    if (NUMBER.test(text.slice(group.start, group.end - 1))) break;
  }
  return weight;
}

/** Makes what is selected, or the word at the cursor, count more (`by` 1) or less (-1). */
export function weigh(text: string, start: number, end: number, by: number): Edited {
  const [from, to] = start === end ? wordAt(text, start) : trimmed(text, start, end);
  if (from === to) return { text, start, end };
  const group = groupsIn(text).find((one) => text[one.start] === '(' && one.start <= from && one.end >= to && covers(text, one, from, to));
  return group === undefined ? wrapped(text, from, to, 1 + by * STEP) : changed(text, group, by);
}

/** Whether a group holds nothing but what is selected, or is itself selected. */
function covers(text: string, group: Weighted, from: number, to: number): boolean {
  const inner = text.slice(group.start + 1, group.end - 1).replace(NUMBER, '');
  const [first, last] = [group.start + 1, group.start + 1 + inner.length];
  return (from === group.start && to === group.end) || (from <= first && to >= last) || (from >= first && to <= last && !/\s/.test(inner));
}

function wrapped(text: string, from: number, to: number, weight: number): Edited {
  const put = `(${text.slice(from, to)}:${shown(weight)})`;
  return { text: text.slice(0, from) + put + text.slice(to), start: from + 1, end: from + 1 + to - from };
}

function changed(text: string, group: Weighted, by: number): Edited {
  const inner = text.slice(group.start + 1, group.end - 1).replace(NUMBER, '');
  const weight = Math.max(0, Math.round((group.weight + by * STEP) / STEP) * STEP);
  const put = shown(weight) === '1' ? inner : `(${inner}:${shown(weight)})`;
  const start = group.start + (put === inner ? 0 : 1);
  return { text: text.slice(0, group.start) + put + text.slice(group.end), start, end: start + inner.length };
}

function shown(weight: number): string {
  return String(Number(weight.toFixed(2)));
}

function wordAt(text: string, at: number): [number, number] {
  const plain = /[^\s,()[\]:]/;
  let [from, to] = [at, at];
  while (from > 0 && plain.test(text[from - 1]!)) from--;
  while (to < text.length && plain.test(text[to]!)) to++;
  return [from, to];
}

function trimmed(text: string, start: number, end: number): [number, number] {
  let [from, to] = [start, end];
  while (from < to && /[\s,]/.test(text[from]!)) from++;
  while (to > from && /[\s,]/.test(text[to - 1]!)) to--;
  return [from, to];
}
