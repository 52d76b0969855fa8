import { describe, expect, it } from 'vitest';
import { Catalog } from '../src/document/catalog';
import { factsOf, loaderIn, PICTURE_NAME, pictureInputOf } from '../src/document/picture';
import { mayHoldWorkflow, refusalOf } from '../src/document/sniff';
import { doc, link } from './fixtures';

const input = (type: string, widget?: object): object => ({ type, required: true, ...(widget ? { widget } : {}) });
const node = (id: string, inputs: object, outputs: object): object => ({
  id,
  title: `The ${id}`,
  category: '',
  description: '',
  inputs,
  outputs,
});
const CATALOG = new Catalog({
  nodes: {
    LoadMask: node('LoadMask', { file: input('str', { kind: 'file', accept: 'image' }) }, { mask: { type: 'mask' } }),
    LoadImage: node('LoadImage', { file: input('str', { kind: 'file', accept: 'image' }) }, { image: { type: 'image' } }),
    Checkpoint: node('Checkpoint', { file: input('str', { kind: 'model' }) }, { model: { type: 'model' } }),
    Prompt: node('Prompt', { text: input('str', { kind: 'text', multiline: true, prompt: true }) }, { cond: { type: 'cond' } }),
    Sampler: node(
      'Sampler',
      { model: input('model'), positive: input('cond'), seed: input('int', { kind: 'seed' }), steps: input('int', { kind: 'number' }) },
      { image: { type: 'image' } },
    ),
    Save: node('Save', { image: input('image'), name: input('str', { kind: 'text' }) }, {}),
  },
  types: {},
  casts: [],
} as never);

describe('pictures of a workflow', () => {
  const made = doc({
    load: ['LoadImage', { file: 'a.png' }],
    fed: ['LoadImage', { file: link('x', 'y') }],
    model: ['Checkpoint', { file: 'm.safetensors' }],
    prompt: ['Prompt', { text: 'a cat' }],
    stray: ['Prompt', { text: 'a dog' }],
    sample: ['Sampler', { model: link('model', 'model'), positive: link('prompt', 'cond'), seed: 0, steps: 20 }],
    save: ['Save', { image: link('sample', 'image'), name: 'x' }],
    other: ['Sampler', { model: link('save', 'no') }],
  });
  const sample = made.nodes['sample']!;
  const flow = { ...made, nodes: { ...made.nodes, sample: { ...sample, inputs: { ...sample.inputs, seed: 2n ** 63n } } } };

  it('are chosen by the widget that names them, unless a link does', () => {
    expect(pictureInputOf(flow, CATALOG, 'load')).toBe('file');
    expect(pictureInputOf(flow, CATALOG, 'fed')).toBeNull();
    expect(pictureInputOf(flow, CATALOG, 'model')).toBeNull();
    expect(pictureInputOf(flow, CATALOG, 'gone')).toBeNull();
    expect(loaderIn(CATALOG)).toEqual({ type: 'LoadImage', input: 'file' });
    expect(loaderIn(new Catalog({ nodes: {}, types: {}, casts: [] }))).toBeNull();
    expect(['a.png', 'b.JPG', 'c.webp', 'd.tif'].every((name) => PICTURE_NAME.test(name))).toBe(true);
    expect(PICTURE_NAME.test('notes.txt')).toBe(false);
  });

  it('tell how they were made: prompt, seed with all its digits, settings, model; nothing of what they do not depend on', () => {
    expect(factsOf(flow, CATALOG, 'save').map((fact) => [fact.title, fact.label, fact.value])).toEqual([
      ['The Prompt', 'text', 'a cat'],
      ['The Sampler', 'seed', '9223372036854775808'],
      ['The Sampler', 'steps', '20'],
      ['The Checkpoint', 'file', 'm.safetensors'],
    ]);
    expect(factsOf(flow, CATALOG).map((fact) => fact.value)).toContain('a dog');
    expect(factsOf(doc({ odd: ['NotInstalled', { seed: 1 }] }), CATALOG, 'odd')).toEqual([]);
  });

  it('knows what made a picture inside a subgraph, and what is inside those before it', () => {
    const inner = doc({ in: ['SubgraphInputs', {}], words: ['Prompt', { text: 'a fox' }], keep: ['Save', { image: link('in', 'image') }] });
    const definition = {
      name: 'Keep',
      inputs: [{ name: 'image', type: 'image', required: true }],
      outputs: [],
      layout: {},
      groups: [],
      nodes: inner.nodes,
    };
    const flow = {
      ...doc({ one: ['subgraph/keep', { image: link('two', 'image') }], two: ['subgraph/keep', {}], words: ['Prompt', { text: 'a dog' }] }),
      subgraphs: { keep: definition },
    };
    const facts = (node?: string): string[] => factsOf(flow, CATALOG, node).map((fact) => `${fact.node}: ${fact.value}`);
    expect(facts('one/keep')).toEqual(['two/words: a fox']);
    expect(facts('one')).toEqual(['one/words: a fox', 'two/words: a fox']);
    expect(facts('words')).toEqual(['words: a dog']);
    expect(facts('gone')).toEqual(['one/words: a fox', 'two/words: a fox', 'words: a dog']);
  });
});

describe('a file that is given as a picture', () => {
  const bytes = (text: string): Uint8Array => Uint8Array.from(text, (sign) => sign.charCodeAt(0));

  it('is taken by what it is, not by its name', () => {
    for (const head of ['\x89PNG\r\n\x1a\n...', '\xff\xd8\xff\xe0', 'RIFF....WEBPVP8 ', 'GIF89a', 'BM......', 'II*\0....']) {
      expect(refusalOf('x.txt', bytes(head))).toBeNull();
    }
  });

  it('may carry a workflow, and says so in plain letters', () => {
    expect(mayHoldWorkflow(bytes('\x89PNG....tEXtworkflow\0{}'))).toBe(true);
    expect(mayHoldWorkflow(bytes('RIFF....EXIF..prompt:{}'))).toBe(true);
    expect(mayHoldWorkflow(bytes('\x89PNG....workflo'))).toBe(false);
    expect(mayHoldWorkflow(bytes('nnnodegrapp nodegrap'))).toBe(false);
    expect(mayHoldWorkflow(bytes(''))).toBe(false);
  });

  it('is refused with what it is and what is taken', () => {
    expect(refusalOf('a.png', bytes('hello'))).toMatch(/^a\.png is not a picture: pictures are taken as PNG, .* or TIFF$/);
    expect(refusalOf('a.png', bytes(''))).toBe('a.png is empty');
    expect(refusalOf('a.avif', bytes('\0\0\0\x1cftypavif'))).toMatch(/is AVIF/);
    expect(refusalOf('a.heic', bytes('\0\0\0\x1cftypheic'))).toMatch(/is HEIC/);
    expect(refusalOf('a.mp4', bytes('\0\0\0\x1cftypisom'))).toMatch(/is a film/);
    expect(refusalOf('a.png', bytes('<?xml version="1.0"?>\n<svg onload="x">'))).toMatch(/is SVG/);
    expect(refusalOf('a.png', bytes('RIFF....WAVE'))).toMatch(/not a picture/);
  });
});
