/**
 * JSON whose whole numbers may be larger than a JavaScript number holds: seeds go up to 2^64 - 1.
 * Such numbers are `bigint` in memory and come out again digit by digit.
 */
export type Json = null | boolean | number | bigint | string | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

const STRING_OR_NUMBER = /"(?:[^"\\]|\\.)*"|(?<![\d.])-?\d{16,}(?![\d.eE])/g;
const MARK = '\u0000int:';

/** What is nested deeper can be read, but neither compared nor written again. */
const MOST_LEVELS = 500;

/** Raises SyntaxError for what is not JSON, and RangeError for what is nested too deeply. */
export function parseJson(text: string): Json {
  const found = parsed(text);
  if (isDeeper(found, MOST_LEVELS)) throw new RangeError('it is nested too deeply');
  return found;
}

function isDeeper(value: Json, levels: number): boolean {
  let level = [value];
  for (let i = 0; i < levels && level.length > 0; i++) {
    level = level.flatMap((one) => (typeof one === 'object' && one !== null ? Object.values(one) : []));
  }
  return level.length > 0;
}

function parsed(text: string): Json {
  let marked = false;
  const safe = text.replace(STRING_OR_NUMBER, (part) => {
    if (part.startsWith('"') || Number.isSafeInteger(Number(part))) return part;
    marked = true;
    return JSON.stringify(MARK + part);
  });
  return marked ? JSON.parse(safe, revive) : JSON.parse(text);
}

function revive(_key: string, value: unknown): unknown {
  return typeof value === 'string' && value.startsWith(MARK) ? BigInt(value.slice(MARK.length)) : value;
}

/** The text of a value. Raises TypeError for a value that JSON cannot hold. */
export function writeJson(value: unknown, indent?: number): string {
  let marked = false;
  const text = JSON.stringify(
    value,
    (_key, item) => {
      if (typeof item !== 'bigint') return item;
      marked = true;
      return `${MARK}${item}`;
    },
    indent,
  );
  return marked ? text.replace(/"\\u0000int:(-?\d+)"/g, '$1') : text;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** An own entry of a record; never something inherited, whatever a file calls its nodes. */
export function get<T>(record: { readonly [key: string]: T } | undefined, key: string): T | undefined {
  return record !== undefined && Object.hasOwn(record, key) ? record[key] : undefined;
}

/** Whether two pieces of plain data are the same, whatever the order of keys. */
export function same(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (Array.isArray(a)) return Array.isArray(b) && a.length === b.length && a.every((item, i) => same(item, b[i]));
  if (!isObject(a) || !isObject(b)) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && same(a[key], b[key]));
}
