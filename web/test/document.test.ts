import { describe, expect, it } from 'vitest';
import { parseJson, writeJson } from '../src/document/json';
import { NotAWorkflow, readDocument, writeDocument } from '../src/document/model';
import { readText } from './fixtures';

const TEMPLATES = ['text_to_image', 'image_to_image', 'inpaint', 'upscale', 'prompt_grid', 'sampler_comparison', 'train_demo_model'];

describe('a saved workflow', () => {
  it.each(TEMPLATES)('%s comes out as it went in', (name) => {
    const text = readText(`workflows/${name}.json`);
    expect(writeDocument(readDocument(text)).trimEnd()).toBe(text.trimEnd().replace(/(\d)\.0(?=[,\s\]}])/g, '$1'));
  });

  it('is refused when it is nested so deeply that it could not be written again', () => {
    const nested = (levels: number): string => `{"nodegraph": 1, "nodes": {}, "meta": {"a": ${'['.repeat(levels)}${']'.repeat(levels)}}}`;
    expect(() => readDocument(nested(100_000))).toThrow(NotAWorkflow);
    expect(writeDocument(readDocument(nested(400)), 0)).toContain('[]');
  });

  it('keeps what is not known here, everywhere', () => {
    const text = JSON.stringify({
      nodegraph: 1,
      future: { a: [1] },
      nodes: { x: { type: 'Sum', inputs: { a: { curve: [1, 2] } }, note: 'mine' } },
      layout: { x: { pos: [1, 2], pinned: true }, gone: { pos: [3, 4] } },
      groups: [{ title: 'g', bounding: [0, 0, 1, 1], font: 3 }],
      subgraphs: {},
      meta: { author: 'me' },
    });
    expect(JSON.parse(writeDocument(readDocument(text)))).toEqual(JSON.parse(text));
  });

  it('keeps seeds that no JavaScript number holds', () => {
    const text =
      '{"nodegraph":1,"nodes":{"s":{"type":"K","inputs":{"seed":18446744073709551615,"text":"12345678901234567890 \\"1234567890123456789\\""}}}}';
    const doc = readDocument(text);
    expect(doc.nodes['s']!.inputs['seed']).toBe(18446744073709551615n);
    expect(writeJson(doc)).toContain('"seed":18446744073709551615,"text":"12345678901234567890 \\"1234567890123456789\\""');
  });

  it('tells numbers from texts that look like them', () => {
    const value = { a: 'x', b: [1e300, -0.5, 9007199254740991], c: '\u0000int:5' };
    expect(parseJson(writeJson(value))).toEqual(value);
    expect(parseJson('-12345678901234567890')).toBe(-12345678901234567890n);
    expect(typeof parseJson('12345678901234567890.5')).toBe('number');
  });

  it('may call its nodes whatever objects have', () => {
    const doc = readDocument('{"nodegraph":1,"nodes":{"__proto__":{"type":"A"},"constructor":{"type":"B","inputs":{}}}}');
    expect(Object.keys(doc.nodes)).toEqual(['__proto__', 'constructor']);
    expect(readDocument(writeDocument(doc))).toEqual(doc);
  });

  it.each([
    ['no JSON', '{"nodegraph": 1', /not JSON/],
    ['another format', '{"last_node_id": 3, "nodes": []}', /no nodegraph workflow/],
    ['a newer format', '{"nodegraph": 2, "nodes": {}}', /knows formats up to 1/],
    ['nodes as a list', '{"nodegraph": 1, "nodes": []}', /must be an object of nodes/],
    ['a node without a type', '{"nodegraph": 1, "nodes": {"3": {}}}', /"3" has no type/],
    ['an unknown mode', '{"nodegraph": 1, "nodes": {"3": {"type": "A", "mode": "odd"}}}', /unknown mode/],
    ['a group without a place', '{"nodegraph": 1, "nodes": {}, "groups": [{}]}', /bounding/],
  ])('is refused with a reason: %s', (_, text, reason) => {
    expect(() => readDocument(text)).toThrow(NotAWorkflow);
    expect(() => readDocument(text)).toThrow(reason);
  });

  it('is opened without places that cannot be drawn', () => {
    const doc = readDocument('{"nodegraph":1,"nodes":{"1":{"type":"A"}},"layout":{"1":{"pos":["x",1e99],"color":"#fff"}}}');
    expect(doc.layout['1']).toEqual({ color: '#fff' });
  });
});
