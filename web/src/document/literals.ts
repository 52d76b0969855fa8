/** Whether a typed value is one that its input takes; the server has the last word, this is to show it at once. */
import type { Catalog, InputSpec } from './catalog';
import type { Json } from './json';
import type { Type } from './types';

/** What is wrong with a value, or null. */
export function faultOf(input: InputSpec, value: Json, catalog: Catalog): string | null {
  if (value === null) return input.optional ? null : 'needs a value';
  if (input.choices !== undefined) return input.choices.includes(value) ? null : `${String(value)} is not one of its choices`;
  const values = input.mapped === true && Array.isArray(value) ? value : [value];
  return values.map((one) => faultOfOne(input, one, catalog.parse(input.type))).find((fault) => fault !== null) ?? null;
}

function faultOfOne(input: InputSpec, value: Json, type: Type): string | null {
  if (type.kind === 'socket' && !isOf(type.name, value)) return `wants ${type.name}`;
  if (typeof value !== 'number' && typeof value !== 'bigint') return null;
  if (input.minimum !== undefined && value < input.minimum) return `is below ${input.minimum}`;
  if (input.maximum !== undefined && value > input.maximum) return `is above ${input.maximum}`;
  return null;
}

function isOf(name: string, value: Json): boolean {
  switch (name) {
    case 'int':
      return typeof value === 'bigint' || Number.isInteger(value);
    case 'float':
      return typeof value === 'number' || typeof value === 'bigint';
    case 'str':
      return typeof value === 'string';
    case 'bool':
      return typeof value === 'boolean';
    default:
      return true;
  }
}

/** A number brought into range and onto the steps of its input. */
export function nearest(input: InputSpec, value: number): number {
  const whole = input.type === 'int';
  const step = input.widget?.step ?? (whole ? 1 : 0.01);
  const base = input.minimum ?? 0;
  const stepped = whole ? Math.round(value) : Number((base + Math.round((value - base) / step) * step).toFixed(10));
  return Math.min(input.maximum ?? Number.POSITIVE_INFINITY, Math.max(input.minimum ?? Number.NEGATIVE_INFINITY, stepped));
}
