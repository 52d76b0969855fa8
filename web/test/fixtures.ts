import { Catalog, type NodeSpec } from '../src/document/catalog';
import { type Doc, readDocument } from '../src/document/model';

const FILES = import.meta.glob<string>(['../../workflows/*.json', '../../tests/data/connect_cases.json'], {
  query: '?raw',
  import: 'default',
  eager: true,
});

/** A file of the repository. */
export function readText(path: string): string {
  const text = FILES[`../../${path}`];
  if (text === undefined) throw new Error(`there is no ${path}`);
  return text;
}

type Ends = Record<string, string>;

function spec(id: string, category: string, inputs: Record<string, NodeSpec['inputs'][string]>, outputs: Ends, more = {}): NodeSpec {
  return {
    id,
    title: id.replace(/([a-z])([A-Z])/g, '$1 $2'),
    category,
    description: `About ${id}.`,
    version: 1,
    status: 'stable',
    pack: '',
    lane: 'cpu',
    output_node: false,
    inputs,
    outputs: Object.fromEntries(Object.entries(outputs).map(([name, type]) => [name, { type }])),
    ...more,
  };
}

const wants = (type: string, more = {}) => ({ type, required: true, ...more });
const number = (type: string, value: number, more = {}) => ({
  type,
  required: false,
  default: value,
  widget: { kind: 'number' as const },
  ...more,
});

const SPECS: NodeSpec[] = [
  spec(
    'Load',
    'loaders',
    { file: { type: 'str', required: true, widget: { kind: 'file', accept: 'image' } } },
    { image: 'image', mask: 'mask' },
  ),
  spec(
    'Blur',
    'image',
    { image: wants('image', { mapped: true }), radius: number('float', 2, { minimum: 0, maximum: 10 }) },
    { image: 'image' },
  ),
  spec('Sum', 'math', { a: number('int', 0), b: number('int', 0) }, { sum: 'int' }),
  spec('Many', 'math', { count: number('int', 3) }, { items: 'list[image]' }),
  spec(
    'Switch',
    'logic',
    { on: { type: 'bool', required: false, default: true, widget: { kind: 'switch' } }, a: wants('T'), b: wants('T') },
    { out: 'T' },
  ),
  spec(
    'Prompt',
    'text',
    { text: { type: 'str', required: false, default: '', widget: { kind: 'text', multiline: true } } },
    { text: 'str' },
  ),
  spec('Save', 'image', { image: wants('image', { mapped: true }) }, {}, { output_node: true }),
];

const type = (color: string, parents: string[] = []) => ({ color, description: '', parents });

export const CATALOG = new Catalog({
  nodes: Object.fromEntries(SPECS.map((one) => [one.id, one])),
  types: {
    int: type('#7cb7ff'),
    float: type('#8fd694'),
    str: type('#e3c567'),
    bool: type('#d68fd6'),
    image: type('#64b5f6'),
    mask: type('#81c784'),
    latent: type('#ff9cf9'),
    portrait: type('#64b5f6', ['image']),
  },
  casts: [
    ['float', 'int'],
    ['image', 'mask'],
  ],
});

export function doc(nodes: Record<string, [string, Record<string, unknown>]>): Doc {
  const entries = Object.entries(nodes).map(([id, [kind, inputs]]) => [id, { type: kind, version: 1, inputs }]);
  return readDocument(JSON.stringify({ nodegraph: 1, nodes: Object.fromEntries(entries) }));
}

export const link = (node: string, output: string) => ({ link: [node, output] });
